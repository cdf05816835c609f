"""Runs that are killed, asked to leave or short of room go on as the undisturbed ones, bit for bit."""

import json
import os
import signal

import pytest
import torch
from attempts import differences, make_trial, nursery, unequal

from engine.core.errors import InputError
from engine.snapshots import part_of, write_manifest, write_part

SMALL = {
    "model": "mnist_rnn",
    "model_args": {"num_hidden": 16},
    "dataset": "digits",
    "dataset_size": 192,
    "global_batch_size": 24,
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "augment": ["crop", "flip"],
    "epochs": 3,
    "snapshot": {"every": "5 steps"},
}
"""Eight steps an epoch; batch norm, dropout and augmentation, all of which have a state of their own."""

LENET = {"model": "lenet5", "model_args": {}}
ADAM = {"optimizer": {"name": "adam", "lr": 0.01}}

CASES = {
    "single": {},
    "single, adam, schedule, fp16": {
        **LENET,
        **ADAM,
        "precision": "fp16",
        "scheduler": {"name": "step", "step_size": 1, "gamma": 0.5},
    },
    "single, adadelta, bf16": {"optimizer": {"name": "adadelta", "lr": 0.5}, "precision": "bf16"},
    "single, accumulation": {"gradient_accumulation_steps": 2},
    "dp": {"strategy": "dp", "dp": {"num_replicas": 2}},
    "ddp, 2 ranks": {"strategy": "ddp", "world_size": 2},
    "ddp, 2 ranks, accumulation": {"strategy": "ddp", "world_size": 2, "gradient_accumulation_steps": 2},
    "ddp, 2 ranks, fp16 hook": {"strategy": "ddp", "world_size": 2, "ddp": {"comm_hook": "fp16"}},
    "ddp, 2 ranks, powersgd": {"strategy": "ddp", "world_size": 2, "ddp": {"comm_hook": "powersgd"}},
    "ddp, 2 ranks, allreduce": {
        "strategy": "ddp",
        "world_size": 2,
        "ddp": {"gradient_sync": "allreduce"},
        "evaluate_every": 3,  # each evaluation makes the buffers of all ranks equal
    },
    "ddp, 3 ranks": {"strategy": "ddp", "world_size": 3},
    "ddp, 3 ranks, small buckets": {"strategy": "ddp", "world_size": 3, "ddp": {"bucket_cap_mb": 0.002}},
    "ddp, 3 ranks, fp16 hook, accumulation": {
        "strategy": "ddp",
        "world_size": 3,
        "ddp": {"comm_hook": "fp16"},
        "gradient_accumulation_steps": 2,
    },
    "ddp, 3 ranks, powersgd": {"strategy": "ddp", "world_size": 3, "ddp": {"comm_hook": "powersgd"}},
    "fsdp, 2 ranks": {"strategy": "fsdp", "world_size": 2},
    "fsdp, 3 ranks, adam, accumulation": {
        "strategy": "fsdp",
        "world_size": 3,
        "gradient_accumulation_steps": 2,
        **LENET,
        **ADAM,
    },
    "pipeline, split auto": {"strategy": "pipeline", "world_size": 2},
    "pipeline, 1f1b, adam, 3 stages": {
        "strategy": "pipeline",
        "world_size": 3,
        "pipeline": {"schedule": "1f1b", "num_micro_batches": 6},
        **ADAM,
    },
    "rpc_pipeline, split auto": {
        "strategy": "rpc_pipeline",
        "world_size": 3,
        "rpc_pipeline": {"num_stages": 2, "num_micro_batches": 3},
    },
    "rpc_pipeline, 1f1b, adam": {
        "strategy": "rpc_pipeline",
        "world_size": 3,
        "rpc_pipeline": {"num_stages": 2, "num_micro_batches": 2, "schedule": "1f1b"},
        **ADAM,
    },
}


@pytest.fixture(scope="module")
def ranks():
    with nursery() as started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, ranks):
    """Undisturbed runs, each trained once."""
    trained = {}

    def train(config):
        key = json.dumps(config, sort_keys=True)
        if key not in trained:
            whole = trained[key] = make_trial(tmp_path_factory.mktemp("runs") / "whole", ranks, **config)
            assert whole.train() == [0] * whole.world_size, whole.said()
        return trained[key]

    return train


@pytest.fixture
def trials(tmp_path, ranks, undisturbed):
    """An undisturbed run and one to be disturbed."""

    def make(**changes):
        config = {**SMALL, **changes}
        return undisturbed(config), make_trial(tmp_path / "torn", ranks, **config)

    return make


@pytest.fixture
def torn(tmp_path, ranks):
    """A run that is compared with no other."""
    return make_trial(tmp_path / "torn", ranks, **SMALL)


