"""The strategies train the same model on the same data in the same order: their losses must be those of ``single``."""

import itertools

import pytest
import torch
from worker_runs import SMALL, write_run

EPOCHS = {"epochs": 1, "dataset_size": 640, "evaluate_every": 1}
"""Ten steps, each with a line of its own."""

ONE_PROCESS = {
    "single": {},
    "single-accumulated": {"gradient_accumulation_steps": 4},
    "dp": {"strategy": "dp", "dp": {"num_replicas": 2}},
    "dp-again": {"strategy": "dp", "dp": {"num_replicas": 2}},
    "dp-of-four": {"strategy": "dp", "dp": {"num_replicas": 4}},
    "dp-accumulated": {"strategy": "dp", "dp": {"num_replicas": 2}, "gradient_accumulation_steps": 2},
    "bf16": {"precision": "bf16"},
    "channels-last": {"channels_last": True},
}
TWO_RANKS = {
    "ddp": {},
    "ddp-accumulated": {"gradient_accumulation_steps": 2},
    "allreduce": {"ddp": {"gradient_sync": "allreduce"}},
    "allgather": {"ddp": {"gradient_sync": "allgather"}},
    "allgather-accumulated": {"ddp": {"gradient_sync": "allgather"}, "gradient_accumulation_steps": 2},
    "small-buckets": {"ddp": {"bucket_cap_mb": 0.001}},
    "every-rank": {"evaluation": "every_rank"},
    "fp16-hook": {"ddp": {"comm_hook": "fp16"}},
    "bf16-hook": {"ddp": {"comm_hook": "bf16"}},
    "powersgd": {"ddp": {"comm_hook": "powersgd", "powersgd_rank": 4}},
    "fsdp": {"strategy": "fsdp"},
    "fsdp-accumulated": {"strategy": "fsdp", "gradient_accumulation_steps": 2},
    "fsdp-whole": {"strategy": "fsdp", "fsdp": {"shard": "whole", "reshard_after_forward": False}},
    "fsdp-bf16": {"strategy": "fsdp", "precision": "bf16"},
}
PIPELINES = {
    "gpipe": {"strategy": "pipeline"},
    "1f1b": {"strategy": "pipeline", "pipeline": {"schedule": "1f1b", "num_micro_batches": 8}},
    "gpipe-accumulated": {"strategy": "pipeline", "gradient_accumulation_steps": 2},
    "gpipe-bf16": {"strategy": "pipeline", "precision": "bf16"},
}
EVERY = [*ONE_PROCESS, *TWO_RANKS, *PIPELINES]

# Ten steps of SGD at a loss near 2. fp32 differs by the order of additions only. The hooks round gradients to 11 and 8
# bits. PowerSGD of rank 4 keeps a part of each gradient and catches up later, so only its course is compared.
TOLERANCES = {"fp16-hook": 1e-3, "bf16-hook": 5e-3, "powersgd": 0.25}
TOLERANCES |= dict.fromkeys(["bf16", "fsdp-bf16", "gpipe-bf16"], 5e-2)
EXACT = 2e-6


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train):
    folder = tmp_path_factory.mktemp("strategies")
    one = {name: write_run(folder / name, **EPOCHS, **changes) for name, changes in ONE_PROCESS.items()}
    two = {
        name: write_run(folder / name, **{**EPOCHS, "strategy": "ddp", "world_size": 2, **changes})
        for name, changes in (TWO_RANKS | PIPELINES).items()
    }
    train(*one.values())
    train(*two.values(), world_size=2)
    return one | two


def mean_losses(trained, name):
    if name in PIPELINES:  # the last stage alone knows
        assert trained[name].losses(0) == [None] * 10
        return trained[name].losses(1)
    ranks = range(2 if name in TWO_RANKS else 1)
    return [sum(losses) / len(losses) for losses in zip(*(trained[name].losses(rank) for rank in ranks), strict=True)]


def weights(trained, name):
    return torch.load(trained[name].folder / "model_final.pt", weights_only=True)


