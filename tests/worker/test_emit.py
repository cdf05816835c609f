import errno
import math
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddptui import lines
from ddptui.lines import LineWriter
from ddptui.stride import choose_stride
from engine.core.events import decode_line
from engine.worker.emit import StepRecord, StepWindow
from engine.worker.phases import StepTimes
from engine.worker.strategies.interface import StepOutput


class Log:
    """A writer that keeps what it is given."""

    def __init__(self):
        self.written = []

    def write(self, kind, **fields):
        self.written.append({"kind": kind, **fields})
        return True

    def of(self, kind):
        return [event for event in self.written if event["kind"] == kind]


def feed(window, steps, *, step_s=0.01, loss=1.0, correct=None, samples=8, spans=None):
    for step in steps:
        output = StepOutput(
            loss=None if loss is None else torch.tensor(loss(step) if callable(loss) else loss),
            correct=None if correct is None else torch.tensor(correct),
            num_samples=samples,
            spans=spans,
        )
        phases = {"other": 0.1 * step_s, "forward": 0.9 * step_s}
        window.add(StepRecord(0, step, 0.5, output), StepTimes(step_s, phases))


@given(step_s=st.floats(1e-6, 100.0), world_size=st.integers(1, 1024))
def test_a_stride_is_a_power_of_two_near_the_wanted_rate(step_s, world_size):
    stride = choose_stride(step_s, 1, world_size)
    assert stride & (stride - 1) == 0
    lines_per_s = 1 / (step_s * stride)
    limit = min(4.0, 64.0 / world_size)
    assert lines_per_s < 2 * limit or (stride == 1 and 1 / step_s < 2 * limit)
    assert stride == 1 or lines_per_s > limit / 2


def test_a_stride_that_is_nearly_right_is_kept():
    assert choose_stride(0.25 / 20, 16, 1) == 16
    assert choose_stride(0.25 / 20, 32, 1) == 32
    assert choose_stride(0.25 / 20, 8, 1) == 16


def test_the_first_steps_have_a_line_each_then_lines_end_at_multiples_of_the_stride():
    log = Log()
    feed(StepWindow(log, 1), range(100), step_s=0.01)
    ends = [event["step"] for event in log.of("step")]
    assert ends[:10] == list(range(10))
    assert ends[10:] == [31, 63, 95]
    assert [event["num_steps"] for event in log.of("step")][10:] == [22, 32, 32]


def test_no_step_is_lost_or_counted_twice_over_epochs():
    log = Log()
    window = StepWindow(log, 1)
    for first in range(0, 300, 100):
        feed(window, range(first, first + 100))
        window.flush()
    window.flush()
    covered = [step for event in log.of("step") for step in range(event["step_first"], event["step"] + 1)]
    assert covered == list(range(300))


def test_windows_of_different_strides_nest():
    borders = []
    for step_s in (0.001, 0.004, 0.01):
        log = Log()
        feed(StepWindow(log, 1), range(2048), step_s=step_s)
        borders.append({event["step"] for event in log.of("step")})
    assert borders[0] < borders[1] < borders[2]


def test_steps_that_become_slow_are_told_before_a_border_far_away():
    log = Log()
    window = StepWindow(log, 1)
    feed(window, range(256), step_s=0.001)
    feed(window, range(256, 264), step_s=1.0)
    late = [event for event in log.of("step") if event["step"] >= 256]
    assert len(late) >= 6


def test_a_window_sums_samples_and_phases_and_shows_its_last_step_alone():
    log = Log()
    window = StepWindow(log, 1)
    feed(window, range(10))
    feed(window, range(10, 16), loss=lambda step: float(step), correct=3)
    window.flush()
    event = log.of("step")[-1]
    assert (event["step_first"], event["step"], event["num_steps"], event["samples"]) == (10, 15, 6, 48)
    assert (event["loss"], event["loss_min"], event["loss_max"], event["loss_last"]) == (12.5, 10.0, 15.0, 15.0)
    assert event["correct"] == 18
    assert event["window_s"] == pytest.approx(0.06)
    assert event["phases"] == pytest.approx({"other": 0.006, "forward": 0.054})
    assert event["boundary"] == {"step_s": 0.01, "phases": pytest.approx({"other": 0.001, "forward": 0.009})}
    assert event["lr"] == 0.5


def test_a_rank_that_sees_no_samples_says_no_loss_and_no_samples():
    log = Log()
    window = StepWindow(log, 3)
    feed(window, [0], loss=None, samples=0, spans=[("F", 0, 1.0, 2.0)])
    (event,) = log.of("step")
    assert event["loss"] is None
    assert "samples" not in event
    assert "correct" not in event
    assert event["boundary"]["spans"] == [("F", 0, 1.0, 2.0)]
    sums = window.sums()
    assert (sums.samples, sums.loss, sums.correct) == (0, None, None)


def test_the_sums_of_an_epoch_begin_anew_when_asked_for():
    window = StepWindow(Log(), 1)
    feed(window, range(40), loss=2.0, correct=4)
    window.flush()
    assert window.sums() == (320, pytest.approx(2.0), 160)
    window.start_sums()
    feed(window, [40], loss=1.0, correct=1)
    window.flush()
    assert window.sums() == (8, pytest.approx(1.0), 1)


@pytest.mark.parametrize(
    "known", [{"loss": 2.0, "correct": 4}, {"loss": 2.0}, {"loss": None, "samples": 0}], ids=["both", "loss", "none"]
)
def test_the_sums_of_an_epoch_go_on_from_where_a_snapshot_was(known):
    whole, first, second = StepWindow(Log(), 1), StepWindow(Log(), 1), StepWindow(Log(), 1)
    feed(whole, range(40), **known)
    feed(first, range(17), **known)
    first.flush()
    second.start_sums(first.state())
    feed(second, range(17, 40), **known)
    for window in (whole, second):
        window.flush()
    assert second.sums() == whole.sums()


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")])
def test_a_loss_that_is_no_number_is_kept_and_told_once(value, word):
    log = Log()
    feed(StepWindow(log, 1), range(64), loss=lambda step: value if step >= 5 else 1.0)
    assert log.of("message") == [{"kind": "message", "level": "warning", "text": f"loss is {word} at step 5"}]
    assert not math.isfinite(log.of("step")[5]["loss"])


def test_on_a_full_disk_lines_wait_and_nothing_else_is_touched(tmp_path, monkeypatch):
    path = tmp_path / "events" / "rank0.jsonl"
    writer = LineWriter(str(path), rank=0, attempt=0)
    window = StepWindow(writer, 1)
    feed(window, range(3))
    real_write, is_full = os.write, True

    def write(fd, data):
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, data)

    monkeypatch.setattr(lines.os, "write", write)
    feed(window, range(3, 6))
    is_full = False
    feed(window, range(6, 8))
    events = [decode_line(line) for line in path.read_bytes().splitlines()]
    assert [event["step"] for event in events] == list(range(8))
    assert writer.num_lost == 0
    assert window.sums().samples == 64, "the sums of the epoch go on"
