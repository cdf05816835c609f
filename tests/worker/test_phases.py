import pytest
import torch

from engine.core.spec import Slow
from engine.worker import phases
from engine.worker.context import RankContext
from engine.worker.phases import CudaPhaseClock, PhaseClock, SlowClock, make_clock


class SpyBeat:
    def __init__(self):
        self.said = []

    def begin(self, step):
        self.said.append(step)

    def write(self, phase, mono_ns):
        self.said.append(phase)

    def close(self):
        pass


class Hands:
    """A clock that tests move."""

    def __init__(self):
        self.now_ns = 0

    def __call__(self):
        return self.now_ns

    def pass_ms(self, milliseconds):
        self.now_ns += round(milliseconds * 1e6)


@pytest.fixture
def hands(monkeypatch):
    hands = Hands()
    monkeypatch.setattr(phases, "_now_ns", hands)
    return hands


def test_phases_add_up_to_the_wall_time_of_the_step(hands):
    clock = PhaseClock(SpyBeat())
    clock.start(0)
    for phase, milliseconds in [("data", 1), ("forward", 2), ("backward", 3), ("forward", 4), ("optimizer", 5)]:
        clock.switch(phase)
        hands.pass_ms(milliseconds)
    ((record, times),) = clock.stop("step 0")
    assert record == "step 0"
    assert times.step_s == pytest.approx(0.015)
    expected = {"other": 0, "data": 0.001, "forward": 0.006, "backward": 0.003, "optimizer": 0.005}
    assert times.phases == pytest.approx(expected)


def test_time_between_two_steps_is_other_of_the_second(hands):
    clock = PhaseClock(SpyBeat())
    clock.start(0)
    clock.stop(None)
    hands.pass_ms(7)
    clock.switch("data")
    hands.pass_ms(1)
    ((_, times),) = clock.stop(None)
    assert times.phases == pytest.approx({"other": 0.007, "data": 0.001})
    assert times.step_s == pytest.approx(0.008)


def test_time_before_start_belongs_to_no_step(hands):
    clock = PhaseClock(SpyBeat())
    clock.start(0)
    clock.stop(None)
    hands.pass_ms(500)
    clock.start(1)
    hands.pass_ms(1)
    ((_, times),) = clock.stop(None)
    assert times.step_s == pytest.approx(0.001)


def test_a_phase_that_was_not_entered_is_absent(hands):
    clock = PhaseClock(SpyBeat())
    clock.start(0)
    clock.switch("forward")
    ((_, times),) = clock.stop(None)
    assert set(times.phases) == {"other", "forward"}


def test_every_switch_and_step_is_said_to_the_beat(hands):
    beat = SpyBeat()
    clock = PhaseClock(beat)
    clock.start(4)
    clock.switch("data")
    clock.switch("forward")
    clock.stop(None)
    assert beat.said == [4, "data", "forward", "other", 5]


def test_the_straggler_sleeps_once_a_step_in_its_phase_only(hands, monkeypatch):
    monkeypatch.setattr(phases.time, "sleep", lambda seconds: hands.pass_ms(1e3 * seconds))
    clock = SlowClock(PhaseClock(SpyBeat()), Slow(rank=0, phase="forward", delay_s=0.02), lambda: None)
    clock.start(0)
    found = []
    for _ in range(2):
        for phase in ("data", "forward", "backward", "forward", "backward", "optimizer"):
            clock.switch(phase)
            hands.pass_ms(1)
        found += [times.phases for _, times in clock.stop(None)]
    expected = {"other": 0, "data": 0.001, "forward": 0.022, "backward": 0.002, "optimizer": 0.001}
    assert found == [pytest.approx(expected)] * 2
    assert clock.num_sleeps == 2


