"""The command line over real training: a supervisor, torchrun and ranks are started for each test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

FILE = """\
[defaults]
model = "own:build"
dataset = "digits"
dataset_size = 256
global_batch_size = 32
stop.steps = 8
optimizer = { name = "sgd", lr = 0.05 }
[[experiment]]
name = "first"
"""

OWN = """\
import os, time, torch

class Net(torch.nn.Sequential):
    calls = 0
    def forward(self, x):
        Net.calls += 1
        if self.training and "DDPTUI_RUN_ID" in os.environ:
            if os.environ.get("BREAK_AT") == str(Net.calls):
                raise RuntimeError("broken on purpose")
            time.sleep(float(os.environ.get("SLEEP_S", "0")))
        return super().forward(x)

def build(*, input_shape, num_classes):
    size = input_shape[0] * input_shape[1] * input_shape[2]
    return Net(torch.nn.Flatten(), torch.nn.Linear(size, num_classes))
"""

LEFT = """\
import sys
import tui.run_command
from tui.cli import main
tui.run_command.open_screen = lambda options: 0
tui.run_command.check_terminal = lambda: None
sys.stdout.isatty = lambda: True
sys.exit(main(["run", "e.toml"]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "e.toml").write_text(FILE)
    (tmp_path / "own.py").write_text(OWN)
    yield tmp_path
    _ddptui(tmp_path, "stop", "--all")


def _ddptui(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tui.cli", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=240, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _states(folder: Path) -> list[str]:
    return [row["state"] for row in json.loads(_ddptui(folder, "ls", "--json").stdout)]


def _wait_for(folder: Path, state: str) -> None:
    deadline = time.monotonic() + 120
    while state not in _states(folder):
        assert time.monotonic() < deadline, _states(folder)
        time.sleep(0.2)


def test_a_run_ends_with_a_table_and_a_report_and_is_not_run_twice(project: Path) -> None:
    done = _ddptui(project, "--headless", "run", "e.toml", "--fail-if", "n<1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\nfirst\n ")
    assert "\npoint" in done.stdout
    assert "single *" in done.stdout
    assert "report: results/first/report.html" in done.stderr
    assert "1 gate held" in done.stderr
    assert "Traceback" not in done.stderr
    assert all(character == "\n" or character.isprintable() for character in done.stdout + done.stderr)
    assert (project / "results/first/summary.csv").exists()

    done = _ddptui(project, "run", "e.toml", "--json", "--fail-if", "samples_per_s<1e12@single-w1")
    assert done.returncode == 3, done.stderr
    assert "1 of 1 runs already succeeded: skipped; --rerun all to run again" in done.stderr
    assert "gate broken: first/single-w1-" in done.stderr
    answer = json.loads(done.stdout)
    assert [run["state"] for run in answer["runs"]] == ["succeeded"]
    assert len(answer["broken_gates"]) == 1

    (project / "results/first/report.html").unlink()
    done = subprocess.run([sys.executable, "-c", LEFT], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report: results/first/report.html" in done.stderr
    assert (project / "results/first/report.html").exists(), "who leaves the screen has the report too"

    assert _ddptui(project, "report").stdout.splitlines()[-1] == "results/first/report.html"
    for what in ("events", "runs", "summary", "epochs", "ranks", "system"):
        lines = _ddptui(project, "export", "--what", what).stdout.splitlines()
        assert len(lines) >= 1
    assert _ddptui(project, "export", "first", "--out", "table.csv").returncode == 0
    assert "run_start" in (project / "table.csv").read_text()


def test_a_run_that_fails_is_exit_code_1_with_its_root_cause_and_its_logs(project: Path) -> None:
    done = _ddptui(project, "run", "e.toml", "--set", 'env={BREAK_AT="4"}')
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "; logs: " in line]
    assert "broken on purpose" in line
    assert "ChildFailedError" not in done.stderr
    assert (project / line.rpartition("; logs: ")[2]).is_dir()
    assert "broken on purpose" in _ddptui(project, "logs", "single", "--err").stdout


def test_what_does_not_fit_is_said_before_anything_is_queued(project: Path) -> None:
    done = _ddptui(project, "run", "e.toml", "--set", "model=own:missing")
    assert done.returncode == 2
    assert "missing" in done.stderr.splitlines()[-1]
    assert not (project / "results/first").exists()


def test_a_dry_run_prints_the_runs_their_cost_and_their_commands_and_starts_nothing(project: Path) -> None:
    done = _ddptui(project, "run", "e.toml", "--dry-run", "--set", "strategy=ddp", "--set", "world_size=2")
    assert done.returncode == 0, done.stderr
    assert "ddp-w2-r0-" in done.stdout
    assert "torchrun --nnodes=1 --nproc-per-node=2" in done.stdout
    assert "1 run, expected: about " in done.stdout
    assert not (project / "results").exists()
    (run,) = json.loads(_ddptui(project, "run", "e.toml", "--dry-run", "--json").stdout)["experiments"][0]["runs"]
    assert run["num_steps"] == 8
    assert run["expected_s"] > 0


def test_ctrl_c_stops_the_runs(project: Path) -> None:
    slow = ("--set", 'env={SLEEP_S="0.2"}', "--set", "stop.steps=2000")
    follower = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "run", "e.toml", *slow],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        _wait_for(project, "running")
        os.killpg(follower.pid, signal.SIGINT)
        _, err = follower.communicate(timeout=120)
    finally:
        follower.kill()
    assert follower.returncode == 130, err
    assert "stopping 1 run" in err
    assert _states(project) == ["stopped"]


def test_killing_the_follower_changes_nothing_and_another_takes_over(project: Path) -> None:
    slow = ("--set", 'env={SLEEP_S="0.2"}', "--set", "stop.steps=2000", "--set", "stop.minutes=0.2")
    done = _ddptui(project, "run", "e.toml", "--detach", *slow)
    assert done.returncode == 0, done.stderr
    assert "ddptui attach" in done.stderr
    watcher = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "attach"], cwd=project, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        _wait_for(project, "running")
    finally:
        os.killpg(watcher.pid, signal.SIGKILL)
        watcher.communicate()
    assert _states(project) == ["running"]
    done = _ddptui(project, "attach")
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stderr
    assert _states(project) == ["succeeded"]


def test_stop_ends_what_goes_on_and_says_what_it_stopped(project: Path) -> None:
    assert _ddptui(project, "run", "e.toml", "--detach", "--set", "stop.steps=100000").returncode == 0
    done = _ddptui(project, "stop", "single")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("first/single-w1-r0-")
    _wait_for(project, "stopped")
    done = _ddptui(project, "stop", "--all")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing to stop\n")
