"""The pipeline on real ranks, against ``single`` on the same batches."""

import subprocess
import sys
from pathlib import Path

import pytest
import rpc_ranks
import torch
from rpc_ranks import Job, build_net, load_results, make_batches, make_task, run_ranks, start_ranks, write_job
from torch import nn

from engine.worker.context import read_context
from engine.worker.failure import is_peer_error
from engine.worker.strategies.interface import Batch
from engine.worker.strategies.pipeline_wire import PeerFailedError
from engine.worker.strategies.rpc_pipeline import RpcPipeline
from engine.worker.strategies.single import Single

GRADIENT_TOLERANCE = 1e-6
"""Absolute, on gradients of order 0.1: sums over four micro-batches differ from one sum by fp32 rounding."""
PATH_TOLERANCE = 2e-5
"""On losses and parameters along 1,000 steps, where rounding differences feed back."""


class SilentPhases:
    def switch(self, phase):
        pass


@pytest.fixture(autouse=True)
def _one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the ranks: the order of a sum depends on it
    yield
    torch.set_num_threads(num_threads)


def train_single(job):
    """Return the strategy ``single`` after the job's steps, and the loss of each."""
    single = Single(make_task(job), read_context(device="cpu", backend="gloo"))
    single.set_up()
    parts = single.task.config.gradient_accumulation_steps
    losses = []
    for batch in make_batches(job.net, job.batch_sizes):
        pieces = [Batch(*pair) for pair in zip(batch.inputs.chunk(parts), batch.targets.chunk(parts), strict=True)]
        losses.append(single.train_step(pieces, SilentPhases()).loss)
    return single, losses


def worst_gradient_error(job, ranks):
    """The largest difference of any step's gradients from those of the whole net with the same parameters."""
    net = build_net(job.net)
    parameters = list(net.parameters())
    worst = 0.0
    for step, batch in enumerate(make_batches(job.net, job.batch_sizes)):
        with torch.no_grad():
            for parameter, seen in zip(
                parameters, (one for rank in ranks[1:] for one in rank["seen"][step][0]), strict=True
            ):
                parameter.copy_(seen)
        expected = torch.autograd.grad(nn.functional.cross_entropy(net(batch.inputs), batch.targets), parameters)
        found = [one for rank in ranks[1:] for one in rank["seen"][step][1]]
        worst = max(worst, *((one - other).abs().max().item() for one, other in zip(expected, found, strict=True)))
    return worst


def assert_same_path(job, ranks, tolerance):
    single, losses = train_single(job)
    torch.testing.assert_close(torch.stack(ranks[0]["losses"]), torch.stack(losses), rtol=0, atol=tolerance)
    torch.testing.assert_close(ranks[0]["state"], single.model_state(), rtol=0, atol=tolerance)


def assert_same_bits(ranks, others):
    """``others`` may have taken fewer steps."""
    num_steps = len(others[0]["losses"])
    losses = [[loss.item() for loss in rank[0]["losses"][:num_steps]] for rank in (ranks, others)]
    assert losses[0] == losses[1]
    for rank, other in zip(ranks[1:], others[1:], strict=True):
        assert len(other["seen"]) == num_steps
        for (values, gradients), (other_values, other_gradients) in zip(rank["seen"], other["seen"], strict=False):
            assert all(map(torch.equal, values + gradients, other_values + other_gradients))


LONG = Job(batch_sizes=[33] * 1000, keep_gradients=True, evaluate=[20, 20, 7])
SHORTER = Job(batch_sizes=[33] * 200, keep_gradients=True)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    return run_ranks(tmp_path_factory.mktemp("gpipe"), LONG)


def test_the_gradients_of_every_one_of_1000_steps_are_those_of_single(long_run):
    assert all(len(rank["seen"]) == 1000 for rank in long_run[1:])
    assert worst_gradient_error(LONG, long_run) < GRADIENT_TOLERANCE
    assert_same_path(LONG, long_run, PATH_TOLERANCE)


def test_a_second_run_has_the_same_bits(long_run, tmp_path):
    assert_same_bits(long_run, run_ranks(tmp_path, SHORTER))


def test_1f1b_has_the_same_bits_as_gpipe(long_run, tmp_path):
    job = Job(**vars(SHORTER) | {"pipeline": {"schedule": "1f1b"}})
    assert_same_bits(long_run, run_ranks(tmp_path, job))


