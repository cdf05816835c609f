import errno
import json
import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from worker_runs import SMALL, write_run

from ddptui.lines import LineWriter
from engine.catalog import STRATEGY_TRAITS
from engine.core.events import decode_line
from engine.core.spec import RunConfig, Snapshot
from engine.core.topology import make_topology
from engine.store import RunPaths
from engine.worker import snapshot
from engine.worker.beat import NoBeat
from engine.worker.context import RankContext
from engine.worker.random_state import get_random_state, seed_everything, set_random_state
from engine.worker.restoring import load_resumed
from engine.worker.snapshot import Keeper, Position, describe_origin, save_model
from engine.worker.strategies.interface import Task
from engine.worker.strategies.single import Single

CPU = torch.device("cpu")
CONTEXT = RankContext(
    rank=0,
    local_rank=0,
    node_rank=0,
    world_size=1,
    local_world_size=1,
    nodes=1,
    device=CPU,
    backend="gloo",
    cores=(0,),
    num_threads=1,
)


class Counting(nn.Module):
    """A layer with a buffer that its state_dict leaves out."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, inputs):
        self.seen += 1
        return self.layer(inputs)


class Weighted(nn.Module):
    """A loss with a state of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, outputs, targets):
        self.scale *= 0.5
        return nn.functional.cross_entropy(outputs, targets) * self.scale


def make_strategy():
    config = RunConfig.model_validate(SMALL)
    task = Task(
        config=config,
        topology=make_topology(config, STRATEGY_TRAITS["single"]),
        input_shape=(4,),
        build_model=Counting,
        loss=Weighted(),
        count_correct=None,
        make_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    )
    strategy = Single(task, CONTEXT)
    strategy.set_up()
    return strategy


@pytest.fixture
def paths(tmp_path):
    return RunPaths(write_run(tmp_path / "run").folder)


@pytest.fixture
def keep(paths):
    """A keeper of a single process, and what it says."""
    log = paths.root / "events.jsonl"

    def make(strategy=None, **settings):
        return Keeper(
            paths,
            strategy or make_strategy(),
            CONTEXT,
            settings=Snapshot(**settings),
            writer=LineWriter(str(log), rank=0, attempt=1),
            beat=NoBeat(),
            manifest={"config": {}, "global_batch_size": 64, **describe_origin(CONTEXT)},
        )

    make.said = lambda: [decode_line(line) for line in log.read_bytes().splitlines()]
    return make


def taken(paths):
    return sorted(int(path.name) for path in paths.snapshots.glob("*"))


def attempt_from(paths, num_steps):
    attempt = paths.attempt(1)
    attempt.root.mkdir(parents=True, exist_ok=True)
    attempt.attempt.write_text(json.dumps({"snapshot": f"{num_steps:012}"}))
    return attempt


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_random_numbers_go_on_from_where_they_were_saved(tmp_path):
    seed_everything(3)
    random.gauss(0, 1), np.random.randn()  # of which a second one waits
    torch.save(get_random_state(CPU), tmp_path / "state")
    drawn = [draw() for _ in range(5)], random.gauss(0, 1), float(np.random.randn())
    seed_everything(4)
    set_random_state(torch.load(tmp_path / "state", weights_only=True), CPU)
    assert ([draw() for _ in range(5)], random.gauss(0, 1), float(np.random.randn())) == drawn
    seed_everything(3)
    first = draw()
    seed_everything(3)
    assert draw() == first


