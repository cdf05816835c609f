"""What real ranks load under each partition, and that every way of averaging gradients trains the same with it."""

import pytest
import torch
from worker_runs import write_run

from engine.catalog import STRATEGY_TRAITS
from engine.core.confounds import find_confounds
from engine.core.metrics import RunFold
from engine.core.partition_names import PARTITIONS
from engine.core.share_audit import forecast
from engine.core.spec import RunSpec
from engine.core.topology import make_topology
from engine.worker.datasets.bundle import load_bundle
from engine.worker.share import make_partition
from tui.view.rank_rows import RankRow, find_slowest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHORT = {"epochs": 2, "dataset_size": 320, "global_batch_size": 64, "evaluate_every": 0}
TWO_RANKS = {"strategy": "ddp", "world_size": 2}
EXACT = 2e-6
SYNCS = ("bucketed", "allreduce", "allgather")
SLOW = {"rank": 1, "phase": "forward", "factor": 30.0}


SYNC_OF = {name: SYNCS[1 + place % 2] for place, name in enumerate(PARTITIONS)}
"""All-reduce and all-gather in turn; the usual partition with every way."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train):
    """Each partition on two ranks, and in one process on two replicas of dp."""
    folder = tmp_path_factory.mktemp("partitions")
    pairs = {*SYNC_OF.items(), *(("disjoint", sync) for sync in SYNCS)}
    two = {
        (name, sync): write_run(
            folder / f"{name}-{sync}", **SHORT, **TWO_RANKS, partition=name, ddp={"gradient_sync": sync}
        )
        for name, sync in sorted(pairs)
    }
    two["slow", "bucketed"] = write_run(folder / "slow", **SHORT, **TWO_RANKS, slow=SLOW)
    one = {
        (name, "dp"): write_run(folder / f"{name}-dp", **SHORT, strategy="dp", dp={"num_replicas": 2}, partition=name)
        for name in PARTITIONS
    }
    one["disjoint", "single"] = write_run(folder / "single", **SHORT)
    train(*one.values())
    train(*two.values(), world_size=2)
    return one | two


def weights(run):
    return torch.load(run.folder / "model_final.pt", weights_only=True)


def folded(run, world_size=2):
    spec = RunSpec.model_validate_json((run.folder / "run.json").read_bytes())
    fold = RunFold(spec)
    for rank in range(world_size):
        fold.extend(run.events(rank))
    return spec, fold


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_way_of_averaging_trains_the_same_as_one_process_on_the_same_samples(trained, name):
    expected = weights(trained[name, "dp"])
    for sync in SYNCS if name == "disjoint" else [SYNC_OF[name]]:
        for key, value in weights(trained[name, sync]).items():
            torch.testing.assert_close(value, expected[key], rtol=0, atol=EXACT)
    if name == "disjoint":
        for key, value in weights(trained["disjoint", "single"]).items():
            torch.testing.assert_close(value, expected[key], rtol=0, atol=EXACT)


def test_another_partition_trains_on_other_samples(trained):
    finals = [next(iter(weights(trained[name, SYNC_OF[name]]).values())) for name in PARTITIONS]
    for place, one in enumerate(finals):
        assert not any(torch.equal(one, other) for other in finals[:place])


@pytest.mark.parametrize("name", PARTITIONS)
def test_what_the_ranks_loaded_is_what_was_forecast(trained, name):
    spec, fold = folded(trained[name, SYNC_OF[name]])
    bundle = load_bundle(spec)
    topology = make_topology(spec.config, STRATEGY_TRAITS["ddp"])
    partition = make_partition(spec.config, topology, bundle)
    expected = forecast(partition, labels=bundle.train.labels(), num_classes=10, num_epochs=2)
    assert fold.record.coverage.rows() == expected
    assert expected[0]["per_share"] == [32 * partition.num_steps] * 2


@pytest.mark.parametrize(
    ("name", "words"),
    [("faulty_random_half", "the ranks see 50.0 % of the training data"), ("random", "seen by several ranks")],
)
def test_a_partition_that_shows_less_is_a_confound_of_the_run(trained, name, words):
    _, fold = folded(trained[name, SYNC_OF[name]])
    assert any(words in line for line in find_confounds(fold.record, [], [], {}))


def test_run_start_names_the_partition_and_the_straggler(trained):
    (start,) = trained["dirichlet", SYNC_OF["dirichlet"]].events(0, "run_start")
    assert start["description"].endswith("; partition dirichlet")
    (start,) = trained["slow", "bucketed"].events(0, "run_start")
    assert start["description"].endswith("; rank 1 made slow on purpose: forward x 30")


def test_a_straggler_changes_no_weight(trained):
    expected = weights(trained["disjoint", "bucketed"])
    assert all(torch.equal(value, expected[key]) for key, value in weights(trained["slow", "bucketed"]).items())


def test_the_analysis_names_the_rank_that_was_made_slow_and_its_phase(trained):
    _, fold = folded(trained["slow", "bucketed"])
    summary = fold.summary({"state": "succeeded"})
    assert "rank 1 made slow on purpose: forward x 30" in summary["confounds"]
    rows = [
        RankRow(rank=int(rank), step_s=sum(phases.values()), phases=phases, waiting_s=phases["comm"])
        for rank, phases in summary["phases"].items()
    ]
    marked, reason = find_slowest(rows)
    assert [row.is_slowest for row in marked] == [False, True]
    assert reason.startswith("rank 1 is slowest: forward ")


def test_dp_says_what_each_replica_loaded(trained):
    _, fold = folded(trained["faulty_random_half", "dp"], world_size=1)
    (row, _) = fold.record.coverage.rows()
    assert len(row["per_share"]) == 2
    assert row["overlap_ratio"] == 1.0
