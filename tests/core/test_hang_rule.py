"""When a run counts as hung: what the key may hold, and the watch over its silence."""

import pytest
from pydantic import ValidationError

from engine.core.hang_rule import (
    LONGEST_LOOK_S,
    PAUSE_FLOOR_S,
    STARTUP_S,
    STEP_FLOOR_S,
    HangRule,
    HangWatch,
    Whereabouts,
    parse_hang_after,
)
from engine.core.result_config import result_of
from engine.core.spec import RunConfig

CONFIG = {"model": "mlp", "dataset": "digits", "global_batch_size": 8, "epochs": 1, "optimizer": {"lr": 0.1}}
AUTO = HangRule()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30 s", 30.0), ("2 min", 120.0), ("2min", 120.0), ("1 hour", 3600.0), (" 1.5 H ", 5400.0), (7, 7.0), (0.5, 0.5)],
)
def test_a_time_is_read_with_its_unit(value, seconds):
    assert parse_hang_after(value) == HangRule(seconds=seconds)
    assert RunConfig.model_validate({**CONFIG, "hang_after": value}).hang_rule.seconds == seconds


def test_auto_and_never_are_words():
    assert parse_hang_after("auto") == AUTO
    assert parse_hang_after("Never").is_never
    assert RunConfig.model_validate(CONFIG).hang_rule == AUTO
    assert RunConfig.model_validate({**CONFIG, "compile": True}).hang_rule.is_compiled


@pytest.mark.parametrize("value", ["", "soon", "30 parsec", "-3 s", "0 s", 0, -1.0, True, "nan s", float("inf"), None])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValidationError):
        RunConfig.model_validate({**CONFIG, "hang_after": value})


def test_what_follows_is_one_of_two_words():
    with pytest.raises(ValidationError, match="'end' or 'wait'"):
        RunConfig.model_validate({**CONFIG, "on_hang": "panic"})


def test_neither_key_alters_the_result_unless_it_is_an_axis():
    plain = RunConfig.model_validate(CONFIG)
    told = RunConfig.model_validate({**CONFIG, "hang_after": 5, "on_hang": "wait"})
    assert result_of(told) == result_of(plain)
    assert result_of(told, keep=["hang_after"])["hang_after"] == 5


@pytest.mark.parametrize(
    ("kind", "median_s", "longest_s", "limit_s"),
    [
        ("step", 0.02, 0.0, STEP_FLOOR_S),
        ("step", 10.0, 0.0, 500.0),
        ("step", 0.02, 100.0, 300.0),
        ("pause", 0.02, 0.0, PAUSE_FLOOR_S),
        ("pause", 0.02, 1000.0, 3000.0),
        ("step", None, 0.0, STARTUP_S),
        ("startup", None, 0.0, STARTUP_S),
    ],
)
def test_auto_takes_the_most_of_floor_median_and_what_was_come_through(kind, median_s, longest_s, limit_s):
    assert AUTO.limit_s(kind, median_s, longest_s) == limit_s


def test_a_compiled_model_may_take_as_long_in_steps_as_beside_them():
    assert HangRule(is_compiled=True).limit_s("step", 0.02, 0.0) == PAUSE_FLOOR_S


def test_a_given_time_holds_after_start_up_and_never_is_for_ever():
    given = HangRule(seconds=5.0)
    assert [given.limit_s(kind, None, 99.0) for kind in ("step", "pause", "startup")] == [5.0, 5.0, STARTUP_S]
    assert HangRule(seconds=9000.0).limit_s("startup", None, 0.0) == 9000.0
    assert HangRule(is_never=True).limit_s("step", 0.1, 0.0) is None


def at(step, phase="comm", mono_s=0.0):
    return Whereabouts(step=step, phase=phase, mono_s=mono_s)


class Watched:
    """A watch that is looked at once a second."""

    def __init__(self, rule=AUTO, first_step=0, steps=(0.02,) * 5):
        self.watch = HangWatch(rule, first_step)
        self.steps = steps
        self.now_s = 0.0

    def look(self, *ranks, seconds=1):
        for _ in range(seconds):
            self.now_s += 1.0
            found = self.watch.look(self.now_s, dict(enumerate(ranks)), self.steps)
        return found


def test_silence_is_told_once_the_limit_has_passed_and_taken_back_when_one_rank_moves():
    run = Watched()
    assert run.look(at(9), at(9), seconds=int(STEP_FLOOR_S)) is None
    found = run.look(at(9), at(9))
    assert (found.quiet_s, found.limit_s, found.median_s) == (STEP_FLOOR_S, STEP_FLOOR_S, 0.02)
    assert run.look(at(9), at(9, mono_s=1.0)) is None
    assert run.look(at(9), at(9, mono_s=1.0), seconds=int(STEP_FLOOR_S) - 1) is None
    assert run.look(at(9), at(9, mono_s=1.0)) is not None


def test_a_long_evaluation_a_snapshot_and_start_up_are_no_hang():
    for phase in ("eval", "snapshot"):
        assert Watched().look(at(9, phase), at(9), seconds=500) is None
    assert Watched().look(at(0, "forward"), at(0), seconds=1500) is None
    assert Watched(first_step=120).look(at(120, "forward"), seconds=1500) is None
    assert Watched(steps=(0.02, 0.02)).look(at(9), seconds=1500) is None, "too few steps were measured"


def test_a_run_whose_start_up_never_ends_is_told():
    assert Watched(steps=()).look(at(-1, "startup"), seconds=int(STARTUP_S) + 1).median_s is None


def test_what_a_run_has_come_through_widens_the_limit_but_a_hang_does_not():
    run = Watched()
    run.look(at(9), seconds=100)
    assert run.look(at(10), seconds=250) is None
    assert run.look(at(10), seconds=60) is not None
    run.look(at(11))
    assert run.look(at(11), seconds=320) is not None, "three times a hundred seconds, not three times the hang"


def test_ranks_that_say_nothing_at_all_are_not_judged():
    assert Watched().look(seconds=5000) is None


def test_a_machine_that_slept_has_not_hung():
    run = Watched()
    run.look(at(9), seconds=10)
    run.now_s += 100_000.0
    assert run.look(at(9)) is None
    assert run.look(at(9), seconds=int(STEP_FLOOR_S - 10 - LONGEST_LOOK_S)) is None


def test_without_a_floor_a_given_time_is_taken_at_its_word():
    assert Watched(HangRule(seconds=3.0), steps=()).look(at(9), seconds=4).limit_s == 3.0
    assert Watched(HangRule(is_never=True)).look(at(9), seconds=5000) is None


def test_of_a_program_of_the_users_auto_knows_nothing_before_ten_lines_and_is_patient_then():
    auto = HangRule(is_script=True)
    assert Watched(auto, steps=(0.02,) * 9).look(at(9, ""), seconds=5000) is None
    run = Watched(auto, steps=(0.02,) * 10)
    assert run.look(at(9, ""), seconds=int(PAUSE_FLOOR_S)) is None, "it may evaluate"
    assert run.look(at(9, "")).sign == "log line"
    assert auto.limit_s("step", 20.0, 0.0) == 1000.0


def test_a_given_time_holds_for_a_program_too_once_it_has_logged_twice():
    rule = parse_hang_after("30 s", is_script=True)
    assert Watched(rule, steps=()).look(at(0, ""), seconds=1500) is None
    assert Watched(rule, steps=()).look(at(1, ""), seconds=32).limit_s == 30.0
