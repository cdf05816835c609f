"""A user's own program as a real run of two ranks, from its files to its summary."""

from __future__ import annotations

from pathlib import Path

import pytest
from node_jobs import running

from engine.core.metrics import RunFold
from engine.tail import read_events

PROGRAM = """
import json, os, sys, time
import torch
import torch.distributed as dist
import ddptui, engine, utils, models
dist.init_process_group("gloo")
rank, world_size = dist.get_rank(), dist.get_world_size()
model = torch.nn.parallel.DistributedDataParallel(models.build())
for epoch in range(2):
    for _ in range(12):
        loss = model(torch.ones(4, 3)).sum()
        loss.backward()
        engine.step()
        ddptui.log(loss=loss, samples=4, epoch=epoch)
    ddptui.log(test_accuracy=utils.HALF, epoch=epoch)
if rank == 1:
    with open(os.environ["DDPTUI_EVENTS"], "a") as file:
        file.write(json.dumps({"of_rank_1": 7}) + "\\n")
print(sys.argv[1:], os.environ["DDPTUI_RESTART"], os.environ["DDPTUI_SEED"], os.getcwd(), flush=True)
if "--fail" in sys.argv and rank == 0:
    raise ValueError("no more data")
dist.barrier()
dist.destroy_process_group()
"""


def write_program(folder: Path) -> None:
    (folder / "train.py").write_text(PROGRAM)
    (folder / "engine.py").write_text("def step(): pass\n")
    (folder / "utils.py").write_text("HALF = 0.5\n")
    (folder / "models").mkdir()
    (folder / "models" / "__init__.py").write_text("import torch, engine\ndef build(): return torch.nn.Linear(3, 2)\n")


@pytest.mark.slow
def test_a_program_with_an_engine_of_its_own_runs_on_two_ranks_and_is_measured(tmp_path: Path) -> None:
    write_program(tmp_path)
    with running(tmp_path, script="train.py", args=["--seed={seed}", "{world_size}"], epochs=2, seed=5) as job:
        job.start()
        end = job.exit()
        assert (end["exit_code"], end["reason"]) == (0, "")
        assert job.files.out(0).read_text() == f"['--seed=5', '2'] 0 5 {tmp_path}\n"
        run = RunFold(job.spec)
        for rank in range(2):
            run.extend(read_events(job.files.events(rank)))
        summary = run.summary({"state": "succeeded"})
        assert (summary["samples_seen"], summary["epochs_done"], summary["num_steps"]) == (192, 2, 24)
        assert summary["throughput"]["samples_per_s"] > 0
        assert (summary["world_size"], summary["backend"], summary["device"]) == (2, "gloo", "cpu")
        assert summary["final"]["test_accuracy"] == 0.5
        assert summary["final"]["train_loss"] is not None
        assert run.progress().num_epochs == 2
        assert any(event and event.get("of_rank_1") == 7 for event in read_events(job.files.events(1)))


@pytest.mark.slow
def test_a_program_that_fails_is_blamed_with_its_own_words(tmp_path: Path) -> None:
    write_program(tmp_path)
    with running(tmp_path, script="train.py", args=["--fail"]) as job:
        job.start()
        assert job.exit()["reason"] == "rank 0: ValueError: no more data (train.py:21)"
        lines = job.files.err(0).read_text().splitlines()  # torch may put the rank in front of each
        assert lines[0].endswith("Traceback (most recent call last):")
        assert "train.py" in lines[1]