def test_the_driver_alone_reports_and_the_stages_alone_have_spans(long_run):
    assert [rank["role"] for rank in long_run] == ["driver", "stage", "stage"]
    assert [rank["reports"] for rank in long_run] == [True, False, False]
    assert set(long_run[0]["num_samples"]) == {33}
    assert set(long_run[1]["num_samples"]) == set(long_run[2]["num_samples"]) == {0}
    assert set(long_run[0]["spans"]) == {None}
    assert set(long_run[1]["losses"]) == {None}
    for rank in long_run[1:]:
        done = [(name, index) for name, index, _, _ in rank["spans"][5]]
        assert done == [(name, index) for name in "FB" for index in range(4)] + [("W", -1)]
        assert all(start <= end for spans in rank["spans"] for _, _, start, end in spans)


def test_the_driver_counts_correct_samples_as_single_does(long_run):
    net = build_net("small")
    batch = make_batches("small", [33])[0]
    assert long_run[0]["correct"][0].item() == rpc_ranks.count_correct(net(batch.inputs), batch.targets).item()


def test_all_ranks_learn_the_leaders_value_the_sums_and_the_description(long_run):
    assert [rank["leader"] for rank in long_run] == [3.5] * 3
    first, *later = long_run[0]["agreed"]
    assert first == (7.0, False), "the leader's word, and nobody was asked to leave"
    assert later[-1][1], "the last stage was"
    assert all(word == (0.5, False) for word in later[:-1])
    assert [rank["agreed"] for rank in long_run] == [long_run[0]["agreed"]] * 3
    assert [rank["sums"] for rank in long_run] == [[3.0, 3.0]] * 3
    assert len({rank["description"] for rank in long_run}) == 1
    assert "gpipe of 4 micro-batches; local autograd" in long_run[0]["description"]
    assert "bubble of the schedule 0.20" in long_run[0]["description"]


def test_after_settling_the_stages_have_finished_their_last_step(long_run):
    assert all(long_run[0]["settled_s"] >= rank["spans"][-1][-1][3] for rank in long_run[1:])


def test_only_the_driver_returns_the_model_and_it_loads_into_the_plain_net(long_run):
    assert [rank["state"] is None for rank in long_run] == [False, True, True]
    assert list(long_run[0]["state"]) == list(build_net("small").state_dict())
    build_net("small").load_state_dict(long_run[0]["state"])


def test_the_phases_are_those_of_a_pipeline(long_run):
    assert set(long_run[0]["phases"][10]) <= {"other", "comm", "bubble"}
    assert {"forward", "backward", "comm", "optimizer", "bubble"} <= set(long_run[1]["phases"][10])


def test_with_one_micro_batch_the_run_and_its_evaluation_have_the_bits_of_single(tmp_path):
    job = Job(batch_sizes=[32] * 20, evaluate=[20, 20, 7], pipeline={"num_micro_batches": 1})
    ranks = run_ranks(tmp_path, job)
    single, losses = train_single(job)
    assert [loss.item() for loss in ranks[0]["losses"]] == [loss.item() for loss in losses]
    assert all(torch.equal(value, ranks[0]["state"][name]) for name, value in single.model_state().items())
    assert ranks[0]["evaluated"] == single.evaluate(make_batches(job.net, job.evaluate, seed=1), 3)
    assert ranks[0]["evaluated"].samples == 47
    assert ranks[1]["evaluated"].samples == ranks[2]["evaluated"].samples == 0


def test_batches_that_micro_batches_do_not_divide_train_as_single_does(tmp_path):
    job = Job(batch_sizes=[33, 7, 3, 1, 2, 33], keep_gradients=True)
    ranks = run_ranks(tmp_path, job)
    assert worst_gradient_error(job, ranks) < GRADIENT_TOLERANCE
    assert_same_path(job, ranks, GRADIENT_TOLERANCE)


def test_three_stages_cut_by_name_in_front_of_a_layer_that_overwrites_its_input(tmp_path):
    job = Job(
        net="inplace",
        num_stages=3,
        batch_sizes=[24] * 20,
        keep_gradients=True,
        evaluate=[30] * 9,
        pipeline={"split": ["relu1", "fc2"], "schedule": "1f1b"},
    )
    ranks = run_ranks(tmp_path, job)
    assert "stages fc1 | relu1..drop | fc2, parameters 312/0/125" in ranks[0]["description"]
    with_parameters = [ranks[0], ranks[1], ranks[3]]
    assert worst_gradient_error(job, with_parameters) < GRADIENT_TOLERANCE
    assert_same_path(job, ranks, GRADIENT_TOLERANCE)
    assert ranks[0]["evaluated"].samples == 270


