"""What the screen costs, measured in a real pseudo-terminal of 120x40: ``python -m benchmarks.screen [PART...]``.

Parts: paint, idle, live, lag, long, log, frames, quit, training. Without a part all of them, ten minutes in all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.blocks import ratio_with_interval, wait_until_training
from benchmarks.engine_run import start_engine
from benchmarks.pty_screen import PtyScreen
from benchmarks.screen_results import make_finished, make_long_log, make_long_run

LONG = 1_000_000
LIVE = "live/ddp-w2-r0-000000"


def say(what: str, found: str, budget: str) -> None:
    """One line of the table."""
    print(f"| {what} | {found} | {budget} |", flush=True)


@contextlib.contextmanager
def screen(root: Path, *words: str, cache: Path | None = None, cpu: int | None = None) -> Iterator[PtyScreen]:
    """The screen on a results folder; killed at the end where it was not left."""
    argv = [sys.executable, *(words or ("-m", "tui.cli", "--results", str(root)))]
    if cpu is not None:
        argv = ["taskset", "-c", str(cpu), *argv]
    program = PtyScreen(argv, env={"XDG_CACHE_HOME": str(cache or root.parent / "cache")})
    try:
        yield program
    finally:
        program.kill()


@contextlib.contextmanager
def writer(root: Path, rate: float, seconds: float) -> Iterator[None]:
    """Eight runs that write."""
    argv = [sys.executable, "-m", "benchmarks.screen_results", str(root), "--rate", str(rate)]
    process = subprocess.Popen([*argv, "--seconds", str(seconds)])
    time.sleep(2.0)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure_paint(folder: Path) -> None:
    """First paint with the runs in the table."""
    for num_runs, budget in ((100, "< 0.5 s"), (1000, "< 1 s")):
        root = folder / f"finished-{num_runs}" / "results"
        make_finished(root, num_runs)
        for which in ("first", "second"):
            with screen(root) as program:
                painted = program.read_until("ddp-w1-r0-000000"[:12], 30)
            say(f"first paint, {num_runs} finished runs, {which} time", _seconds(painted), budget)


def measure_idle(folder: Path) -> None:
    """Nothing goes on."""
    root = folder / "finished-100" / "results"
    if not root.exists():
        make_finished(root, 100)
    with screen(root) as program:
        program.read_until("ddp-w1", 30)
        program.read(3.0)
        cost = program.measure(20.0)
    say("idle", f"{cost.bytes_per_s:.0f} bytes/s, {100 * cost.cpu_ratio:.2f} % of a core", "0 bytes/s, < 1 %")


def measure_live(folder: Path) -> None:
    """Eight runs that write, seen in Runs and in Charts."""
    for rate, budget in ((10, "< 30 KB/s, < 12 %"), (100, "< 30 KB/s, < 20 %")):
        for mode, keys in (("Runs", ""), ("Charts", "a2"), ("Ranks", "4"), ("Logs", "5cc")):
            root = folder / f"live-{rate}-{mode}" / "results"
            with writer(root, rate, 60), screen(root) as program:
                program.read_until("ddp-w2", 30)
                program.read(1.0)
                program.type(keys)
                program.read(4.0)
                cost = program.measure(15.0)
            found = f"{cost.bytes_per_s / 1000:.1f} KB/s, {100 * cost.cpu_ratio:.1f} % of a core"
            say(f"live, 8 runs of {rate} lines/s, {mode}", found, budget)


def measure_lag(folder: Path) -> None:
    """How late the event loop is."""
    for rate in (10, 100):
        root, out = folder / f"lag-{rate}" / "results", folder / f"lag-{rate}.json"
        words = ("-m", "benchmarks.screen_probe", str(root), str(out))
        with writer(root, rate, 60), screen(root, *words) as program:
            program.read_until("ddp-w2", 30)
            for keys in ("a", "2", "4", "5", "1"):
                program.type(keys)
                program.read(5.0)
            program.type("q")
            program.read(0.5)
            program.type("d")
            program.wait(5.0)
        found = json.loads(out.read_text())
        lags = ", ".join(f"{name} {1000 * found[name]:.0f} ms" for name in ("p50", "p95", "p99", "max"))
        say(f"event loop lag, 8 runs of {rate} lines/s, all modes", lags, "p99 < 50 ms")


def measure_long(folder: Path) -> None:
    """A run of a million event lines, the first time and from the cache."""
    root, cache = folder / "long" / "results", folder / "long" / "cache"
    make_long_run(root, LONG)
    for which, budget in (("first", "< 5 s"), ("second", "< 1 s")):
        out = folder / f"long-{which}.json"
        words = ("-m", "benchmarks.screen_probe", str(root), str(out))
        with screen(root, *words, cache=cache) as program:
            program.read(12.0 if which == "first" else 4.0)
            rss = program.rss_mib()
            program.type("q")
            program.wait(5.0)
        read = {name.rpartition(": ")[2]: value for name, value in json.loads(out.read_text())["read_s"].items()}
        last = read.get("last points", read.get("first points"))
        found = f"first points {_seconds(read.get('first points'))}, all of them {_seconds(last)}, {rss:.0f} MiB"
        say(f"chart of {LONG:,} event lines, {which} time", found, budget)


def measure_log(folder: Path) -> None:
    """A log of a million lines."""
    root = folder / "wordy" / "results"
    make_long_log(root, LONG)
    with screen(root) as program:
        program.read_until("single", 30)
        program.read(0.5)
        begun = time.perf_counter()
        program.type("5")
        seen = program.read_until(f"{LONG - 1:08}", 30)
        found = None if seen is None else time.perf_counter() - begun
        program.read(3.0)
        rss = program.rss_mib()
    say(f"log of {LONG:,} lines: its end on the screen", f"{_seconds(found)}, {rss:.0f} MiB", "< 0.5 s, < 100 MB")


def measure_frames(_folder: Path) -> None:
    """Memory over ten thousand charts."""
    import psutil

    from benchmarks.screen_frames import draw_frames

    process = psutil.Process()
    sizes = [process.memory_info().rss for _ in draw_frames(10_000, every=1000)]
    found = f"{sizes[1] / 2**20:.1f} MiB after 2,000 frames, {sizes[-1] / 2**20:.1f} MiB after 10,000"
    say("memory over 10,000 chart frames", found, "no growth")


def measure_quit(folder: Path) -> None:
    """From the key to the end of the process."""
    root = folder / "quit" / "results"
    with writer(root, 10, 40), screen(root) as program:
        program.read_until("ddp-w2", 30)
        program.type("a2")
        program.read(4.0)
        program.type("q")
        program.read_until("detach", 5)
        begun = time.perf_counter()
        program.type("d")
        status = program.wait(10.0)
        passed = time.perf_counter() - begun
    say("quit", _seconds(passed) if status is not None else "it did not end", "< 1 s")


def measure_training(folder: Path) -> None:
    """Training with the screen beside it, against the same training while the screen is stopped, block by block."""
    config = {
        "model": "lenet5",
        "dataset": "synthetic",
        "dataset_args": {"input_shape": [3, 32, 32], "num_classes": 10, "train_samples": 12800, "test_samples": 256},
        "local_batch_size": 64,
    }
    cases: tuple[tuple[str, dict[str, object], int | None, str], ...] = (
        ("one rank on core 0, screen on core 1", {"strategy": "single", "cores_per_rank": 1}, 1, ">= 0.98 (lower)"),
        ("two ranks on both cores", {"strategy": "ddp", "world_size": 2, "cores_per_rank": 1}, None, ">= 0.85"),
    )
    for number, (what, more, cpu, budget) in enumerate(cases):
        root = folder / f"training-{number}" / "results"
        trainer = start_engine("train", {**config, **more}, root / "bench" / "runs")
        try:
            wait_until_training(trainer)
            write_status(root, trainer.process.pid)
            with screen(root, cpu=cpu) as program:
                program.read_until("train", 30)
                program.read(3.0)
                beside, alone = blocks(program, trainer.steps, num_rounds=12, block_s=4.0)
        finally:
            trainer.end()
        ratio, low, high = ratio_with_interval(beside, alone)
        say(f"training under the screen: {what}", f"{ratio:.3f} ({low:.3f} to {high:.3f})", budget)


def blocks(
    program: PtyScreen, steps: Callable[[], int | None], *, num_rounds: int, block_s: float
) -> tuple[list[float], list[float]]:
    """Steps per second in turn with the screen at work and with it stopped."""
    import signal

    beside: list[float] = []
    alone: list[float] = []
    for number in range(2 * num_rounds):
        is_beside = (number + number // 2) % 2 == 0
        os.kill(program.pid, signal.SIGCONT if is_beside else signal.SIGSTOP)
        program.read(0.5)
        first, start = steps() or 0, time.monotonic()
        program.read(block_s)
        (beside if is_beside else alone).append(((steps() or 0) - first) / (time.monotonic() - start))
    os.kill(program.pid, signal.SIGCONT)
    return beside, alone


def write_status(root: Path, pid: int) -> None:
    """Say of the benchmark's run that it goes on, as its supervisor would."""
    from engine.processes import handle_of
    from engine.store import ResultsPaths, write_json

    paths = ResultsPaths(root).run("bench", "train")
    handle = handle_of(pid)
    status = {"state": "running", "reason": "", "attempt": 0, "started_s": time.time(), "updated_s": time.time() + 1e6}
    write_json(paths.status, {**status, "handle": handle.to_json() if handle else None})


def _seconds(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f} s"


PARTS = {name.removeprefix("measure_"): part for name, part in list(globals().items()) if name.startswith("measure_")}


def main() -> None:
    """Measure the parts that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which to measure")
    chosen = parser.parse_args().parts or list(PARTS)
    print("| what | measured | budget |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="ddptui-screen-") as folder:
        for name in chosen:
            PARTS[name](Path(folder))


if __name__ == "__main__":
    main()