def finish(torn):
    assert torn.train() == [0] * torn.world_size, torn.said()


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_goes_on_as_if_nothing_had_been(trials, name):
    whole, torn = trials(**CASES[name])
    torn.train_until_killed(12)
    finish(torn)
    assert torn.resumed_from == 10
    assert differences(whole, torn) == []


DDP = {"strategy": "ddp", "world_size": 2}


@pytest.mark.parametrize(
    ("every", "resumed_from"),
    [("epoch", 8), ("2 epochs", 0), ("8 steps", 8), ("7 steps", 7), ("1 step", 11)],
)
def test_a_snapshot_is_as_good_at_an_epochs_end_as_in_its_middle(trials, every, resumed_from):
    whole, torn = trials(**DDP, snapshot={"every": every})
    torn.train_until_killed(12)
    finish(torn)
    assert torn.resumed_from == resumed_from
    assert differences(whole, torn) == []


def test_a_snapshot_that_is_due_by_time_is_taken_at_a_step_that_all_ranks_agree_on(trials):
    whole, torn = trials(**DDP, snapshot={"every": "0.000001 s"})
    torn.train_until_killed(12)
    assert all(event["is_kept"] for event in torn.events(torn.paths.attempts()[0], 1, "snapshot"))
    finish(torn)
    assert 0 < torn.resumed_from <= 12
    torn.paths.snapshot(torn.snapshots()[-1]).rename(
        torn.paths.snapshots / "newest"
    )  # not of the same step as the other
    assert whole.model().keys() == torn.model().keys()
    assert whole.losses(1) == torn.losses(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
@pytest.mark.parametrize("place", [{"step": 10}, {"phase": "eval", "step": 8}], ids=["in an epoch", "in an evaluation"])
def test_a_run_that_is_asked_to_leave_takes_a_snapshot_and_goes_on_from_there(trials, number, place):
    whole, torn = trials(**DDP, snapshot={"every": "1 h"})
    assert torn.train(number=number, **place) == [75, 75], torn.said()
    first = torn.paths.attempts()[0]
    (stop,) = torn.events(first, 0, "run_stop")
    assert stop["reason"] == "stopped"
    assert stop["num_steps"] == 8 if "phase" in place else 8 < stop["num_steps"] <= 16
    assert torn.snapshots() == [stop["num_steps"]]
    assert not torn.paths.model_final.exists(), "an unfinished model is not the final one"
    finish(torn)
    assert torn.resumed_from == stop["num_steps"]
    assert [torn.losses(rank) for rank in (0, 1)] == [whole.losses(rank) for rank in (0, 1)]
    assert torn.rows("eval", "loss", "accuracy") == whole.rows("eval", "loss", "accuracy")
    assert all(torch.equal(torn.model()[key], value) for key, value in whole.model().items())


@pytest.mark.parametrize(
    "name", ["single", "dp", "ddp, 2 ranks", "fsdp, 2 ranks", "pipeline, split auto", "rpc_pipeline, split auto"]
)
def test_a_run_of_which_the_last_rank_alone_is_asked_to_leave_is_left_by_all_at_one_step(trials, name):
    whole, torn = trials(**CASES[name], snapshot={"every": "1 h"})
    last = torn.world_size - 1
    assert torn.train(to_rank=last, number=signal.SIGUSR2, step=9) == [75] * torn.world_size, torn.said()
    (first,) = torn.paths.attempts()
    stops = [torn.events(first, rank, "run_stop")[0] for rank in range(torn.world_size)]
    ends = {(stop["reason"], stop["num_steps"]) for stop in stops}
    assert ends == {("stopped", stops[0]["num_steps"])}
    assert torn.snapshots() == [stops[0]["num_steps"]]
    assert 9 <= stops[0]["num_steps"] < 24, "the ninth step is over when the next begins"
    finish(torn)
    assert torn.resumed_from == stops[0]["num_steps"]
    for rank in range(torn.world_size):
        assert torn.losses(rank) == whole.losses(rank)
    assert torn.rows("eval", "loss", "accuracy") == whole.rows("eval", "loss", "accuracy")
    assert unequal(torn.model(), whole.model(), "model") == []


def test_a_run_that_takes_no_snapshots_leaves_none_and_begins_anew(trials):
    whole, torn = trials(snapshot={"every": "never"})
    assert torn.train(number=signal.SIGTERM, step=10) == [75]
    assert not torn.paths.snapshots.exists()
    finish(torn)
    assert torn.resumed_from == 0
    assert torn.losses(0) == whole.losses(0)


def test_a_run_that_is_killed_while_it_takes_a_snapshot_goes_on_from_the_one_before(trials):
    whole, torn = trials(**DDP)
    torn.train_until_killed(part=3)  # of rank 0: two were of the first snapshot
    assert torn.snapshots() == [5, 10]
    finish(torn)
    assert torn.resumed_from == 5
    assert differences(whole, torn) == []
    assert torn.snapshots() == [15, 20]


@pytest.mark.parametrize("part", ["shared.pt", "rank1.pt"])
def test_a_snapshot_that_has_rotted_is_passed_over_with_a_word(trials, part):
    whole, torn = trials(**DDP)
    torn.train_until_killed(12)
    rotten = torn.paths.snapshot(10) / part
    content = bytearray(rotten.read_bytes())
    content[len(content) // 2] ^= 1
    rotten.write_bytes(content)
    finish(torn)
    assert torn.resumed_from == 5
    assert torn.warnings() == [f"the snapshot of step 10 is skipped: {part} is not what was written"]
    assert differences(whole, torn) == []


def test_a_snapshot_of_another_config_is_refused_with_the_key(torn):
    torn.train_until_killed(12)
    spec = json.loads(torn.paths.run.read_text())
    spec["config"]["optimizer"]["lr"] = 0.2
    torn.paths.run.write_text(json.dumps(spec))
    with pytest.raises(InputError, match=r"step 10 was made with optimizer.lr = 0.1, here 0.2"):
        torn.begin()
    spec["config"]["optimizer"]["lr"] = 0.1
    spec["config"]["snapshot"] = {"every": "3 steps", "keep": 5}  # which alters no result
    torn.paths.run.write_text(json.dumps(spec))
    finish(torn)
    assert torn.resumed_from == 10
    assert torn.snapshots() == [12, 15, 18, 21, 24]


WIDE = {"model": "mlp", "model_args": {"hidden": [512]}, "augment": []}


def test_on_a_full_disk_training_goes_on_and_the_snapshot_before_stays(trials):
    whole, torn = trials(**WIDE, **DDP)
    torn.train_until_killed(7)
    torn.train_until_killed(17, room_bytes=100_000)
    assert torn.snapshots() == [5]
    assert sorted(path.name for path in torn.paths.snapshot(5).iterdir()) == [
        "manifest.json", "rank0.pt", "rank1.pt", "shared.pt",
    ]  # fmt: skip
    assert torn.warnings() == [
        "model_best.pt could not be saved: File too large",
        "no snapshot at step 10: File too large",
        "no snapshot at step 15: File too large",
        "model_best.pt could not be saved: File too large",
    ]
    kept = [event["is_kept"] for event in torn.events(torn.paths.attempts()[-1], 1, "snapshot")]
    assert kept == [False, False], "a rank that could write its part knows that others could not"
    assert sorted(path.name for path in torn.paths.root.iterdir()) == [
        "attempts", "command.sh", "run.json", "snapshots",
    ]  # fmt: skip
    finish(torn)
    assert torn.resumed_from == 5
    assert differences(whole, torn) == []


class Program:
    """What a pickle can hold."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["shared.pt", part_of(0)])
def test_a_snapshot_that_holds_a_program_does_not_run_it(torn, tmp_path, name):
    torn.train_until_killed(7)
    folder, proof = torn.paths.snapshot(5), tmp_path / "proof"
    program = {"position": Program(str(proof))}
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["parts"][name] = write_part(folder, name, lambda file: torch.save(program, file))
    write_manifest(folder, manifest)
    assert torn.train() == [1]
    (error,) = torn.events(torn.paths.attempts()[-1], 0, "error")
    assert error["type"] == "DdptuiError"
    assert f"{folder} cannot be loaded: Weights only load failed" in error["message"]
    assert not proof.exists()
    torch.load(folder / name, weights_only=False)
    assert proof.exists(), "which is what any other way of loading would have done"


def test_another_number_of_ranks_goes_on_from_the_same_samples_and_says_that_it_is_not_the_same(trials):
    plain = {"model": "mlp", "model_args": {"hidden": [32]}, "augment": []}
    whole, torn = trials(**DDP, **plain)
    torn.train_until_killed(12)
    assert torn.train(world_size=3) == [0, 0, 0], torn.said()
    assert torn.resumed_from == 10
    assert torn.warnings() == ["what follows is not the same run bit for bit: ranks 2 then, 3 now"]
    (stop,) = torn.events(torn.paths.attempts()[-1], 2, "run_stop")
    assert (stop["num_steps"], stop["reason"]) == (24, "epochs")
    for key, value in whole.model().items():
        torch.testing.assert_close(torn.model()[key], value)


def test_with_distributed_autograd_a_run_goes_on_up_to_rounding(trials):
    whole, torn = trials(
        strategy="rpc_pipeline",
        world_size=3,
        rpc_pipeline={"num_stages": 2, "num_micro_batches": 3, "autograd": "distributed"},
    )
    torn.train_until_killed(12)
    finish(torn)
    assert torn.resumed_from == 10
    assert whole.rows("eval", "samples", "step") == torn.rows("eval", "samples", "step")
    for key, value in whole.model().items():
        torch.testing.assert_close(torn.model()[key], value, rtol=1e-3, atol=1e-4)
