"""What becomes of the calls of a program: a clock and a writer of our own, no files."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ddptui.tally import Later, Tally
from engine.core.curves import RunCurves
from engine.core.metrics import RunFold


class Program:
    """One rank that speaks; a step takes as long as a test says."""

    def __init__(self, *, rank: int = 0, world_size: int = 1, is_beside: bool = False) -> None:
        self.lines: list[dict[str, Any]] = []
        self.rank = rank
        self.now_s = 1000.0
        start = {"world_size": world_size, "num_epochs": 3}
        self.tally = Tally(self._write, start, is_first=rank == 0, is_beside=is_beside)

    def _write(self, kind: str, **fields: Any) -> None:
        self.lines.append({"kind": kind, "rank": self.rank, "attempt": 1, **fields})

    def log(self, after_s: float = 0.0, **figures: Any) -> None:
        self.now_s += after_s
        self.tally.take(figures, self.now_s, self.now_s)

    def finish(self) -> None:
        self.tally.finish(self.now_s, {"user_s": 1.5})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["kind"] == kind]


def fold(*programs: Program) -> RunFold:
    run = RunFold({})
    for program in programs:
        run.extend(program.lines)
    return run


def test_a_thousand_calls_a_second_make_about_four_lines_a_second_and_lose_no_sample() -> None:
    program = Program()
    for _ in range(8000):
        program.log(0.001, samples=4, loss=1.0, grad_norm=2.0)
    program.finish()
    steps = program.of("step")
    assert 8 * 2 <= len(steps) <= 8 * 8 + 15
    assert sum(line["samples"] for line in steps) == 32_000
    assert sum(line["num_steps"] for line in steps) == 8000
    assert {(line["step"] + 1) % 128 for line in steps[12:-1]} == {0}
    assert len(program.of("metric")) <= len(steps)


def test_a_line_says_at_which_step_a_loss_was_no_number_first() -> None:
    program = Program()
    for step in range(200):
        program.log(0.01, samples=1, loss=math.inf if step == 150 else math.nan if step > 150 else 1.0)
    program.finish()
    told = [line["nonfinite"] for line in program.of("step") if "nonfinite" in line]
    assert (told[0]["step"], told[0]["what"]) == (150, "infinite")
    assert sum(one["num_steps"] for one in told) == 50
    assert fold(program).nonfinite_words() == "loss is infinite at step 150 and at 49 more steps"


def test_what_is_said_between_two_lines_is_averaged_for_the_loss_and_the_last_for_the_rest() -> None:
    program = Program()
    for step in range(200):
        program.log(0.01, samples=1, loss=float(step), lr=step / 10)
    last = program.of("step")[-1]
    covered = range(last["step_first"], last["step"] + 1)
    assert len(covered) > 1
    assert last["loss"] == pytest.approx(sum(covered) / len(covered))
    assert (last["loss_min"], last["loss_max"], last["loss_last"]) == (covered[0], covered[-1], covered[-1])
    assert program.of("metric")[-1]["lr"] == last["step"] / 10


def test_lines_of_two_ranks_of_unequal_speed_end_at_common_steps_and_their_samples_add_up() -> None:
    fast, slow = Program(rank=0, world_size=2), Program(rank=1, world_size=2)
    for _ in range(512):
        fast.log(0.011, samples=8)
        slow.log(0.024, samples=8)
    common = {line["step"] for line in fast.of("step")} & {line["step"] for line in slow.of("step")}
    assert len(common) > 20
    rate = fold(fast, slow).summary({})["throughput"]["samples_per_s"]
    assert rate == pytest.approx(2 * 8 / ((0.011 + 0.024) / 2), rel=0.02)


def test_one_rank_may_speak_for_all_and_the_others_may_be_silent() -> None:
    program = Program(world_size=4)
    for _ in range(64):
        program.log(0.1, global_samples=400)
    assert fold(program).summary({})["throughput"]["samples_per_s"] == pytest.approx(4000)
    curves = RunCurves({})
    for line in program.lines:
        curves.add(line)
    rate = curves.curve("samples_per_s")
    assert rate is not None
    assert rate.value[-1] == pytest.approx(4000)


def test_of_samples_of_all_ranks_only_those_of_rank_0_count() -> None:
    programs = [Program(rank=rank, world_size=2) for rank in range(2)]
    for program in programs:
        for _ in range(64):
            program.log(0.1, global_samples=100)
    assert fold(*programs).summary({})["throughput"]["samples_per_s"] == pytest.approx(1000)


def test_the_time_of_an_evaluation_is_no_steps_and_its_figures_are_those_of_the_test_set() -> None:
    program = Program()
    for epoch in range(3):
        for _ in range(20):
            program.log(0.1, samples=10, loss=2.0 - epoch, epoch=epoch)
        program.log(5.0, test_loss=0.5, test_acc=0.25 * (epoch + 1), val_loss=0.75)
    program.finish()
    summary = fold(program).summary({"state": "succeeded"})
    assert summary["throughput"]["samples_per_s"] == pytest.approx(100)
    assert summary["throughput"]["rule"] == "windows after the first epoch"
    assert summary["time"]["eval_s"] == pytest.approx(15)
    assert summary["time"]["train_s"] == pytest.approx(59 * 0.1)  # nothing says when the first step began
    assert summary["final"]["test_accuracy"] == 0.75
    assert summary["final"]["validation_loss"] == 0.75
    assert [row["train_loss"] for row in summary["epochs"]] == [2.0, 1.0, 0.0]
    assert summary["epochs_done"] == 3


def test_a_step_number_that_begins_again_with_every_epoch_is_counted_on() -> None:
    program = Program()
    for epoch in range(2):
        for step in range(5):
            program.log(0.5, samples=1, step=step, epoch=epoch)
    program.finish()
    assert [line["step"] for line in program.of("step")] == list(range(10))


def test_two_calls_of_one_step_are_one_step() -> None:
    program = Program()
    for step in range(6):
        program.log(0.5, step=step, loss=3.0)
        program.log(0.0, step=step, samples=7)
    program.finish()
    assert sum(line["num_steps"] for line in program.of("step")) == 6
    assert sum(line.get("samples", 0) for line in program.of("step")) == 42


def test_a_program_that_goes_on_from_its_checkpoint_begins_at_its_step() -> None:
    program = Program()
    for step in range(100, 104):
        program.log(0.5, samples=2, step=step)
    program.finish()
    first, *_, last = program.of("step")
    assert (first["step_first"], first["step"], last["step"]) == (100, 100, 103)


def test_any_name_becomes_a_curve_and_what_is_no_number_is_left_out() -> None:
    program = Program()
    program.log(0.1, samples=1, note="text", vector=[1, 2], rank=9, kind="x", **{"train/grad norm": 1})
    program.log(2.0, temperature=True)
    assert [line["kind"] for line in program.lines] == ["run_start", "step", "metric", "metric"]
    curves = RunCurves({})
    for line in program.lines:
        curves.add(line)
    assert {"train/grad norm", "temperature"} <= set(curves.names())
    assert not {"note", "vector", "rank"} & set(curves.names())


def test_a_loss_that_is_not_finite_is_noticed() -> None:
    program = Program()
    for loss in (1.0, math.nan, 1.0):
        program.log(0.5, samples=1, loss=loss)
    assert fold(program).first_nonfinite_step() == 1


@pytest.mark.parametrize("odd", [-1, 1.5, math.nan, math.inf, "8", None, True, 2**60])
def test_a_number_of_samples_that_is_none_is_left_out(odd: object) -> None:
    program = Program()
    program.log(0.1, samples=odd, loss=1.0)
    assert "samples" not in program.of("step")[0]


def test_a_tensor_on_a_device_is_read_when_its_line_is_written_and_only_then() -> None:
    class Tensor:
        num_read = 0

        def __init__(self, value: float) -> None:
            self.value = value

        def detach(self) -> Tensor:
            return self

        def item(self) -> float:
            Tensor.num_read += 1
            return self.value

    program = Program()
    for step in range(1000):
        program.log(0.001, samples=1, loss=Later(Tensor(step)), other=Later(Tensor(step)))
    steps = program.of("step")
    assert Tensor.num_read <= 2 * len(program.lines)
    assert len(program.lines) < 100
    assert steps[-1]["loss"] == steps[-1]["step"]


def test_beside_another_speaker_only_figures_are_said() -> None:
    program = Program(is_beside=True)
    program.log(0.1, samples=8, loss=1.0, step=3)
    program.log(1.0, test_loss=2.0)
    assert [(line["kind"], line["step"]) for line in program.lines] == [("metric", 3), ("metric", 1)]
