"""Real runs: while they go on they listen on loopback only, and what they leave is their owner's alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from supervised import EXPERIMENT, cleaned_up, make_plan, make_spec, reason_of, state_of, wait_for_leave, wait_until

from ddptui import privacy
from engine import control
from engine.core.spec import RunConfig, RunSpec
from engine.processes import find_tagged, run_marks
from engine.store import ResultsPaths, RunPaths
from tui.cli import main

TRAINED = {
    "model": "lenet5",
    "dataset": "digits",
    "dataset_size": 256,
    "strategy": "ddp",
    "world_size": 2,
    "global_batch_size": 32,
    "epochs": 400,
    "optimizer": {"name": "sgd", "lr": 0.05},
    "snapshot": {"every": "9 steps"},
}
TRAINS_S = 240


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o022)
    try:
        with cleaned_up(tmp_path / "results") as folder:
            yield folder
    finally:
        os.umask(before)


def make(run_id: str, **changes: Any) -> RunSpec:
    config = RunConfig.model_validate({**TRAINED, **changes})
    return make_spec(run_id).model_copy(update={"config": config, "num_devices": config.world_size})


def has_trained(paths: RunPaths) -> bool:
    events = paths.attempt(1).events(0)
    return events.exists() and '"kind":"step"' in events.read_text()


def listening(paths: RunPaths) -> set[str]:
    """The addresses at which any process of the run listens, or is bound to without a peer."""
    found = set()
    for process in find_tagged(run_marks(paths, EXPERIMENT)):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN or not connection.raddr:
                found.add(connection.laddr.ip)
    return found


def modes(root: Path) -> dict[str, int]:
    found = {str(root): stat.S_IMODE(root.stat().st_mode)}
    for path in root.rglob("*"):
        found[str(path.relative_to(root))] = stat.S_IMODE(path.lstat().st_mode)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_listen_on_loopback_only_and_leave_private_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = [
        make("ddp"),
        make("nodes", nodes=2),
        make("rpc", strategy="rpc_pipeline", world_size=3, rpc_pipeline={"num_stages": 2}),
        make("short", strategy="single", world_size=1, epochs=1),
    ]
    control.enqueue(root, experiment=EXPERIMENT, plan=make_plan(specs), runs=specs, timeout_s=120)
    for name in ("ddp", "nodes", "rpc"):
        paths = ResultsPaths(root).run(EXPERIMENT, name)
        wait_until(lambda paths=paths: has_trained(paths), timeout_s=TRAINS_S)
        assert listening(paths) == {"127.0.0.1"}, name
        assert control.stop(root, [(EXPERIMENT, name)], timeout_s=120).ok
    wait_until(lambda: state_of(root, "short") in ("succeeded", "failed"), timeout_s=TRAINS_S)
    wait_for_leave(root)
    assert state_of(root, "short") == "succeeded", reason_of(root, "short")
    assert main(["report", "--results", str(root)]) == 0
    found = modes(root)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    names = " ".join(found)
    for wanted in ("snapshots", "model_final.pt", "command.sh", "rank1.out", "runs.csv", "report.html", ".png", "lock"):
        assert wanted in names, wanted
    assert found[f"{EXPERIMENT}/runs/ddp/command.sh"] == 0o700


def test_who_else_may_read_is_asked_for_by_one_variable() -> None:
    code = "from ddptui.privacy import FILE_MODE, FOLDER_MODE; print(oct(FILE_MODE), oct(FOLDER_MODE))"

    def ask(word: str) -> str:
        env = {**os.environ, privacy.SHARE_VARIABLE: word}
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout

    assert ask("").split() == ["0o600", "0o700"]
    assert ask("group").split() == ["0o640", "0o750"]
    assert ask("all").split() == ["0o644", "0o755"]
    assert ask("nonsense").split() == ["0o600", "0o700"]
