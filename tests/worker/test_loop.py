import copy
import time
from types import SimpleNamespace

import pytest
import torch
from worker_runs import TestRun, write_run

from ddptui.lines import LineWriter
from engine.core.errors import InputError
from engine.core.schedule import lr_at
from engine.core.snapshot_rule import parse_rule
from engine.core.spec import RunSpec, Scheduler
from engine.worker.beat import NoBeat
from engine.worker.context import RankContext
from engine.worker.datasets.bundle import load_bundle
from engine.worker.loop import Loop
from engine.worker.phases import PhaseClock
from engine.worker.snapshot import NoKeeper
from engine.worker.strategies.single import Single
from engine.worker.task import build_task

CONTEXT = RankContext(
    rank=0,
    local_rank=0,
    node_rank=0,
    world_size=1,
    local_world_size=1,
    nodes=1,
    device=torch.device("cpu"),
    backend="gloo",
    cores=(0,),
    num_threads=1,
)


class Leader(Single):
    """A single process that counts the collectives in which something only one rank knows goes round."""

    num_words = 0

    def from_leader(self, value):
        self.num_words += 1
        return value

    def agree(self, word, is_asked):
        self.num_words += 1
        return word, is_asked


@pytest.fixture
def run_loop(tmp_path):
    """Train a run in this process; ``leave_after`` collectives the leader is asked to leave."""

    def run(leave_after=10**9, strategy_class=Leader, keeper=None, position=None, **changes):
        run = write_run(tmp_path / "run", **changes)
        spec = RunSpec.model_validate_json((run.folder / "run.json").read_bytes())
        bundle = load_bundle(spec)
        task = build_task(spec, bundle, CONTEXT)
        strategy = strategy_class(task, CONTEXT)
        strategy.set_up()
        writer = LineWriter(str(run.folder / "attempts/manual/events/rank0.jsonl"), rank=0, attempt=0)
        loop = Loop(
            strategy=strategy,
            task=task,
            bundle=bundle,
            context=CONTEXT,
            writer=writer,
            clock=PhaseClock(NoBeat()),
            beat=NoBeat(),
            is_leaving=lambda: getattr(strategy, "num_words", 0) >= leave_after,
            keeper=keeper,
        )
        if position is not None:
            loop.go_on(position, None)
        begun_s = time.monotonic()
        ending = loop.run()
        wall_s = time.monotonic() - begun_s
        writer.close()
        return SimpleNamespace(ending=ending, run=run, strategy=strategy, wall_s=wall_s)

    return run


def test_epochs_end_the_run_after_their_whole_global_batches(run_loop):
    done = run_loop(epochs=2, dataset_size=200, global_batch_size=64)
    assert (done.ending.reason, done.ending.epoch, done.ending.step, done.ending.num_steps) == ("epochs", 1, 5, 6)
    assert [event["num_steps"] for event in done.run.events(kind="epoch_stop")] == [3, 3]
    assert [event["step"] for event in done.run.events(kind="epoch_start")] == [0, 3]
    assert [event["samples"] for event in done.run.events(kind="epoch_stop")] == [192, 192]


def test_a_number_of_steps_ends_the_run_within_an_epoch_and_evaluates_it(run_loop):
    done = run_loop(epochs=None, stop={"steps": 5})
    assert (done.ending.reason, done.ending.num_steps) == ("steps", 5)
    assert [event["split"] for event in done.run.events(kind="eval")] == ["test"]


def test_minutes_end_the_run(run_loop):
    done = run_loop(epochs=None, stop={"minutes": 1e-6})
    assert (done.ending.reason, done.ending.num_steps) == ("minutes", 1)


def test_a_test_accuracy_that_is_reached_ends_the_run(run_loop):
    done = run_loop(epochs=50, stop={"test_accuracy": 0.8})
    assert done.ending.reason == "test_accuracy"
    accuracies = [event["accuracy"] for event in done.run.events(kind="eval")]
    assert accuracies[-1] >= 0.8
    assert all(accuracy < 0.8 for accuracy in accuracies[:-1])