def test_a_factor_makes_the_phase_so_many_times_as_long_each_time_it_comes(hands, monkeypatch):
    monkeypatch.setattr(phases.time, "sleep", lambda seconds: hands.pass_ms(1e3 * seconds))
    clock = SlowClock(PhaseClock(SpyBeat()), Slow(rank=0, phase="forward", factor=3.0), lambda: None)
    clock.start(0)
    found = []
    for forward_ms in (1, 4):
        for phase in ("data", "forward", "backward", "forward", "backward", "optimizer"):
            clock.switch(phase)
            hands.pass_ms(forward_ms if phase == "forward" else 1)
        found += [times.phases for _, times in clock.stop(None)]
    usual = {"other": 0, "data": 0.001, "backward": 0.002, "optimizer": 0.001}
    assert found == [pytest.approx(usual | {"forward": 0.006}), pytest.approx(usual | {"forward": 0.024})]
    assert clock.num_sleeps == 4


def test_a_slow_phase_that_ends_the_step_is_slowed_within_it(hands, monkeypatch):
    monkeypatch.setattr(phases.time, "sleep", lambda seconds: hands.pass_ms(1e3 * seconds))
    clock = SlowClock(PhaseClock(SpyBeat()), Slow(rank=0, phase="optimizer", factor=2.0), lambda: None)
    clock.start(0)
    clock.switch("optimizer")
    hands.pass_ms(5)
    ((_, times),) = clock.stop(None)
    assert times.phases == pytest.approx({"other": 0, "optimizer": 0.010})


@pytest.mark.parametrize(("rank", "is_slowed"), [(0, False), (1, True)])
def test_only_the_named_rank_is_slowed(rank, is_slowed):
    context = RankContext(
        rank=rank,
        local_rank=rank,
        node_rank=0,
        world_size=2,
        local_world_size=2,
        nodes=1,
        device=torch.device("cpu"),
        backend="gloo",
        cores=(0,),
        num_threads=1,
    )
    clock = make_clock(context, SpyBeat(), Slow(rank=1, phase="data", delay_s=0.01))
    assert isinstance(clock, SlowClock) == is_slowed


class FakeEvent:
    """A CUDA event on a device that works through its marks when told to."""

    device_ms = 0.0
    passed_ms = 0.0

    def __init__(self, *, enable_timing):
        assert enable_timing

    def record(self, stream):
        self.at_ms = FakeEvent.device_ms

    def query(self):
        return self.at_ms <= FakeEvent.passed_ms

    def synchronize(self):
        FakeEvent.passed_ms = max(FakeEvent.passed_ms, self.at_ms)

    def elapsed_time(self, later):
        return later.at_ms - self.at_ms


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(FakeEvent, "device_ms", 0.0)
    monkeypatch.setattr(FakeEvent, "passed_ms", 0.0)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    return torch.device("cuda", 0)


def run_on_device(clock, record, forward_ms):
    clock.switch("forward")
    FakeEvent.device_ms += forward_ms
    clock.switch("optimizer")
    FakeEvent.device_ms += 1
    return clock.stop(record)


def test_on_cuda_a_step_is_handed_out_when_the_device_has_passed_it(device):
    clock = CudaPhaseClock(SpyBeat(), device)
    clock.start(0)
    assert run_on_device(clock, "a", 4) == []
    FakeEvent.passed_ms = 5.0
    ((record, times),) = run_on_device(clock, "b", 6)
    assert record == "a"
    assert times.phases == pytest.approx({"other": 0, "forward": 0.004, "optimizer": 0.001})
    assert times.step_s == pytest.approx(0.005)


def test_on_cuda_draining_waits_for_the_steps_that_are_left(device):
    clock = CudaPhaseClock(SpyBeat(), device)
    clock.start(0)
    run_on_device(clock, "a", 4)
    run_on_device(clock, "b", 6)
    assert [(record, times.phases["forward"]) for record, times in clock.drain()] == [
        ("a", pytest.approx(0.004)),
        ("b", pytest.approx(0.006)),
    ]
    assert clock.drain() == []
