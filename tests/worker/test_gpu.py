"""What only a GPU can show; the logic of the CUDA clock is tested with fake events in test_phases.py."""

import pytest
import torch
from worker_runs import write_run

from engine.core.spec import Slow
from engine.worker.beat import NoBeat
from engine.worker.phases import CudaPhaseClock, SlowClock

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

EPOCHS = {"epochs": 1, "dataset_size": 640}


def train_all(tmp_path, train, runs):
    made = {name: write_run(tmp_path / name, **EPOCHS, **changes) for name, changes in runs.items()}
    train(*made.values())
    return made


def test_single_and_dp_on_a_gpu_learn_as_on_the_cpu(tmp_path, train):
    runs = train_all(
        tmp_path,
        train,
        {
            "cpu": {"device": "cpu"},
            "cuda": {"device": "cuda"},
            "dp": {"device": "cuda", "strategy": "dp", "dp": {"num_replicas": 1}},
            "bf16": {"device": "cuda", "precision": "bf16"},
            "fp16": {"device": "cuda", "precision": "fp16"},
        },
    )
    expected = runs["cpu"].losses()
    assert runs["cuda"].losses() == pytest.approx(expected, abs=1e-3)
    assert runs["dp"].losses() == pytest.approx(expected, abs=1e-3)
    assert runs["bf16"].losses() == pytest.approx(expected, abs=5e-2)
    assert runs["fp16"].losses() == pytest.approx(expected, abs=5e-2)
    assert runs["cuda"].stop()["peak_device_memory_bytes"] > 0
    (start,) = runs["cuda"].events(0, "run_start")
    assert start["device"] == torch.cuda.get_device_name(0)


def test_phases_on_a_gpu_add_up_to_the_step(tmp_path, train):
    runs = train_all(tmp_path, train, {"cuda": {"device": "cuda"}})
    for event in runs["cuda"].steps():
        assert set(event["phases"]) == {"data", "forward", "backward", "optimizer", "other"}
        assert sum(event["phases"].values()) == pytest.approx(event["window_s"], rel=1e-6, abs=1e-6)


def test_a_delay_on_a_gpu_is_in_its_phase():
    device = torch.device("cuda", 0)
    slow = Slow(rank=0, phase="forward", delay_s=0.02)
    clock = SlowClock(CudaPhaseClock(NoBeat(), device), slow, lambda: torch.cuda.synchronize(device))
    matrix = torch.rand(512, 512, device=device)
    done = []
    clock.start(0)
    for step in range(5):
        for phase in ("data", "forward", "backward"):
            clock.switch(phase)
            matrix = (matrix @ matrix).softmax(0)
        done += clock.stop(step)
    done += clock.drain()
    assert [record for record, _ in done] == list(range(5))
    for _, times in done[1:]:
        assert times.phases["forward"] >= 0.02
        assert times.phases["data"] < 0.01
        assert times.phases["backward"] < 0.01
