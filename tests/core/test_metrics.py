"""Folding event lines: figures worked out by hand, odd folders, random lines."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import rank_record
from engine.core.metrics import RunFold
from tui.run_row import figures_of_summary

SPEC: dict[str, Any] = {
    "id": "ddp-w2-r0-abc123",
    "experiment": "demo",
    "point": "ddp-w2-abc123",
    "repeat": 0,
    "axes": {"world_size": 2},
    "baseline": "single-w1-ffffff",
    "num_devices": 2,
    "config": {"strategy": "ddp", "world_size": 2, "nodes": 1, "seed": 7, "optimizer": {"name": "sgd", "lr": 0.1}},
}


def start(rank: int = 0, **fields: Any) -> dict[str, Any]:
    event = {"kind": "run_start", "time_s": 100.0, "rank": rank, "attempt": 1, "world_size": 2, "num_devices": 2}
    return event | {"host": "h", "cores": [rank], "num_threads": 1, "role": "rank", "startup_s": 2.0} | fields


def step(rank: int, last: int, *, first: int | None = None, epoch: int = 0, **fields: Any) -> dict[str, Any]:
    first = last if first is None else first
    num_steps = last - first + 1
    event = {"kind": "step", "time_s": 101.0 + last, "rank": rank, "attempt": 1, "epoch": epoch, "step": last}
    event |= {"step_first": first, "num_steps": num_steps, "samples": 8 * num_steps, "window_s": 0.1 * num_steps}
    return event | {"loss": 1.0, "correct": 4 * num_steps, "lr": 0.1, "phases": {"forward": 0.06 * num_steps}} | fields


def epoch_stop(rank: int, epoch: int, **fields: Any) -> dict[str, Any]:
    event = {"kind": "epoch_stop", "time_s": 150.0, "rank": rank, "attempt": 1, "epoch": epoch, "samples": 80}
    return event | {"num_steps": 10, "loss": 1.0, "correct": 40, "train_s": 1.0, "epoch_s": 1.5} | fields


def fold(*events: Any, spec: dict[str, Any] = SPEC) -> RunFold:
    result = RunFold(spec)
    result.extend(events)
    return result


def summary(*events: Any, envs: Any = (), spec: dict[str, Any] = SPEC) -> dict[str, Any]:
    return fold(*events, spec=spec).summary({"state": "succeeded", "reason": ""}, envs)


def test_throughput_is_samples_of_all_ranks_over_their_mean_time():
    # 20 steps; the first ten are warm-up. Rank 0 takes 0.1 s a step, rank 1 0.12 s; 8 samples each:
    # (80 + 80) / ((1.0 + 1.2) / 2) = 145.4545...
    events = [start(0), start(1)]
    events += [step(0, i) for i in range(20)]
    events += [step(1, i, window_s=0.12) for i in range(20)]
    result = summary(*events)["throughput"]
    assert result["samples_per_s"] == pytest.approx(160 / 1.1)
    assert result["step_s_median"] == pytest.approx(0.1)
    assert result["rule"] == "windows after the first 10 steps"
    assert (result["windows"], result["steps"]) == (20, 10)


def test_warm_up_is_the_first_epoch_where_two_were_finished():
    events = [start(0, world_size=1)]
    events += [step(0, i, epoch=0, window_s=9.0) for i in range(10)]
    events += [epoch_stop(0, 0)]
    events += [step(0, i, epoch=1) for i in range(10, 20)]
    before = summary(*events)["throughput"]
    after = summary(*events, epoch_stop(0, 1))["throughput"]
    assert before["rule"] == "windows after the first 10 steps"
    assert after["rule"] == "windows after the first epoch"
    assert after["samples_per_s"] == pytest.approx(80.0)


def test_warm_up_is_never_more_than_half_of_a_short_run():
    result = summary(start(0, world_size=1), *[step(0, i) for i in range(6)])["throughput"]
    assert result["rule"] == "windows after the first 3 steps"
    assert result["steps"] == 3


def test_a_window_that_begins_in_the_warm_up_does_not_count():
    events = [start(0, world_size=1), step(0, 15, first=0, window_s=50.0), step(0, 31, first=16), step(0, 39, first=32)]
    result = summary(*events)["throughput"]
    assert result["steps"] == 24
    assert result["samples_per_s"] == pytest.approx(80.0)


def test_only_steps_that_every_rank_covers_with_whole_windows_count():
    # rank 1 writes every 16 steps and is slow at first; steps 10 to 15 of rank 0 have no partner
    events = [start(0), start(1)]
    events += [step(0, i, window_s=5.0 if i < 16 else 0.1) for i in range(48)]
    events += [step(1, 15, first=0, window_s=80.0), step(1, 31, first=16), step(1, 47, first=32)]
    result = summary(*events)["throughput"]
    assert result["samples_per_s"] == pytest.approx(160.0)
    assert result["steps"] == 32


def test_ranks_without_samples_give_phases_only():
    events = [start(0, world_size=3, role="driver"), start(1, role="stage"), start(2, role="stage")]
    for i in range(20):
        events.append(step(0, i, phases={"data": 0.01, "other": 0.09}))
        for rank, bubble in ((1, 0.02), (2, 0.05)):
            fields = {"samples": None, "correct": None, "loss": None}
            events.append(step(rank, i, phases={"forward": 0.1 - bubble, "bubble": bubble}, **fields))
    result = summary(*events)
    assert result["throughput"]["samples_per_s"] == pytest.approx(80.0)
    assert result["phases"]["1"] == pytest.approx({"forward": 0.08, "bubble": 0.02})
    assert result["phases_mean"] == pytest.approx({"forward": 0.065, "bubble": 0.035})
    assert result["bubble_ratio"] == pytest.approx({"1": 0.2, "2": 0.5})


def test_the_bubble_is_read_from_spans_where_the_stages_wrote_them():
    # two stages, two micro-batches of one second: F F on stage 0, then B B; makespan 0..6, each stage busy 4 s
    spans = {
        1: [["F", 0, 0.0, 1.0], ["F", 1, 1.0, 2.0], ["B", 0, 4.0, 5.0], ["B", 1, 5.0, 6.0], ["W", 0, 6.0, 9.0]],
        2: [["F", 0, 1.0, 2.0], ["F", 1, 2.0, 3.0], ["B", 0, 3.0, 4.0], ["B", 1, 4.0, 5.0]],
    }
    events = [start(0, world_size=3, role="driver"), start(1, role="stage"), start(2, role="stage")]
    for i in range(20):
        events.append(step(0, i))
        events += [step(r, i, samples=None, boundary={"step_s": 6.0, "spans": s}) for r, s in spans.items()]
    assert summary(*events)["bubble_ratio"] == pytest.approx({"1": 2 / 6, "2": 2 / 6})


def test_throughput_is_unknown_where_a_rank_said_nothing():
    result = summary(start(0), *[step(0, i) for i in range(20)])
    assert result["throughput"]["samples_per_s"] is None
    assert result["confounds"][0] == "no events of rank 1: throughput is unknown"


def test_losses_of_an_epoch_are_weighted_by_samples_over_ranks():
    events = [start(0), start(1), step(0, 9, first=0), step(1, 9, first=0)]
    events += [epoch_stop(0, 0, samples=30, loss=1.0, correct=15), epoch_stop(1, 0, samples=10, loss=3.0, correct=9)]
    events += [{"kind": "eval", "rank": 0, "attempt": 1, "epoch": 0, "step": 9, "split": "test"}]
    events[-1] |= {
        "samples": 50,
        "loss": 0.5,
        "accuracy": 0.75,
        "eval_s": 0.25,
        "time_s": 111.0,
        "metrics": {"top5": 0.9},
    }
    row = summary(*events)["epochs"][0]
    assert row["train_loss"] == pytest.approx(1.5)
    assert row["train_accuracy"] == pytest.approx(0.6)
    assert (row["test_loss"], row["test_accuracy"], row["eval_s"]) == (0.5, 0.75, 0.25)
    assert row["metrics"] == {"test_top5": 0.9}
    assert (row["validation_loss"], row["lr"], row["samples"]) == (None, 0.1, 40)
    assert (row["train_s"], row["epoch_s"]) == (1.0, 1.5)


def test_a_loss_that_is_not_a_number_is_unknown_and_named():
    events = [start(0), start(1), *[step(0, i, loss=math.nan if i == 4 else 1.0) for i in range(6)]]
    events += [step(1, i) for i in range(6)]
    events += [epoch_stop(0, 0, loss=math.nan), epoch_stop(1, 0)]
    result = summary(*events)
    assert result["epochs"][0]["train_loss"] is None
    assert "the training loss was not finite from step 4 on" in result["confounds"]
    assert result["throughput"]["samples_per_s"] == pytest.approx(160.0)


def test_best_and_final_figures_name_their_epoch():
    events = [start(0, world_size=1)]
    for epoch, (accuracy, loss) in enumerate([(0.5, 2.0), (0.9, 1.0), (0.9, 1.2)]):
        events += [step(0, epoch, epoch=epoch), epoch_stop(0, epoch)]
        events.append({"kind": "eval", "rank": 0, "attempt": 1, "epoch": epoch, "split": "test", "loss": loss})
        events[-1]["accuracy"] = accuracy
    result = summary(*events)
    assert (result["best"]["test_accuracy"], result["best"]["test_accuracy_epoch"]) == (0.9, 1)
    assert (result["best"]["test_loss"], result["best"]["test_loss_epoch"]) == (1.0, 1)
    assert (result["final"]["test_accuracy"], result["final"]["test_loss"]) == (0.9, 1.2)
    assert (result["best"]["validation_loss"], result["best"]["validation_loss_epoch"]) == (None, None)


def test_times_are_those_of_the_slowest_rank_and_real_time_begins_with_the_process():
    stop = {"kind": "run_stop", "attempt": 1, "reason": "epochs", "snapshot_s": 0.5, "real_s": 30.0}
    stop |= {"user_s": 20.0, "system_s": 1.0, "peak_memory_bytes": 5, "peak_device_memory_bytes": None}
    events = [start(0), start(1, startup_s=3.0, time_s=100.5)]
    events += [stop | {"rank": 0, "time_s": 130.0, "train_s": 20.0, "eval_s": 4.0}]
    events += [stop | {"rank": 1, "time_s": 131.0, "train_s": 21.0, "eval_s": 3.0}]
    result = summary(*events)
    assert result["time"]["real_s"] == pytest.approx(131.0 - 97.5)
    assert result["time"]["startup_s"] == 3.0
    assert (result["time"]["train_s"], result["time"]["eval_s"], result["time"]["total_s"]) == (21.0, 4.0, 24.5)
    assert result["stop_reason"] == "epochs"
    assert [row["user_s"] for row in result["ranks"]] == [20.0, 20.0]
    assert result["ranks"][0]["peak_device_memory_bytes"] is None


def test_a_crashed_run_keeps_what_it_said():
    events = [start(0, world_size=1), step(0, 9, first=0), step(0, 19, first=10)]
    events.append({"kind": "error", "rank": 0, "attempt": 1, "message": "out of memory", "time_s": 130.0})
    result = fold(*events).summary({"state": "failed", "reason": "rank 0: out of memory"})
    assert (result["state"], result["reason"]) == ("failed", "rank 0: out of memory")
    assert result["throughput"]["samples_per_s"] == pytest.approx(80.0)
    assert (result["epochs"], result["time"]["total_s"], result["epochs_done"]) == ([], None, 0)
    assert result["ranks"][0]["error"] == "out of memory"


def test_a_run_that_ended_within_an_epoch_keeps_the_loss_that_it_said_last():
    said = summary(start(0), start(1), step(0, 0, loss=9.0), step(0, 1, loss=3.0), step(1, 1, loss=1.0))
    assert (said["final"]["train_loss"], said["last_loss"]) == (None, 2.0)
    assert figures_of_summary(said, {})["loss"] == 2.0
    assert figures_of_summary(said | {"final": {"train_loss": 1.5}}, {})["loss"] == 1.5
    assert figures_of_summary(summary(start(0), step(0, 0, loss=None)), {})["loss"] is None


def test_a_run_without_any_line_is_all_unknown():
    result = fold(spec={}).summary({})
    assert result["throughput"]["samples_per_s"] is None
    assert result["throughput"]["rule"] == "no steps were seen"
    assert result["samples_seen"] is None
    assert result["time"]["real_s"] is None
    assert fold(spec={}).progress().eta_s is None


def test_progress_says_where_the_run_is_and_when_it_ends():
    # 20 of 100 steps in 20 s of wall time (evaluation included): 80 s are left
    events = [start(0, num_steps=100, num_epochs=5), start(1), *[step(r, i) for i in range(20) for r in (0, 1)]]
    for index, event in enumerate(events[2:]):
        event["time_s"] = 100.1 + index // 2
    events[-1]["time_s"] = 120.0
    progress = fold(*events).progress()
    assert (progress.step, progress.epoch, progress.num_steps, progress.num_epochs) == (19, 0, 100, 5)
    assert progress.loss == pytest.approx(1.0)
    assert progress.accuracy == pytest.approx(0.5)
    assert progress.samples_per_s == pytest.approx(160.0)
    assert progress.elapsed_s == pytest.approx(22.0)
    assert progress.eta_s == pytest.approx(80.0, rel=0.01)


def test_a_time_budget_bounds_the_time_left():
    spec = SPEC | {"config": SPEC["config"] | {"stop": {"minutes": 0.5}}}
    events = [start(0, world_size=1), step(0, 9, first=0, time_s=101.0), step(0, 19, first=10, time_s=110.0)]
    assert fold(*events, spec=spec).progress().eta_s == pytest.approx(20.0)


def test_a_later_attempt_supersedes_an_earlier_one_and_late_lines_of_it_are_ignored():
    second = [event | {"attempt": 2} for event in [start(0, world_size=1), *[step(0, i, loss=0.5) for i in range(4)]]]
    result = fold(start(0), start(1), step(0, 9, first=0), step(1, 9, first=0), *second, step(1, 10))
    assert sorted(result.record.ranks) == [0]
    assert result.summary({})["num_steps"] == 4
    assert result.progress().loss == 0.5


def second_attempt(resumed_from_step: int, *steps: int, rank: int = 0) -> list[dict[str, Any]]:
    begun = start(rank, time_s=200.0, startup_s=3.0, resumed_from_step=resumed_from_step)
    return [event | {"attempt": 2} for event in [begun, *[step(rank, i, time_s=201.0) for i in steps]]]


def test_what_a_fault_cost_is_the_steps_that_were_taken_twice_and_the_start_after_it():
    first = [start(0), start(1), *[step(rank, i) for i in range(10) for rank in (0, 1)], step(0, 10)]
    again = [*second_attempt(6, 6, 7, 8), *second_attempt(6, 6, 7, 8, rank=1)]
    found = summary(*first, *again)
    assert found["time"]["restart_s"] == pytest.approx(0.5 + 3.0), "five steps of the rank that had gone furthest"
    assert found["num_steps"] == 9
    assert found["time"]["real_s"] == pytest.approx(201.0 - 98.0)
    assert summary(*first)["time"]["restart_s"] is None
    third = [event | {"attempt": 3} for event in second_attempt(8, 8, 9)]
    assert summary(*first, *again, *third)["time"]["restart_s"] == pytest.approx(0.5 + 3.0 + 0.1 + 3.0)


def test_an_attempt_that_falls_before_it_begins_takes_nothing_of_the_one_before_with_it():
    error = {"kind": "error", "time_s": 200.0, "rank": 0, "attempt": 2, "type": "OSError", "message": "no"}
    found = summary(start(0), *[step(0, i) for i in range(10)], epoch_stop(0, 0, step=9), error)
    assert (found["num_steps"], found["epochs_done"]) == (10, 1)
    assert found["ranks"][0]["error"] == "no"


def test_an_epoch_is_not_done_that_a_later_attempt_takes_anew():
    first = [start(0), *[step(0, i) for i in range(10)], epoch_stop(0, 0, step=9)]
    assert summary(*first, *second_attempt(10))["epochs_done"] == 1
    assert summary(*first, *second_attempt(6, 6))["epochs_done"] == 0


def test_of_windows_that_were_merged_the_share_before_a_resumption_stays(monkeypatch):
    monkeypatch.setattr(rank_record, "MAX_WINDOWS", 100)
    first = [start(0), *[step(0, i) for i in range(1000)]]
    for resumed_from_step in (500, 501, 502, 503):
        found = summary(*first, *second_attempt(resumed_from_step))
        assert found["num_steps"] == resumed_from_step
        assert found["samples_seen"] == 8 * resumed_from_step
        assert found["time"]["restart_s"] == pytest.approx(0.1 * (1000 - resumed_from_step) + 3.0)


def test_windows_are_merged_without_losing_a_sample_or_a_second(monkeypatch):
    monkeypatch.setattr(rank_record, "MAX_WINDOWS", 100)
    events = [start(0, world_size=1)]
    events += [step(0, i, epoch=i // 500) for i in range(1000)]
    events += [epoch_stop(0, 0), epoch_stop(0, 1)]
    result = fold(*events)
    assert len(result.record.ranks[0].windows) <= 100
    after = result.summary({})
    assert after["samples_seen"] == 8000
    assert after["throughput"]["steps"] == 500
    assert after["throughput"]["samples_per_s"] == pytest.approx(80.0)
    assert after["phases"]["0"]["forward"] == pytest.approx(0.06)


def test_more_threads_than_cores_are_named_and_the_driver_is_not_counted():
    env = {"host": "h", "allowed_cores": [0, 1], "num_cores": 2, "load_1m_at_start": 0.2}
    crowded = [start(0, num_threads=2, cores=[0, 1]), start(1, num_threads=2, cores=[0, 1])]
    assert summary(*crowded, envs=[env])["confounds"][1:] == [
        "4 compute threads on 2 cores of h",
        "ranks 0, 1 share cores 0, 1 of h",
    ]
    pipeline = [start(0, role="driver", world_size=3, num_devices=2, cores=[0]), start(1, role="stage", cores=[0])]
    pipeline += [start(2, role="stage", cores=[1])]
    assert len(summary(*pipeline, envs=[env])["confounds"]) == 1  # only that no rank has steps


def test_other_load_is_named_but_not_by_the_load_average_which_still_holds_the_run_before():
    env = {"host": "h", "allowed_cores": [0, 1], "num_cores": 4, "load_1m_at_start": 3.0, "other_runs": ["a/b"]}
    system = {"kind": "system", "rank": None, "node_rank": 0, "cpu_percent": 80.0}
    system["ranks"] = {"0": {"cpu_percent": 100.0}, "1": {"cpu_percent": 100.0}}
    lines = summary(start(0, world_size=1), step(0, 1, first=0), system, system, envs=[env])["confounds"]
    assert lines == [
        "other runs on h at the start: a/b",
        "other processes used 30 % of the CPU of h during the run",
    ]


def test_an_epoch_that_a_budget_cut_short_is_neither_done_nor_part_of_the_mean_epoch():
    events = [start(0, world_size=1, steps_per_epoch=10), *[step(0, i, epoch=i // 10) for i in range(13)]]
    result = summary(*events, epoch_stop(0, 0), epoch_stop(0, 1, num_steps=3, train_s=0.3, epoch_s=0.8))
    assert (result["epochs_done"], result["num_steps"]) == (1, 13)
    assert (result["time"]["epoch_s_mean"], result["time"]["epoch_train_s_mean"]) == (1.5, 1.0)
    assert [row["num_steps"] for row in result["epochs"]] == [10, 3]
    assert result["time"]["total_s"] == pytest.approx(1.3)  # nothing but epochs was heard of


def test_the_load_of_ranks_whose_use_is_not_known_yet_is_not_put_down_to_others():
    env = {"host": "h", "num_cores": 2}

    def system(cpu_percent: float, *ranks: float | None) -> dict[str, Any]:
        used = {str(rank): {"cpu_percent": percent} for rank, percent in enumerate(ranks)}
        return {"kind": "system", "rank": None, "node_rank": 0, "cpu_percent": cpu_percent, "ranks": used}

    alone = [system(100.0), system(100.0, None, None), system(60.0, 100.0, None), system(100.0, 99.0, 98.0)]
    assert summary(start(0, world_size=1), step(0, 1, first=0), *alone, envs=[env])["confounds"] == []
    lines = summary(start(0, world_size=1), step(0, 1, first=0), system(100.0, 60.0, 60.0), envs=[env])["confounds"]
    assert lines == ["other processes used 40 % of the CPU of h during the run"]


def test_the_wait_of_one_rank_for_another_is_in_the_total_time_once():
    stop = {"kind": "run_stop", "attempt": 1, "reason": "epochs"}
    trains_long = stop | {"rank": 0, "train_s": 10.0, "eval_s": 1.0, "snapshot_s": 0.5}
    waits_in_evaluation = stop | {"rank": 1, "train_s": 8.0, "eval_s": 3.0, "snapshot_s": 0.0}
    times = summary(start(0), start(1), trains_long, waits_in_evaluation)["time"]
    assert (times["train_s"], times["eval_s"], times["snapshot_s"]) == (10.0, 3.0, 0.5)
    assert times["total_s"] == 11.5


def test_spans_of_two_hosts_are_not_compared_since_their_monotonic_clocks_differ():
    phases = {"forward": 0.06, "bubble": 0.04}

    def bubbles(*hosts: Any) -> Any:
        events = [start(0, role="driver", world_size=3)]
        for rank, host in enumerate(hosts, start=1):
            spans = [["F", 0, 1000.0 * rank, 1000.0 * rank + 1]]
            events.append(start(rank, role="stage", world_size=3, host=host))
            steps = [step(rank, i, phases=phases, boundary={"spans": spans}, samples=0) for i in range(2)]
            events += steps
        return summary(*events)["bubble_ratio"]

    assert bubbles("a", "b") == {"1": pytest.approx(0.4), "2": pytest.approx(0.4)}
    assert bubbles("a", "a")["1"] > 0.9
    assert bubbles("a", ["a"]) == bubbles("a", "b"), "a host that is no name is another one"


NAMES = st.sampled_from(
    [
        "kind",
        "rank",
        "attempt",
        "epoch",
        "step",
        "step_first",
        "num_steps",
        "samples",
        "correct",
        "loss",
        "window_s",
        "phases",
        "boundary",
        "spans",
        "time_s",
        "split",
        "accuracy",
        "eval_s",
        "train_s",
        "epoch_s",
        "world_size",
        "num_devices",
        "host",
        "cores",
        "num_threads",
        "role",
        "startup_s",
        "lr",
        "ranks",
        "cpu_percent",
        "node_rank",
        "level",
        "text",
        "message",
        "reason",
        "real_s",
        "state",
        "id",
        "config",
        "optimizer",
        "axes",
        "resumed_from_step",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["step", "run_start", "epoch_stop", "eval", "run_stop", "system", "error", "message", "test"]),
    st.just(10**400),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
KINDS = st.sampled_from(["step", "run_start", "epoch_stop", "eval", "run_stop", "system", "error", "message", "odd"])
EVENTS = st.builds(
    lambda kind, rank, rest, base: (base if kind == "step" else {}) | {"kind": kind, "rank": rank} | rest,
    KINDS,
    st.integers(-1, 3),
    st.dictionaries(NAMES.filter(lambda name: name != "kind"), VALUES, max_size=10),
    st.just({"step": 3, "window_s": 0.1, "samples": 4, "num_steps": 2}),
)


@settings(max_examples=300)
@given(
    events=st.lists(st.one_of(EVENTS, st.none()), max_size=25),
    spec=st.dictionaries(NAMES, VALUES, max_size=6),
    envs=st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=3),
)
def test_no_line_of_a_stranger_stops_the_fold_and_the_summary_is_plain_json(events, spec, envs):
    result = RunFold(spec)
    result.extend(events)
    result.progress()
    summary = result.summary({"state": 5, "reason": None}, envs)
    assert json.loads(json.dumps(summary, allow_nan=False)).keys() == summary.keys()
