from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from node_jobs import Job, until

from engine.launchers.by_hand import command_script
from engine.processes import end_tree


def write_script(job: Job) -> None:
    script = command_script(job.spec, world_size=2, python=sys.executable, num_threads=1, platform=sys.platform)
    job.paths.command.write_text(script.replace("engine.worker", "stand_in"))


def run_script(job: Job) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["bash", str(job.paths.command)], capture_output=True, text=True, check=False, timeout=120
        )
    finally:
        end_tree(job.marks, grace_s=0)


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_script_trains_by_itself_from_a_folder_with_any_name(tmp_path: Path, nodes: int) -> None:
    folder = tmp_path / "my 5%25 results, $HOME 'x'"
    folder.mkdir()
    job = Job(folder, nodes=nodes)
    write_script(job)
    left = job.paths.root / "attempts" / "manual" / "rdzv.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    done = run_script(job)
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line) == [
        f"sum 3.0 rank {rank} local {rank // nodes}" for rank in (0, 1)
    ]


def test_the_script_fails_as_the_training_does(tmp_path: Path) -> None:
    job = Job(tmp_path, mode="raise")
    write_script(job)
    done = run_script(job)
    assert done.returncode == 1
    assert "ValueError: the third layer is missing" in done.stderr


def test_ending_the_script_ends_its_ranks(tmp_path: Path) -> None:
    job = Job(tmp_path, mode="leave")
    write_script(job)
    with (tmp_path / "out").open("wb") as out:
        script = subprocess.Popen(["bash", str(job.paths.command)], stdout=out, stderr=out, start_new_session=True)
    try:
        until(lambda: (tmp_path / "out").read_text().count("sum") == 2)
        os.kill(script.pid, signal.SIGTERM)
        assert script.wait(timeout=60) != 0
        until(lambda: job.processes() == [], timeout_s=10)
    finally:
        script.kill()
        script.wait()
        end_tree(job.marks, grace_s=0)
