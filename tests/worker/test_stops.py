import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.spec import Stop
from engine.worker.stops import AGREE_EVERY_S, Agreement, steps_until_next


class Ranks:
    """Agreements of several ranks in lockstep: rank 0's word reaches all, and all must make the same collectives."""

    def __init__(self, stop, count=3, step_s=0.01):
        self.now_s = 0.0
        self.step_s = step_s
        self.leaving = [False] * count
        self.num_collectives = [0] * count
        self._words = []
        self._ranks = [
            Agreement(self._leader(rank), stop, lambda rank=rank: self.leaving[rank], now=lambda: self.now_s)
            for rank in range(count)
        ]
        for agreement in self._ranks:
            agreement.start()

    def _leader(self, rank):
        def from_leader(value):
            if rank == 0:
                self._words.append(value)
            self.num_collectives[rank] += 1
            return self._words[self.num_collectives[rank] - 1]

        return from_leader

    def all(self, method, *arguments):
        answers = [getattr(agreement, method)(*arguments) for agreement in self._ranks]
        assert len(set(answers)) == 1
        assert len(set(self.num_collectives)) == 1
        return answers[0]

    def run(self, limit):
        for step in range(1, limit + 1):
            self.now_s += self.step_s
            if reason := self.all("after_step", step):
                return step, reason
        return limit, None


@given(step_s=st.floats(1e-6, 1e3), wait_s=st.floats(-1.0, 1.0), previous=st.sampled_from([1, 2, 64]))
def test_the_next_agreement_is_a_power_of_two_away_and_never_late(step_s, wait_s, previous):
    steps = steps_until_next(step_s, wait_s, previous)
    assert steps >= 1
    assert steps & (steps - 1) == 0
    assert steps <= 2 * previous
    assert steps == 1 or steps * step_s <= wait_s * (1 + 1e-9)


def test_agreeing_happens_about_twice_a_second_and_not_every_step():
    ranks = Ranks(Stop(), step_s=0.001)
    assert ranks.run(10_000) == (10_000, None)
    assert ranks.num_collectives[0] < 10.0 / AGREE_EVERY_S * 2 + 12


def test_a_number_of_steps_needs_no_collective():
    ranks = Ranks(Stop(steps=1))
    assert ranks.run(5) == (1, "steps")
    assert ranks.num_collectives == [0, 0, 0]


def test_a_number_of_steps_ends_at_that_step():
    assert Ranks(Stop(steps=77)).run(200) == (77, "steps")


@pytest.mark.parametrize("step_s", [0.001, 0.3, 20.0])
def test_the_minutes_end_the_run_at_most_one_agreement_late(step_s):
    ranks = Ranks(Stop(minutes=1.0), step_s=step_s)
    step, reason = ranks.run(100_000)
    assert reason == "minutes"
    assert 60.0 - 1e-6 <= step * step_s <= 60.0 + 2 * step_s + 1e-6


def test_a_leader_that_is_asked_to_leave_takes_all_ranks_with_it_within_a_second():
    ranks = Ranks(Stop(), step_s=0.01)
    ranks.run(1000)
    asked_s = ranks.now_s
    ranks.leaving[0] = True
    for step in range(1001, 2000):
        ranks.now_s += 0.01
        if ranks.all("after_step", step) == "stopped":
            break
    assert ranks.now_s - asked_s <= AGREE_EVERY_S + 0.02


def test_what_only_a_follower_knows_ends_nothing():
    ranks = Ranks(Stop(), step_s=0.5)
    ranks.leaving[1] = True
    assert ranks.run(50) == (50, None)


def test_a_loss_ends_the_run_when_it_is_at_most_the_limit():
    ranks = Ranks(Stop(loss=0.5))
    assert ranks.all("after_training", 0.6) is None
    assert ranks.all("after_training", None) is None
    assert ranks.all("after_training", float("nan")) is None
    assert ranks.all("after_training", 0.5) == "loss"


def test_an_accuracy_ends_the_run_when_it_is_at_least_the_limit():
    ranks = Ranks(Stop(test_accuracy=0.9))
    assert ranks.all("after_evaluation", 0.89) is None
    assert ranks.all("after_evaluation", None) is None
    assert ranks.all("after_evaluation", 0.9) == "test_accuracy"


def test_without_limits_epochs_go_on():
    ranks = Ranks(Stop())
    assert ranks.all("after_training", 0.0) is None
    assert ranks.all("after_evaluation", 1.0) is None
