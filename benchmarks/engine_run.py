"""Start a run of ddptui's full engine (node runner, torchrun, worker; events, beats, samples) for a benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.blocks import Contender
from engine.catalog import STRATEGY_TRAITS
from engine.core.spec import RunConfig, RunSpec
from engine.core.topology import make_topology
from engine.store import RunPaths, write_json
from engine.tail import read_beat

__all__ = ["ENDLESS", "make_spec", "start_engine"]

ENDLESS = {
    "evaluate_every": 0,
    "device": "cpu",
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "stop": {"steps": 100_000_000},
}
"""Keys of a run that trains until it is killed."""


def make_spec(name: str, config: dict[str, Any]) -> RunSpec:
    """The run of a configuration given as in the experiment file."""
    checked = RunConfig.model_validate(ENDLESS | config)
    return RunSpec(
        id=name, experiment="bench", point=name, repeat=0, axes={}, baseline=None, baseline_reason="", config=checked,
        num_devices=make_topology(checked, STRATEGY_TRAITS[checked.strategy]).num_devices, project_dir=str(Path.cwd()),
        code_digest="",
    )  # fmt: skip


def start_engine(name: str, config: dict[str, Any], folder: Path) -> Contender:
    """Start the run in ``folder``; rank 0's beat counts its steps."""
    spec = make_spec(name, config)
    topology = make_topology(spec.config, STRATEGY_TRAITS[spec.config.strategy])
    paths = RunPaths(folder / name)
    beats = folder / f"{name}-beats"
    write_json(paths.run, spec.model_dump(mode="json"))
    told = {"attempt": 0, "beats": str(beats), "resumed_from_step": 0, "world_size": topology.world_size}
    write_json(paths.attempt(0).attempt, told)
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.node", "--run-dir", str(paths.root), "--attempt", "0", "--node-rank", "0"],
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def steps() -> int | None:
        beat = read_beat(beats / "rank0")
        return None if beat is None else beat.step

    return Contender(name=name, process=process, samples_per_step=topology.global_batch_size, steps=steps)
