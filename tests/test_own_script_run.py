"""A user's own program as a real run of two ranks, from its files to its summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from node_jobs import running, until

from engine.core.dossier import make_dossier
from engine.core.metrics import RunFold
from engine.store import read_json, write_json
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


LOGS = """
import os, sys, time
import ddptui
rank = int(os.environ["RANK"])
def wait_for_a_server():
    while True:
        time.sleep(0.05)
for step in range(400):
    if sys.argv[1] == "hang" and step == 30:
        wait_for_a_server()
    ddptui.log(loss=float("nan") if sys.argv[1] == "nan" and step >= 17 and rank == 1 else 1.0, samples=4)
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_a_program_that_stops_logging_is_silent_and_its_stacks_say_where(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOGS)
    with running(tmp_path, script="train.py", args=["hang"], hang_after=3) as job:
        job.start()
        until(job.files.hang(0).exists)
        claim = read_json(job.files.hang(0)) or {}
        assert (claim["limit_s"], claim["sign"]) == (3.0, "log line")
        write_json(job.files.hang_order, {"collect": 1})
        until(job.files.node_dossier(0).exists)
        part = read_json(job.files.node_dossier(0)) or {}
        dossier = make_dossier({0: part}, claims=[claim], exits={}, missing=[])
        assert all("in wait_for_a_server" in rank["stack"] for rank in dossier["ranks"])
        assert all(0 < rank["step"] < 30 for rank in dossier["ranks"])
        assert dossier["reason"].startswith("no log line for ")
        assert "ranks 0 and 1 are stuck in its own code (train.py:7 in wait_for_a_server)" in dossier["reason"]
        write_json(job.files.hang_order, {"collect": 1, "end": dossier["reason"]})
        assert job.exit()["reason"] == dossier["reason"]


@pytest.mark.slow
def test_a_program_that_logs_a_loss_which_is_no_number_is_ended_where_that_is_wished(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOGS)
    with running(tmp_path, script="train.py", args=["nan"], on_nonfinite="stop") as job:
        job.start()
        end = job.exit()
        assert (end["reason"], end["stopped"]) == ("loss is NaN at step 17", False)
        assert end["exit_code"] != 0
        error = read_json(job.files.error(1)) or {}
        assert (error["type"], error["message"]) == ("NonFiniteLossError", "loss is NaN at step 17"), "no restart"


@pytest.mark.slow
def test_a_program_that_fails_is_blamed_with_its_own_words(tmp_path: Path) -> None:
    write_program(tmp_path)
    with running(tmp_path, script="train.py", args=["--fail"]) as job:
        job.start()
        assert job.exit()["reason"] == "rank 0: ValueError: no more data (train.py:21)"
        lines = job.files.err(0).read_text().splitlines()  # torch may put the rank in front of each
        assert lines[0].endswith("Traceback (most recent call last):")
        assert "train.py" in lines[1]


ENVIRONMENT_PROGRAM = """
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--local_rank", type=int, default=int(os.environ["LOCAL_RANK"]))
parser.add_argument("--seed", type=int)
print(json.dumps([vars(parser.parse_args()), dict(os.environ)]), flush=True)
"""


@pytest.mark.slow
def test_torch_distributed_launch_gives_the_ranks_the_same_environment_and_its_argument(tmp_path: Path) -> None:
    seen: dict[str, list[Any]] = {}
    for launch in ("torchrun", "torch.distributed.launch"):
        folder = tmp_path / launch
        folder.mkdir()
        (folder / "train.py").write_text(ENVIRONMENT_PROGRAM)
        with running(folder, script="train.py", args=["--seed=5"], launch=launch) as job:
            job.start()
            end = job.exit()
            assert (end["exit_code"], end["reason"]) == (0, "")
            seen[launch] = [json.loads(job.files.out(rank).read_text()) for rank in range(2)]
            assert ("FutureWarning" in job.files.node_log(0).read_text()) is (launch != "torchrun")
    for rank, (ours, theirs) in enumerate(zip(*seen.values(), strict=True)):
        assert ours[0] == theirs[0] == {"local_rank": rank, "seed": 5}
        assert ours[1].keys() == theirs[1].keys()
        differing = {name for name in ours[1] if ours[1][name] != theirs[1][name]}
        assert {"RANK", "WORLD_SIZE", "OMP_NUM_THREADS", "MASTER_ADDR"} <= ours[1].keys() - differing
        of_a_start = ("DDPTUI_", "TORCHELASTIC_ERROR_FILE", "MASTER_PORT", "PWD", "PYTHONPATH")
        assert [name for name in sorted(differing) if not name.startswith(of_a_start)] == []
