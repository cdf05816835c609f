"""The latency of a small all-reduce and of a barrier, measured by the ranks of real runs."""

import pytest
import torch
from worker_runs import write_run

from engine.core.metrics import RunFold
from engine.worker.context import RankContext
from engine.worker.latency import BLOCK, MAX_REPEATS, measure_latency

DROPOUT = {"model": "mnist_rnn", "model_args": {}, "epochs": 1, "dataset_size": 128, "world_size": 2}
"""Dropout: a random number more or less would be seen in the weights."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train):
    folder = tmp_path_factory.mktemp("latency")
    runs = {
        "without": write_run(folder / "without", **DROPOUT, strategy="ddp"),
        "with": write_run(folder / "with", **DROPOUT, strategy="ddp", measure_latency=True),
        "pipeline": write_run(folder / "pipeline", epochs=1, strategy="pipeline", world_size=2, measure_latency=True),
    }
    train(*runs.values(), world_size=2)
    return runs


@pytest.mark.parametrize("name", ["with", "pipeline"])
def test_every_rank_times_as_many_repeats_of_both_before_its_first_step(trained, name):
    said = [trained[name].events(rank, "latency") for rank in range(2)]
    assert [len(events) for events in said] == [1, 1]
    (first,), (second,) = said
    for operation in ("all_reduce_s", "barrier_s"):
        assert BLOCK <= len(first[operation]) == len(second[operation]) <= MAX_REPEATS
        assert min(first[operation] + second[operation]) > 0
    assert (first["world_size"], first["backend"], first["all_reduce_bytes"]) == (2, "gloo", 4)
    kinds = [event["kind"] for event in trained[name].events(0)]
    assert kinds.index("run_start") < kinds.index("latency") < kinds.index("epoch_start")


def test_the_training_is_the_same_bit_for_bit_and_says_nothing_unless_asked(trained):
    assert trained["without"].events(0, "latency") == []
    ours, theirs = (
        torch.load(trained[name].folder / "model_final.pt", weights_only=True) for name in ("with", "without")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert trained["with"].losses(1) == trained["without"].losses(1)


def test_a_summary_puts_all_ranks_together(trained):
    fold = RunFold({"config": {"measure_latency": True}})
    for rank in range(2):
        fold.extend(trained["with"].events(rank))
    found = fold.summary({"state": "succeeded"})["latency"]
    assert (found["world_size"], found["nodes"], found["backend"], found["all_reduce"]["num_bytes"]) == (
        2,
        1,
        "gloo",
        4,
    )
    for operation in ("all_reduce", "barrier"):
        assert 0 < found[operation]["p5_s"] <= found[operation]["median_s"] <= found[operation]["p95_s"]


def test_a_process_by_itself_measures_nothing():
    context = RankContext(
        rank=0, local_rank=0, node_rank=0, world_size=1, local_world_size=1, nodes=1, device=torch.device("cpu"),
        backend="gloo", cores=(0,), num_threads=1,
    )  # fmt: skip
    assert measure_latency(context, lambda value: value) is None
