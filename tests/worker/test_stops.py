import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.spec import Stop
from engine.worker.stops import AGREE_EVERY_S, Agreement, steps_until_next


class Ranks:
    """Agreements of several ranks in lockstep: rank 0's word and any rank's request reach all, in one collective each.

    A request counts at the collective after it, as with strategies whose leader is ahead of the others.
    """

    def __init__(self, stop, count=3, step_s=0.01, snapshot_s=None, begun_at=(0, 0.0)):
        self.now_s = 0.0
        self.step_s = step_s
        self.leaving = [False] * count
        self.num_collectives = [0] * count
        self._words = []
        self._requests = [[False] * count]  # of all ranks, at the end of each collective
        self._ranks = [
            Agreement(self._agree(rank), stop, lambda rank=rank: self.leaving[rank], snapshot_s, now=lambda: self.now_s)
            for rank in range(count)
        ]
        for agreement in self._ranks:
            agreement.start(*begun_at)

    def _agree(self, rank):
        def agree(word, is_asked):
            if rank == 0:
                self._words.append((word, is_asked or any(self._requests[-1])))
                self._requests.append([False] * len(self.leaving))
            self._requests[-1][rank] = is_asked
            self.num_collectives[rank] += 1
            return self._words[self.num_collectives[rank] - 1]

        return agree

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

    def take_snapshots(self, first, limit, spent_s):
        """Train on and take the snapshots that all ranks find due, each in so many seconds; return their steps."""
        taken = []
        for step in range(first, limit + 1):
            self.now_s += self.step_s
            assert self.all("after_step", step) is None
            are_due = {agreement.is_snapshot_due for agreement in self._ranks}
            assert len(are_due) == 1
            if are_due == {True}:
                self.now_s += spent_s
                for agreement in self._ranks:
                    agreement.note_snapshot(spent_s)
                taken.append(step)
        return taken


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


@pytest.mark.parametrize(("rank", "collectives"), [(0, 1), (1, 2), (2, 2)])
def test_any_rank_that_is_asked_to_leave_takes_all_ranks_with_it_within_about_a_second(rank, collectives):
    ranks = Ranks(Stop(), step_s=0.01)
    ranks.run(1000)
    asked_s = ranks.now_s
    ranks.leaving[rank] = True
    for step in range(1001, 2000):
        ranks.now_s += 0.01
        if ranks.all("after_step", step) == "stopped":
            break
    assert ranks.now_s - asked_s <= collectives * AGREE_EVERY_S + 0.02


def test_a_request_goes_before_a_limit_that_is_reached_in_the_same_moment_but_not_before_the_goal():
    ranks = Ranks(Stop(minutes=1.0, loss=0.5, test_accuracy=0.9), step_s=61.0)
    ranks.leaving[0] = True
    assert ranks.run(1) == (1, "stopped")
    assert ranks.all("after_training", 0.1) == "stopped"
    assert ranks.all("after_evaluation", 0.95) == "test_accuracy"
    assert ranks.all("after_evaluation", 0.1) == "stopped"


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


@pytest.mark.parametrize("spent_s", [0.0, 2.0])
def test_a_snapshot_is_due_for_all_ranks_at_the_first_agreement_after_its_time(spent_s):
    ranks = Ranks(Stop(), step_s=0.01, snapshot_s=10.0)
    taken = ranks.take_snapshots(1, 5000, spent_s)
    gaps_s = [(after - before) * 0.01 for before, after in zip([0, *taken], taken, strict=False)]
    assert len(taken) == 4
    assert all(10.0 - 1e-6 <= gap_s <= 10.0 + 2 * AGREE_EVERY_S for gap_s in gaps_s)


def test_without_an_interval_no_snapshot_is_due_by_time():
    assert Ranks(Stop(), step_s=1.0).take_snapshots(1, 500, 0.0) == []


def test_snapshots_cost_the_minutes_nothing():
    ranks = Ranks(Stop(minutes=1.0), step_s=0.1, snapshot_s=10.0)
    assert len(ranks.take_snapshots(1, 590, 7.0)) == 5
    for step in range(591, 700):
        ranks.now_s += 0.1
        if ranks.all("after_step", step) == "minutes":
            break
    assert 600 <= step <= 602


@pytest.mark.parametrize(("passed_s", "left_s"), [(0.0, 60.0), (45.0, 15.0), (90.0, 1.0)])
def test_the_minutes_go_on_from_where_an_attempt_was_left(passed_s, left_s):
    ranks = Ranks(Stop(minutes=1.0), step_s=1.0, begun_at=(700, passed_s))
    for step in range(701, 800):
        ranks.now_s += 1.0
        if ranks.all("after_step", step) == "minutes":
            break
    assert step - 700 == left_s
    assert ranks._ranks[0].passed_s == passed_s + left_s