def test_a_training_loss_that_is_reached_ends_the_run_and_is_evaluated(run_loop):
    done = run_loop(epochs=50, evaluate_every=50, stop={"loss": 1.0})
    assert done.ending.reason == "loss"
    losses = [event["loss"] for event in done.run.events(kind="epoch_stop")]
    assert losses[-1] <= 1.0
    assert all(loss > 1.0 for loss in losses[:-1])
    assert len(done.run.events(kind="eval")) == 1


def test_being_asked_to_leave_ends_the_run_after_a_whole_step_without_evaluation(run_loop):
    done = run_loop(epochs=50, leave_after=2)
    assert done.ending.reason == "stopped"
    assert done.run.events(kind="eval") == []
    last = done.run.steps()[-1]
    assert last["step"] == done.ending.step
    assert done.run.events(kind="epoch_stop")[-1]["num_steps"] == done.ending.num_steps


def test_evaluation_happens_every_so_many_epochs_and_after_the_last(run_loop):
    done = run_loop(epochs=5, evaluate_every=2)
    assert [event["epoch"] for event in done.run.events(kind="eval")] == [1, 3, 4]


def test_evaluation_can_be_left_out(run_loop):
    done = run_loop(epochs=2, evaluate_every=0)
    assert done.run.events(kind="eval") == []
    assert done.ending.eval_s == 0.0


def test_validation_and_test_samples_are_each_evaluated_once(run_loop):
    done = run_loop(epochs=1, validation=100)
    counts = {event["split"]: event["samples"] for event in done.run.events(kind="eval")}
    assert counts["validation"] == 100
    assert set(counts) == {"validation", "test"}


def test_a_global_batch_larger_than_the_training_set_is_the_users_to_mend(run_loop):
    with pytest.raises(InputError, match=r"global_batch_size: one step takes 1024 samples .* 512 to train on"):
        run_loop(global_batch_size=1024)


def test_each_epoch_has_the_learning_rate_of_its_schedule(run_loop):
    schedule = {"name": "step", "step_size": 1, "gamma": 0.5}
    done = run_loop(epochs=3, scheduler=schedule)
    rates = {event["epoch"]: event["lr"] for event in done.run.steps()}
    assert rates == {epoch: lr_at(Scheduler(**schedule), 0.1, epoch, 3) for epoch in range(3)}
    assert done.strategy._replica.optimizer.param_groups[0]["lr"] == rates[2]


def test_the_windows_of_an_epoch_hold_its_time_and_phases_add_up_to_them(run_loop):
    done = run_loop(epochs=3)
    for event in done.run.steps():
        assert sum(event["phases"].values()) == pytest.approx(event["window_s"], abs=1e-7)
        assert sum(event["boundary"]["phases"].values()) == pytest.approx(event["boundary"]["step_s"], abs=1e-7)
    for stop in done.run.events(kind="epoch_stop"):
        in_windows_s = sum(event["window_s"] for event in done.run.steps() if event["epoch"] == stop["epoch"])
        assert 0.5 * stop["train_s"] < in_windows_s <= stop["train_s"]
        assert stop["epoch_s"] >= stop["train_s"]


class Trailing(Leader):
    """Returns from a step before its work is done, as the driver of a pipeline does."""

    def settle(self, phases):
        self.num_settled = getattr(self, "num_settled", 0) + 1
        phases.switch("bubble")
        time.sleep(0.05)