def test_a_snapshot_holds_the_position_and_everything_that_a_step_changes(paths, keep):
    strategy = make_strategy()
    optimizer = strategy._replica.optimizer
    strategy._replica.forward(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    strategy.task.loss(torch.zeros(2, 3), torch.tensor([0, 1]))
    position = Position(epoch=2, number=3, num_steps=19, train_s=1.5, passed_s=2.5, sums=[1.0, 2.0], best=0.75)
    keep(strategy).take(position, {"generator": torch.Generator().get_state()})
    resumed = load_resumed(paths, attempt_from(paths, 19), CONTEXT, global_batch_size=64)
    assert resumed.position == position
    assert resumed.warning == ""
    other = make_strategy()
    other.restore(resumed.saved)
    for ours, theirs in zip(strategy._replica.model.parameters(), other._replica.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(
            optimizer.state[ours]["momentum_buffer"], other._replica.optimizer.state[theirs]["momentum_buffer"]
        )
    assert other._replica.model.seen == 1.0
    assert other.task.loss.scale == 0.5


def test_a_second_snapshot_of_the_same_step_is_none(paths, keep):
    keeper = keep()
    assert keeper.take(Position(num_steps=7), {}) > 0
    assert keeper.take(Position(num_steps=7), {}) == 0
    (event,) = keep.said()
    assert (event["kind"], event["step"], event["is_kept"]) == ("snapshot", 6, True)
    assert event["snapshot_s"] == keeper.spent_s > 0


def test_the_time_of_snapshots_goes_on_over_attempts(keep):
    keeper = keep()
    keeper.begin(Position(num_steps=5, snapshot_s=3.0))
    position = Position(num_steps=6)
    spent_s = keeper.take(position, {})
    assert position.snapshot_s == 3.0
    assert keeper.spent_s == 3.0 + spent_s


def test_a_run_begins_without_what_a_killed_attempt_left_of_the_steps_ahead(paths, keep):
    first = keep(keep=9)
    for num_steps in (5, 10, 15):
        first.take(Position(num_steps=num_steps), {})
    (paths.snapshots / "000000000020").mkdir()
    (paths.root / ".model_best.pt.x1").write_bytes(b"half")
    (paths.root / ".model_final.pt.y2").write_bytes(b"half")
    keep(every="never").begin(Position())
    assert taken(paths) == [5, 10, 15, 20], "whoever takes none lets them be"
    keep().begin(Position(num_steps=10))
    assert taken(paths) == [5, 10]
    assert not list(paths.root.glob(".model*"))
    keep().begin(Position())
    assert not paths.snapshots.exists()


def test_a_snapshot_whose_manifest_finds_no_room_is_taken_away_again(paths, keep, monkeypatch):
    keeper = keep()
    keeper.take(Position(num_steps=5), {})

    def write_manifest(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    monkeypatch.setattr(snapshot, "write_manifest", write_manifest)
    keeper.take(Position(num_steps=10), {})
    assert taken(paths) == [5]
    _, message, event = keep.said()
    assert (message["level"], message["text"]) == ("warning", "no snapshot at step 10: No space left on device")
    assert event["is_kept"] is False


def test_what_the_bits_depend_on_is_compared_and_named(paths, keep):
    keep().take(Position(epoch=0, number=6, num_steps=6, sums=[1.0]), {})
    manifest = paths.snapshot(6) / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "torch": "1.0", "num_threads": 4}))
    resumed = load_resumed(paths, attempt_from(paths, 6), CONTEXT, global_batch_size=64)
    assert resumed.saved.own is not None
    assert resumed.warning == (
        f"what follows is not the same run bit for bit: torch 1.0 then, {torch.__version__} now; "
        "threads per rank 4 then, 1 now"
    )


def test_with_another_number_of_ranks_the_place_in_the_epoch_is_counted_in_samples(paths, keep):
    keep().take(Position(epoch=1, number=6, num_steps=14, sums=[1.0]), {})
    manifest = paths.snapshot(14) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "world_size": 2}))
    resumed = load_resumed(paths, attempt_from(paths, 14), CONTEXT, global_batch_size=96)
    assert (resumed.position.number, resumed.position.num_steps, resumed.position.sums) == (4, 14, [])
    assert (resumed.saved.own, resumed.saved.loader, resumed.saved.random) == (None, None, None)
    assert resumed.warning == "what follows is not the same run bit for bit: ranks 2 then, 1 now"


@pytest.mark.parametrize("name", [None, "", "../../elsewhere", 5])
def test_an_attempt_that_names_no_snapshot_begins_anew(paths, name):
    attempt = attempt_from(paths, 1)
    attempt.attempt.write_text(json.dumps({"snapshot": name}))
    assert load_resumed(paths, attempt, CONTEXT, global_batch_size=64) is None


def test_a_model_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model_final.pt"
    save_model(path, {"weight": torch.ones(2)})
    with pytest.raises(AttributeError):
        save_model(path, {"weight": lambda: None})  # cannot be pickled
    assert torch.equal(torch.load(path, weights_only=True)["weight"], torch.ones(2))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model_final.pt"]
