"""Results folders for the screen's benchmark: many finished runs, runs that write at a given rate, very long files."""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

from engine.processes import this_process
from engine.store import ResultsPaths, RunPaths, write_json
from engine.tail import RunFollower

__all__ = ["make_finished", "make_long_log", "make_long_run"]

_PHASES = {"data": 0.08, "forward": 0.35, "backward": 0.41, "comm": 0.1, "optimizer": 0.05, "other": 0.01}


def make_finished(root: Path, num_runs: int) -> None:
    """Write finished runs with their summaries, 20 to an experiment."""
    for number in range(num_runs):
        experiment = f"sweep-{number // 20:03}"
        run_id = f"ddp-w{2 ** (number % 4)}-r{number % 20 // 4}-{number:06x}"
        paths = _begin(root, experiment, run_id, 1)
        for step in range(0, 800, 8):
            _append(paths, 0, _step_line(step, 8, number, time_s=1.79e9 + step * 0.03))
        _conclude(paths)
    for experiment in {f"sweep-{number // 20:03}" for number in range(num_runs)}:
        _plan(root, experiment)


def make_long_run(root: Path, num_lines: int) -> None:
    """Write one finished run of so many event lines on one rank."""
    paths = _begin(root, "long", "single-w1-r0-abcdef", 1)
    with paths.attempt(1).events(0).open("a") as file:
        for number in range(num_lines):
            file.write(_step_line(number, 1, 0, time_s=1.79e9 + number * 0.25) + "\n")
    status = {"state": "succeeded", "reason": "", "attempt": 1, "queued_s": 1.79e9, "started_s": 1.79e9}
    write_json(paths.status, {**status, "ended_s": 1.79e9 + num_lines * 0.25, "updated_s": 1.79e9})
    summary = {"format": 1, "id": paths.run_id, "experiment": "long", "state": "succeeded", "num_steps": num_lines}
    write_json(paths.summary, {**summary, "throughput": {"samples_per_s": 256.0}, "final": {"train_loss": 0.1}})
    _plan(root, "long")


def make_long_log(root: Path, num_lines: int) -> None:
    """Write one finished run whose rank 0 wrote so many lines."""
    paths = _begin(root, "wordy", "single-w1-r0-fedcba", 1)
    _append(paths, 0, _step_line(0, 8, 0, time_s=1.79e9))
    out = paths.attempt(1).out(0)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w") as file:
        for number in range(num_lines):
            file.write(
                f"{number:08} epoch {number // 1000} step {number % 1000} loss {2 / (1 + number / 1e5):.4f} words\n"
            )
    _conclude(paths)
    _plan(root, "wordy")


def write_live(root: Path, num_runs: int, lines_per_s: float, seconds: float) -> None:
    """Be the supervisor and the ranks of so many runs that go on: each writes ``lines_per_s`` lines."""
    runs = [_begin(root, "live", f"ddp-w2-r{number}-{number:06x}", 2) for number in range(num_runs)]
    _plan(root, "live")
    handle = this_process().to_json()
    begun, steps, beaten = time.time(), [0] * num_runs, 0.0
    while time.time() - begun < seconds:
        now = time.time()
        if now - beaten > 1.0:
            beaten = now
            for paths in runs:
                _status(paths, "running", handle=handle, started_s=begun, updated_s=now)
        due = int((now - begun) * lines_per_s / 2)
        for number, paths in enumerate(runs):
            while steps[number] < due:
                for rank in (0, 1):
                    _append(
                        paths,
                        rank,
                        _step_line(steps[number] * 8, 8, number, time_s=now, rank=rank, step_s=0.2 / lines_per_s),
                    )
                steps[number] += 1
        time.sleep(0.02)
    for paths in runs:
        _conclude(paths)


def _begin(root: Path, experiment: str, run_id: str, world_size: int) -> RunPaths:
    paths = ResultsPaths(root).run(experiment, run_id)
    repeat = int(run_id.split("-r")[1].split("-")[0])
    config = {"strategy": "ddp", "model": "lenet5", "dataset": "digits", "world_size": world_size, "nodes": 1,
              "global_batch_size": 64, "epochs": 100, "seed": repeat}  # fmt: skip
    point = run_id.rsplit("-", 2)[0]
    write_json(paths.run, {
        "format": 1, "id": run_id, "experiment": experiment, "point": point, "repeat": repeat, "config": config,
        "axes": {"world_size": world_size}, "baseline": "ddp-w1", "num_devices": world_size,
    })  # fmt: skip
    write_json(paths.attempt(1).attempt, {"attempt": 1, "world_size": world_size, "started_s": 1.79e9})
    for rank in range(world_size):
        start = {"kind": "run_start", "rank": rank, "attempt": 1, "seq": 0, "time_s": time.time(), "mono_s": 0.0,
                 "world_size": world_size, "num_devices": world_size, "host": "bench", "device": "cpu", "cores": [rank],
                 "role": "rank", "strategy": "ddp", "global_batch_size": 64, "steps_per_epoch": 1000,
                 "num_steps": 100_000, "num_epochs": 100, "lr": 0.1, "startup_s": 1.0}  # fmt: skip
        _append(paths, rank, json.dumps(start))
    return paths


def _step_line(first: int, stride: int, seed: int, *, time_s: float, rank: int = 0, step_s: float = 0.03) -> str:
    last = first + stride - 1
    noise = random.Random(last * 31 + seed).gauss(0, 0.05)
    loss = 2.3 * math.exp(-last / 2000) + 0.1 + 0.02 * seed + noise
    phases = {name: round(share * step_s * stride, 6) for name, share in _PHASES.items()}
    value: dict[str, Any] = {
        "kind": "step", "time_s": time_s, "mono_s": time_s - 1.79e9, "seq": last, "rank": rank, "attempt": 1,
        "epoch": last // 1000, "step_first": first, "step": last, "num_steps": stride, "samples": 32 * stride,
        "correct": 20 * stride, "loss": loss, "loss_min": loss - 0.1, "loss_max": loss + 0.1, "loss_last": loss,
        "lr": 0.1, "window_s": step_s * stride, "phases": phases,
        "boundary": {"step_s": step_s, "phases": {name: round(share * step_s, 6) for name, share in _PHASES.items()}},
    }  # fmt: skip
    return json.dumps(value, separators=(",", ":"))


def _append(paths: RunPaths, rank: int, line: str) -> None:
    path = paths.attempt(1).events(rank)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")


def _status(paths: RunPaths, state: str, **more: Any) -> None:
    value = {"state": state, "reason": "", "attempt": 1, "queued_s": 1.79e9, "started_s": 1.79e9, "ended_s": None}
    write_json(paths.status, {**value, "updated_s": 1.79e9, "exit_code": None, "handle": None, **more})


def _conclude(paths: RunPaths) -> None:
    _status(paths, "succeeded", ended_s=time.time(), exit_code=0)
    write_json(paths.summary, RunFollower(paths).summary())


def _plan(root: Path, experiment: str) -> None:
    folder = ResultsPaths(root).experiment(experiment)
    run_ids = sorted(path.name for path in (folder.root / "runs").iterdir())
    write_json(folder.plan, {"format": 1, "experiment": experiment, "run_ids": run_ids, "toml": ""})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write as runs that go on, until the time is over.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=10.0, help="lines a second and run")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    write_live(given.root, given.runs, given.rate, given.seconds)