def test_accumulated_parts_are_micro_batches_of_one_step(tmp_path):
    job = Job(batch_sizes=[32] * 10, config={"gradient_accumulation_steps": 2}, pipeline={"num_micro_batches": 2})
    ranks = run_ranks(tmp_path, job)
    assert_same_path(job, ranks, GRADIENT_TOLERANCE)
    assert [index for name, index, _, _ in ranks[1]["spans"][0] if name == "F"] == [0, 1, 2, 3]


def test_dropout_and_batch_norm_repeat_their_bits_and_are_mentioned(tmp_path):
    job = Job(net="dropout", batch_sizes=[32] * 15, keep_gradients=True, pipeline={"split": ["norm"]})
    ranks = run_ranks(tmp_path / "one", job)
    assert_same_bits(ranks, run_ranks(tmp_path / "two", job))
    assert "batch norm sees one micro-batch at a time" in ranks[0]["description"]


@pytest.mark.slow
@pytest.mark.parametrize("num_stages", [2, 3])
def test_distributed_autograd_loses_no_gradient(tmp_path, num_stages):
    job = Job(
        num_stages=num_stages,
        batch_sizes=[33] * 150,
        keep_gradients=True,
        evaluate=[20, 7],
        pipeline={"autograd": "distributed"},
    )
    ranks = run_ranks(tmp_path, job)
    assert worst_gradient_error(job, ranks) < GRADIENT_TOLERANCE
    assert_same_path(job, ranks, PATH_TOLERANCE)
    for rank in ranks[1:]:
        done = sorted((name, index) for name, index, _, _ in rank["spans"][5])
        assert done == sorted([(name, index) for name in "FB" for index in range(4)] + [("W", -1)])
        assert {"forward", "backward", "optimizer", "bubble"} <= set(rank["phases"][5])


@pytest.mark.parametrize("autograd", ["local", "distributed"])
@pytest.mark.parametrize("split", ["fail", "fc2"])
def test_when_a_stage_fails_every_rank_ends_and_names_it(tmp_path, autograd, split):
    job = Job(net="fails", batch_sizes=[16] * 9, pipeline={"autograd": autograd, "split": [split]})
    codes, said = start_ranks(tmp_path, job, timeout_s=60)
    assert None not in codes, "a rank hung"
    assert all(codes)
    failed = 2 if split == "fail" else 1
    for rank in range(3):
        last_words = (tmp_path / f"rank{rank}.err").read_text()
        expected = "ArithmeticError: this layer fails on purpose"
        if rank != failed:
            expected = "PeerFailedError: remote worker"
        assert expected in last_words, said


def test_the_failure_of_another_rank_is_told_from_an_own_one():
    assert is_peer_error(PeerFailedError("remote worker stage1 failed first: ValueError: too bad"))


def test_an_unknown_layer_ends_all_ranks_with_the_names_there_are(tmp_path):
    job = Job(batch_sizes=[8], pipeline={"split": ["conv9"]})
    codes, said = start_ranks(tmp_path, job, timeout_s=60)
    assert None not in codes
    assert all(codes)
    assert "no layer 'conv9'; the layers are fc1, act1, fc2, act2, fc3" in said


def test_it_runs_under_torchrun(tmp_path):
    job = Job(batch_sizes=[16] * 5, keep_gradients=True)
    write_job(tmp_path, job)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1", "--nproc-per-node=3"]
    torchrun += ["--rdzv-backend=ddptui", "--rdzv-id=test", "--rdzv-endpoint=127.0.0.1:0"]
    ended = subprocess.run(
        [*torchrun, str(Path(rpc_ranks.__file__)), str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert worst_gradient_error(job, load_results(tmp_path, job)) < GRADIENT_TOLERANCE


def make_strategy(monkeypatch, world_size=3, net="small", **config):
    monkeypatch.setenv("WORLD_SIZE", str(world_size))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world_size))
    task = make_task(Job(net=net, batch_sizes=[8], config=config))
    return RpcPipeline(task, read_context(device="cpu", backend="gloo"))


def test_a_world_size_that_does_not_fit_the_stages_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="needs world_size = 3"):
        make_strategy(monkeypatch, world_size=4)


def test_fp16_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="fp32 or bf16"):
        make_strategy(monkeypatch, precision="fp16")


def test_closing_before_set_up_does_nothing(monkeypatch):
    make_strategy(monkeypatch).close()


def test_bf16_trains_near_fp32(tmp_path):
    job = Job(batch_sizes=[32] * 10, config={"precision": "bf16"}, evaluate=[8])
    ranks = run_ranks(tmp_path, job)
    assert_same_path(job, ranks, 2e-2)
    assert all(value.dtype == torch.float32 for value in ranks[0]["state"].values())


def test_the_whole_net_is_an_ordinary_sequential():
    assert isinstance(build_net("small"), nn.Sequential)
