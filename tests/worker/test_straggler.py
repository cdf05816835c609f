"""A rank made slow on purpose is seen where it is slow, and as waiting on the others."""

from statistics import median, quantiles

import pytest
from worker_runs import write_run

DELAY_S = 0.02
TOLERANCE_S = 0.003
SLOW_RANK = 1
PHASES = ["data", "forward", "backward", "optimizer", "comm"]

pytestmark = pytest.mark.slow


NUM_TAKES = 3
"""A machine that is busy elsewhere makes a take worthless; then the same is asked of another one."""


@pytest.fixture(scope="module")
def takes(tmp_path_factory, train):
    """Takes of the same short runs, made when asked for: without a straggler (before, after) and with one per phase."""
    changes = {"strategy": "ddp", "world_size": 2, "epochs": None, "stop": {"steps": 80}, "evaluate_every": 0}
    slow = {phase: {"rank": SLOW_RANK, "phase": phase, "delay_s": DELAY_S} for phase in PHASES}
    made = []

    def take(number):
        while len(made) <= number:
            folder = tmp_path_factory.mktemp("straggler")
            runs = {
                "before": write_run(folder / "before", **changes),
                **{phase: write_run(folder / phase, **changes, slow=slow[phase]) for phase in PHASES},
                "after": write_run(folder / "after", **changes),
            }
            train(*runs.values(), world_size=2)
            made.append(runs)
        return made[number]

    return take


def holds(takes, claim):
    """Assert ``claim`` of a take; the last one decides."""
    for number in range(NUM_TAKES - 1):
        try:
            return claim(takes(number))
        except AssertionError:
            continue
    return claim(takes(NUM_TAKES - 1))


def phase_s(run, rank):
    """Seconds of each phase: the lower quartile of the steps whose own phases were written.

    What else runs on the machine only adds to a step; the quicker ones show what the step itself takes.
    """
    steps = [event["boundary"]["phases"] for event in run.steps(rank) if event["step"] >= 2]
    return {phase: quantiles((step[phase] for step in steps), n=4)[0] for phase in steps[0]}


def usual_s(runs, rank):
    """The slower of the two runs without a straggler: the machine may have been busy in either."""
    before, after = phase_s(runs["before"], rank), phase_s(runs["after"], rank)
    return {phase: max(before[phase], after[phase]) for phase in before}


@pytest.mark.parametrize("slow_phase", PHASES)
def test_the_delay_is_in_the_slow_phase_of_that_rank_and_in_no_other(takes, slow_phase):
    def claim(runs):
        usual, found = usual_s(runs, SLOW_RANK), phase_s(runs[slow_phase], SLOW_RANK)
        if slow_phase != "comm":  # which loses its own waiting when this rank is always the last
            assert found[slow_phase] - usual[slow_phase] == pytest.approx(DELAY_S, abs=TOLERANCE_S)
        assert found[slow_phase] >= DELAY_S
        for phase in found.keys() - {slow_phase}:
            assert found[phase] - usual[phase] < TOLERANCE_S, phase

    holds(takes, claim)


@pytest.mark.parametrize("slow_phase", PHASES)
def test_the_other_rank_shows_it_as_communication(takes, slow_phase):
    def claim(runs):
        usual, found = usual_s(runs, 0), phase_s(runs[slow_phase], 0)
        waits = [event["boundary"]["phases"]["comm"] for event in runs[slow_phase].steps(0) if event["step"] >= 2]
        most = quantiles(waits, n=4)[2]  # a step for which this rank itself came late waits less
        assert most - usual["comm"] > DELAY_S - 2 * TOLERANCE_S
        for phase in found.keys() - {"comm"}:
            assert found[phase] - usual[phase] < TOLERANCE_S, phase

    holds(takes, claim)


def test_a_phase_that_never_comes_slows_nothing_and_says_so(tmp_path, train):
    run = write_run(tmp_path / "run", epochs=1, slow={"rank": 0, "phase": "comm", "delay_s": 5.0})
    train(run)
    assert [event["text"] for event in run.events(0, "message")] == [
        "slow.phase comm never came in this rank's steps: nothing was slowed"
    ]


def test_little_of_a_step_is_other(tmp_path, train):
    run = write_run(
        tmp_path / "run", model="lenet5", model_args={}, dataset="synthetic", dataset_size=None, stop={"steps": 120}
    )
    train(run)
    shares = [event["phases"]["other"] / event["window_s"] for event in run.steps() if event["step"] >= 2]
    assert median(shares) < 0.05