@pytest.mark.parametrize("name", EVERY)
def test_losses_are_those_of_single(trained, name):
    expected = mean_losses(trained, "single")
    assert len(expected) == 10
    assert expected[-1] < expected[0] - 0.2, "it learns, so equal losses mean equal updates"
    assert mean_losses(trained, name) == pytest.approx(expected, abs=TOLERANCES.get(name, EXACT))


@pytest.mark.parametrize("name", EVERY)
def test_the_saved_model_has_the_names_and_values_of_single(trained, name):
    expected, found = weights(trained, "single"), weights(trained, name)
    assert list(found) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=TOLERANCES.get(name, EXACT))


@pytest.mark.parametrize("name", ["fp16-hook", "bf16-hook", "powersgd"])
def test_a_communication_hook_was_at_work(trained, name):
    assert mean_losses(trained, name) != mean_losses(trained, "ddp")


def test_dp_is_the_same_bit_for_bit_each_time(trained):
    first, second = weights(trained, "dp"), weights(trained, "dp-again")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", EVERY)
def test_evaluation_counts_every_sample_once(trained, name):
    (expected,) = trained["single"].events(0, "eval")
    (found,) = trained[name].events(0, "eval")
    assert found["samples"] == expected["samples"]
    if name not in TOLERANCES:
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
        assert found["accuracy"] == expected["accuracy"]


@pytest.mark.parametrize("name", [*TWO_RANKS, *PIPELINES])
def test_one_rank_alone_writes_the_evaluation(trained, name):
    assert trained[name].events(1, "eval") == []


@pytest.mark.parametrize("name", TWO_RANKS)
def test_ranks_share_each_global_batch_equally(trained, name):
    for rank in (0, 1):
        assert {event["samples"] for event in trained[name].steps(rank)} == {SMALL["global_batch_size"] // 2}


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("single", {"data", "forward", "backward", "optimizer", "other"}),
        ("dp", {"data", "forward", "backward", "comm", "optimizer", "other"}),
        ("ddp", {"data", "forward", "backward", "comm", "optimizer", "other"}),
        ("ddp-accumulated", {"data", "forward", "backward", "comm", "optimizer", "other"}),
        ("fsdp", {"data", "forward", "backward", "optimizer", "other"}),
        ("gpipe", {"data", "forward", "backward", "bubble", "optimizer", "other"}),
        ("allreduce", {"data", "forward", "backward", "comm", "optimizer", "other"}),
    ],
)
def test_a_step_has_the_phases_that_its_strategy_can_measure(trained, name, phases):
    for event in trained[name].steps():
        assert set(event["phases"]) == phases


@pytest.mark.parametrize("name", PIPELINES)
def test_the_samples_of_a_pipeline_are_counted_once(trained, name):
    assert all("samples" not in event for event in trained[name].steps(0))
    assert {event["samples"] for event in trained[name].steps(1)} == {SMALL["global_batch_size"]}


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stage_says_what_it_computed_when(trained, rank):
    for event in trained["1f1b"].steps(rank):
        spans = event["boundary"]["spans"]
        assert [op for op, *_ in spans].count("F") == [op for op, *_ in spans].count("B") == 8
        assert all(start <= end for _, _, start, end in spans)
        assert all(one[3] <= other[2] for one, other in itertools.pairwise(spans))
    first = [(op, number) for op, number, *_ in spans]
    ahead = 2 - rank  # as many forward passes as there are stages from here on, then one backward pass each
    assert first[: ahead + 2] == [*(("F", number) for number in range(ahead)), ("B", 0), ("F", ahead)]
    assert first[-1] == ("W", -1)


def test_run_start_says_what_the_strategy_does(trained):
    (start,) = trained["powersgd"].events(0, "run_start")
    assert "one bucket" in start["description"]
    (start,) = trained["dp-of-four"].events(0, "run_start")
    assert start["description"].startswith("4 replicas of one process in threads")
    assert start["num_devices"] == 4
    assert start["num_steps"] == start["steps_per_epoch"] == 10