@pytest.mark.parametrize("ends", [{"epochs": 2}, {"epochs": None, "stop": {"steps": 10}}])
def test_what_a_pipeline_has_still_to_do_as_an_epoch_ends_is_time_of_its_last_step(run_loop, ends):
    done = run_loop(strategy_class=Trailing, **ends)
    stops = done.run.events(kind="epoch_stop")
    assert done.strategy.num_settled == len(stops) == 2
    for stop in stops:
        last = [event for event in done.run.steps() if event["epoch"] == stop["epoch"]][-1]
        assert last["step"] == stop["step"]
        assert last["boundary"]["phases"]["bubble"] >= 0.05
        assert sum(last["boundary"]["phases"].values()) == pytest.approx(last["boundary"]["step_s"], abs=1e-7)


def test_a_run_that_ends_by_agreement_settles_too(run_loop):
    done = run_loop(strategy_class=Trailing, epochs=50, leave_after=2)
    assert done.ending.reason == "stopped"
    assert done.strategy.num_settled == 1


class Diverging(Leader):
    """Its loss is no number from the third step on."""

    def train_step(self, micro_batches, phases):
        output = super().train_step(micro_batches, phases)
        self.num_steps = getattr(self, "num_steps", 0) + 1
        return output if self.num_steps < 3 else type(output)(**{**vars(output), "loss": torch.tensor(float("nan"))})


def test_a_loss_that_is_no_number_is_warned_of_once_and_training_goes_on(run_loop):
    done = run_loop(epochs=2, strategy_class=Diverging)
    assert [event["text"] for event in done.run.events(kind="message")] == ["loss is NaN at step 2"]
    assert done.ending.reason == "epochs"


