"""What ddptui itself costs: its commands, its logging, its two processes beside a run.

``python -m benchmarks.overhead``. Prints the wall time of two commands, the thread CPU time that measuring and logging
take of a step (LeNet-5, batch 64, one thread), and the memory and CPU of supervisor and node runner beside a quiet run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.engine_run import make_spec
from ddptui.lines import LineWriter
from engine.store import ResultsPaths, read_json
from engine.worker.beat import open_beat
from engine.worker.context import read_context
from engine.worker.datasets.bundle import load_bundle
from engine.worker.emit import StepWindow
from engine.worker.loop import Loop
from engine.worker.phases import PhaseClock, make_clock
from engine.worker.strategies.single import Single
from engine.worker.task import build_task

LENET = {
    "model": "lenet5",
    "dataset": "synthetic",
    "dataset_args": {"input_shape": [3, 32, 32], "num_classes": 10, "train_samples": 50_000, "test_samples": 1000},
    "global_batch_size": 64,
    "stop": {"steps": 600},
}

QUIET = """\
[[experiment]]
name = "quiet"
model = "mlp"
dataset = "digits"
global_batch_size = 64
optimizer = { lr = 0.01 }
evaluate_every = 0
stop = { minutes = 10 }
slow = { rank = 0, phase = "data", delay_s = 0.25 }
"""


def measure_command(*arguments: str, times: int = 10) -> float:
    """Median wall seconds of a ddptui command."""
    walls = []
    for _ in range(times):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "tui.cli", *arguments]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        walls.append(time.perf_counter() - begun)
    return statistics.median(walls)


@contextmanager
def counting(*places: tuple[type, str]) -> Iterator[list[int]]:
    """Add up the thread CPU nanoseconds spent inside methods; nested calls count once."""
    spent, depth = [0], [0]
    kept = [(owner, name, getattr(owner, name)) for owner, name in places]

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            depth[0] += 1
            begun = time.thread_time_ns()
            try:
                return method(*args, **kwargs)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent[0] += time.thread_time_ns() - begun

        return call

    for owner, name, method in kept:
        setattr(owner, name, counted(method))
    try:
        yield spent
    finally:
        for owner, name, method in kept:
            setattr(owner, name, method)


def measure_logging(folder: Path) -> tuple[float, float]:
    """Return the thread CPU seconds that clock, beat and event lines take of a step, and the median step."""
    torch.set_num_threads(1)
    spec = make_spec("logging", LENET)
    context = read_context(device="cpu", backend="auto")
    bundle = load_bundle(spec)
    task = build_task(spec, bundle, context)
    strategy = Single(task, context)
    strategy.set_up()
    beat = open_beat(str(folder), 0)
    path = folder / "rank0.jsonl"
    writer = LineWriter(str(path), rank=0, attempt=0)
    clock = make_clock(context, beat, None)
    loop = Loop(
        strategy=strategy, task=task, bundle=bundle, context=context, writer=writer, clock=clock, beat=beat,
        is_leaving=lambda: False,
    )  # fmt: skip
    places = [(PhaseClock, name) for name in ("start", "switch", "stop")] + [(StepWindow, "add"), (LineWriter, "write")]
    with counting(*places) as spent:
        ending = loop.run()
    return spent[0] * 1e-9 / ending.num_steps, ending.train_s / ending.num_steps


def measure_processes(folder: Path, *, seconds: float = 20.0) -> dict[str, tuple[float, float]]:
    """Return ``{name: (MiB resident, % of a core)}`` of supervisor and node runner beside a run that does little."""
    (folder / "quiet.toml").write_text(QUIET)
    results = folder / "results"
    ddptui = [sys.executable, "-m", "tui.cli", "--results", str(results)]
    subprocess.run([*ddptui, "run", str(folder / "quiet.toml"), "--detach"], check=True, stdout=subprocess.DEVNULL)
    try:
        found: dict[str, psutil.Process] = {}
        while len(found) < 2:
            time.sleep(1.0)
            node = next(results.glob("quiet/runs/*/attempts/*/handle-node0.json"), folder / "none")
            handles = {"supervisor": ResultsPaths(results).lock, "node runner": node}
            found = {name: psutil.Process(h["pid"]) for name, p in handles.items() if (h := read_json(p)) is not None}
        time.sleep(15.0)  # the start is over
        before = {name: sum(process.cpu_times()[:2]) for name, process in found.items()}
        time.sleep(seconds)
        return {
            name: (
                process.memory_info().rss / 2**20,
                100 * (sum(process.cpu_times()[:2]) - before[name]) / seconds,
            )
            for name, process in found.items()
        }
    finally:
        subprocess.run([*ddptui, "stop", "--all"], check=False, stdout=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(f"ddptui --help            {measure_command('--help'):.3f} s")
        print(f"ddptui ls (no results)   {measure_command('ls'):.3f} s")
        logging_s, step_s = measure_logging(Path(folder))
        print(f"measuring and logging    {logging_s * 1e6:.1f} us of a step of {step_s * 1e3:.2f} ms", end="")
        print(f": {100 * logging_s / step_s:.2f} %")
        for name, (mib, percent) in measure_processes(Path(folder)).items():
            print(f"{name:24} {mib:.1f} MiB, {percent:.2f} % of a core")


if __name__ == "__main__":
    main()
