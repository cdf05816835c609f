from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.store import RunPaths

CONFIG = {
    "model": "lenet5",
    "dataset": "digits",
    "strategy": "ddp",
    "world_size": 2,
    "global_batch_size": 64,
    "epochs": 2,
    "optimizer": {"name": "sgd", "lr": 0.05},
}

EXPERIMENT_FILE = """\
[defaults]
model = "lenet5"
dataset = "digits"
global_batch_size = 64
epochs = 2
optimizer = { name = "sgd", lr = 0.05 }

[[experiment]]
name = "first"
[experiment.matrix]
strategy = ["single", "ddp"]
world_size = [1, 2]
"""


def _summary(run_id: str, point: str, samples_per_s: float, state: str) -> dict[str, Any]:
    return {
        "format": 1,
        "id": run_id,
        "point": point,
        "state": state,
        "reason": "",
        "strategy": point.split("-")[0],
        "world_size": int(point.split("-")[1][1:]),
        "num_devices": int(point.split("-")[1][1:]),
        "nodes": 1,
        "num_steps": 46 if state == "succeeded" else 23,
        "steps_per_epoch": 23,
        "epochs_done": 2,
        "samples_seen": 2944,
        "global_batch_size": 64,
        "throughput": {"samples_per_s": samples_per_s, "step_s_median": 64 / samples_per_s},
        "time": {"real_s": 12.0, "total_s": 10.0},
        "final": {"train_loss": 0.25, "test_accuracy": 0.91},
        "best": {"test_accuracy": 0.92},
    }


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunPaths]:
    """Write one run of ``<tmp>/results`` by hand, as the supervisor and the ranks would have left it."""

    def make(
        run_id: str,
        *,
        experiment: str = "first",
        point: str = "",
        state: str = "succeeded",
        reason: str = "",
        samples_per_s: float = 1000.0,
        has_summary: bool = True,
        logs: dict[str, str] | None = None,
        status: dict[str, Any] | None = None,
        baseline: str | None = None,
    ) -> RunPaths:
        paths = RunPaths(tmp_path / "results" / experiment / "runs" / run_id)
        point = point or "-".join(part for part in run_id.split("-") if not part.startswith("r0"))
        (paths.attempt(1).out(0).parent).mkdir(parents=True)
        spec = {
            "format": 1,
            "id": run_id,
            "experiment": experiment,
            "point": point,
            "repeat": 0,
            "axes": {"strategy": point.split("-")[0], "world_size": int(point.split("-")[1][1:])},
            "baseline": baseline,
            "baseline_reason": "as the file says",
            "config": {**CONFIG, "strategy": point.split("-")[0], "world_size": int(point.split("-")[1][1:])},
            "num_devices": int(point.split("-")[1][1:]),
            "project_dir": str(tmp_path),
            "code_digest": "",
        }
        times = {"queued_s": 1.7e9, "started_s": 1.7e9 + 1, "ended_s": 1.7e9 + 13, "updated_s": 1.7e9 + 13}
        words = {"state": state, "reason": reason, "attempt": 1, "exit_code": 0}
        paths.run.write_text(json.dumps(spec))
        paths.status.write_text(json.dumps({**words, **times, **(status or {})}))
        if has_summary:
            paths.summary.write_text(json.dumps(_summary(run_id, point, samples_per_s, state)))
        for name, text in (logs or {}).items():
            (paths.attempt(1).out(0).parent / name).write_text(text)
        return paths

    return make


@pytest.fixture
def experiment_file(tmp_path: Path) -> Path:
    """A valid file of three points."""
    path = tmp_path / "experiments.toml"
    path.write_text(EXPERIMENT_FILE)
    return path


@pytest.fixture
def ddptui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Call the real entry point in ``<tmp>``; return its exit code."""
    from tui.cli import main

    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main([str(argument) for argument in arguments])