def test_two_runs_of_one_seed_are_the_same_bit_for_bit_and_of_another_are_not(run_loop, tmp_path):
    states = []
    for number, seed in enumerate([3, 3, 4]):
        done = run_loop(
            epochs=1, seed=seed, model="mnist_cnn", model_args={}, dataset="synthetic", augment=["crop", "flip"]
        )
        (tmp_path / "run").rename(tmp_path / f"run{number}")
        states.append(torch.cat([value.flatten() for value in done.strategy.model_state().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


class Noting(NoKeeper):
    """Notes where snapshots and best models would have been, each of which takes a while."""

    def __init__(self, every, spent_s=0.02):
        self.rule = parse_rule(every)
        self.spent_s = 0.0
        self.taken = []
        self.best = []
        self._each_s = spent_s

    def take(self, position, loader):
        time.sleep(self._each_s)
        self.spent_s += self._each_s
        self.taken.append(copy.deepcopy(position))
        return self._each_s

    def save_best(self):
        time.sleep(self._each_s)
        self.spent_s += self._each_s
        self.best.append(len(self.taken))


PLACES = {
    "epoch": [(1, 0, 8), (2, 0, 16)],
    "2 epochs": [(2, 0, 16)],
    "3 steps": [(0, 3, 3), (0, 6, 6), (1, 1, 9), (1, 4, 12), (1, 7, 15), (2, 2, 18), (2, 5, 21), (2, 8, 24)],
    "16 steps": [(1, 8, 16)],
    "1 h": [],
    "never": [],
}


@pytest.mark.parametrize("every", PLACES)
def test_snapshots_are_taken_where_they_are_asked_for(run_loop, every):
    keeper = Noting(every, spent_s=0.0)
    run_loop(keeper=keeper, epochs=3)
    assert [(at.epoch, at.number, at.num_steps) for at in keeper.taken] == PLACES[every]


@pytest.mark.parametrize("leave_after", range(1, 10))
def test_a_run_that_is_asked_to_leave_takes_its_last_snapshot_where_it_stops(run_loop, leave_after):
    keeper = Noting("1 h", spent_s=0.0)
    done = run_loop(keeper=keeper, epochs=50, leave_after=leave_after)
    (at,) = keeper.taken
    assert at.num_steps == done.ending.num_steps
    assert at.epoch == len(done.run.events(kind="eval")), "an epoch is over when it was evaluated"
    assert at.epoch * 8 + at.number == at.num_steps
    assert done.ending.epoch == (at.epoch if at.number else at.epoch - 1)


def test_snapshots_are_time_of_no_step_and_no_epoch(run_loop):
    keeper = Noting("2 steps")
    done = run_loop(keeper=keeper, epochs=2)
    assert len(keeper.taken) == 8
    for stop in done.run.events(kind="epoch_stop"):
        steps = [event for event in done.run.steps() if event["epoch"] == stop["epoch"]]
        assert sum(event["window_s"] for event in steps) <= stop["train_s"] < stop["epoch_s"] - 4 * 0.02
    assert done.ending.train_s + done.ending.eval_s + keeper.spent_s <= done.wall_s
    parts_s = done.ending.train_s + done.ending.eval_s + keeper.spent_s
    assert sum(stop["epoch_s"] for stop in done.run.events(kind="epoch_stop")) == pytest.approx(parts_s, rel=1e-6)
    assert [event["step"] for event in done.run.steps() if event["step"] % 2] == list(range(1, 16, 2))


def test_a_run_goes_on_from_a_position_with_the_sums_of_its_epoch(run_loop, tmp_path):
    keeper = Noting("5 steps", spent_s=0.0)
    run_loop(keeper=keeper, epochs=2)
    (tmp_path / "run").rename(tmp_path / "whole")
    at = keeper.taken[1]
    assert (at.epoch, at.number, at.num_steps, at.best) == (1, 2, 10, whole_best(tmp_path / "whole"))
    rest = run_loop(keeper=Noting("1 h"), position=at, epochs=2)
    assert rest.ending.num_steps == 16
    assert [event["step"] for event in rest.run.steps()] == list(range(10, 16))
    (start,) = rest.run.events(kind="epoch_start")
    assert (start["epoch"], start["step"]) == (1, 10)
    (stop,) = rest.run.events(kind="epoch_stop")
    assert (stop["num_steps"], stop["samples"]) == (8, 512)


def whole_best(folder):
    return next(event["accuracy"] for event in TestRun(folder).events(kind="eval"))


def test_the_best_model_is_kept_when_an_evaluation_is_better_than_all_before(run_loop):
    accuracies = iter([0.5, 0.7, 0.7, 0.6, 0.9])

    class Known(Leader):
        def evaluate(self, batches, num_batches):
            sums = super().evaluate(batches, num_batches)
            sums.correct = next(accuracies) * sums.samples
            return sums

    keeper = Noting("epoch", spent_s=0.0)
    run_loop(keeper=keeper, strategy_class=Known, epochs=5)
    assert keeper.best == [0, 1, 4]
    assert [at.best for at in keeper.taken] == pytest.approx([0.5, 0.7, 0.7, 0.7])


def test_the_test_samples_choose_nothing_where_there_are_others(run_loop):
    class Opposed(Leader):
        def evaluate(self, batches, num_batches):
            sums = super().evaluate(batches, num_batches)
            self.num_calls = getattr(self, "num_calls", 0) + 1
            is_validation, epoch = self.num_calls % 2 == 1, (self.num_calls - 1) // 2
            sums.correct = (0.1 * epoch if is_validation else 0.9 - 0.1 * epoch) * sums.samples
            return sums

    keeper = Noting("epoch", spent_s=0.0)
    run_loop(keeper=keeper, strategy_class=Opposed, epochs=3, validation=64)
    assert keeper.best == [0, 1, 2]


def test_without_accuracy_the_loss_chooses_and_one_that_is_no_number_never_does(run_loop):
    losses = iter([2.0, float("nan"), 1.0, 3.0])

    class Uncounted(Leader):
        def evaluate(self, batches, num_batches):
            sums = super().evaluate(batches, num_batches)
            sums.correct, sums.loss = None, next(losses) * sums.samples
            return sums

    keeper = Noting("epoch", spent_s=0.0)
    run_loop(keeper=keeper, strategy_class=Uncounted, epochs=4)
    assert keeper.best == [0, 2]
