"""Runs of the worker for tests: written as ``run.json``, trained by real processes on loopback, read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.events import decode_line

SCRIPT = Path(__file__).with_name("worker_ranks.py")

SMALL = {
    "model": "mlp",
    "model_args": {"hidden": [32]},
    "dataset": "digits",
    "dataset_size": 512,
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "global_batch_size": 64,
    "epochs": 2,
}
"""A run of a second; tests change keys of it."""


@dataclass(frozen=True)
class TestRun:
    """A run folder and what its ranks said."""

    __test__ = False
    folder: Path

    def events(self, rank: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        lines = (self.folder / "attempts/manual/events" / f"rank{rank}.jsonl").read_bytes().splitlines()
        events = [decode_line(line) for line in lines]
        assert None not in events
        return [event for event in events if event is not None and kind in (None, event["kind"])]

    def steps(self, rank: int = 0) -> list[dict[str, Any]]:
        return self.events(rank, "step")

    def losses(self, rank: int = 0) -> list[float]:
        """The loss of each step; a run short enough to have a line for each."""
        steps = self.steps(rank)
        assert all(event["num_steps"] == 1 for event in steps)
        return [event["loss"] for event in steps]

    def stop(self, rank: int = 0) -> dict[str, Any]:
        (event,) = self.events(rank, "run_stop")
        return event


def write_run(folder: Path, *, project_dir: str = "", **changes: Any) -> TestRun:
    folder.mkdir(parents=True)
    spec = {
        "id": folder.name,
        "experiment": "test",
        "point": folder.name,
        "repeat": 0,
        "axes": {},
        "baseline": None,
        "baseline_reason": "",
        "config": {**SMALL, **changes},
        "num_devices": 1,
        "project_dir": project_dir,
        "code_digest": "",
    }
    (folder / "run.json").write_text(json.dumps(spec))
    return TestRun(folder)


def rank_environment(rank: int, world_size: int, **more: str) -> dict[str, str]:
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DDPTUI_")}
    return kept | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "GLOO_SOCKET_IFNAME": loopback,
        "OMP_NUM_THREADS": "1",
        "DDPTUI_THREADS": "1",
        **more,
    }


Start = Callable[..., list[subprocess.Popen[str]]]


@contextmanager
def starting() -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def start_ranks(*runs: TestRun, world_size: int = 1, **environment: str) -> list[subprocess.Popen[str]]:
        started = [
            subprocess.Popen(
                [sys.executable, str(SCRIPT), *(str(run.folder) for run in runs)],
                env=rank_environment(rank, world_size, **environment),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(world_size)
        ]
        processes.extend(started)
        return started

    try:
        yield start_ranks
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
