"""Run contenders in turn, block by block, so that a machine that drifts drifts under all of them alike.

Every contender is started once and trains on; all but one are stopped (SIGSTOP) at any time. In its block a contender
is continued, left alone for a moment, and its steps are counted over a fixed time. Ratios are taken inside a round.
"""

from __future__ import annotations

import math
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

SETTLE_S = 0.3


@dataclass(kw_only=True)
class Contender:
    """A running job: the process that was started, and how to read the steps of its rank 0.

    ``samples_per_step`` is global. ``steps`` returns None until the job trains.
    """

    name: str
    process: subprocess.Popen[bytes]
    samples_per_step: int
    steps: Callable[[], int | None]

    def tree(self) -> list[psutil.Process]:
        """Every process of the job, the ranks included (torchrun gives them sessions of their own)."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: int) -> None:
        """Signal every process of the job that is still there."""
        for process in self.tree():
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue

    def end(self) -> None:
        """Kill the job."""
        tree = self.tree()
        for process in tree:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def wait_until_training(contender: Contender, *, num_steps: int = 20, timeout_s: float = 180.0) -> None:
    """Wait until the job has taken ``num_steps`` steps.

    Raises:
        RuntimeError: it ended or did not come so far.
    """
    deadline = time.monotonic() + timeout_s
    while (contender.steps() or 0) < num_steps:
        if contender.process.poll() is not None:
            raise RuntimeError(f"{contender.name} ended with {contender.process.returncode} before it trained")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{contender.name} did not train within {timeout_s:.0f} s")
        time.sleep(0.05)


def measure_block(contender: Contender, block_s: float) -> float:
    """Continue the job, count its steps over ``block_s`` seconds and stop it again; return samples/s."""
    contender.send(signal.SIGCONT)
    time.sleep(SETTLE_S)
    first, start = _next_step(contender)
    time.sleep(block_s)
    last, end = _next_step(contender)
    contender.send(signal.SIGSTOP)
    return (last - first) * contender.samples_per_step / (end - start)


def interleave(contenders: list[Contender], *, num_rounds: int, block_s: float) -> dict[str, list[float]]:
    """Measure every contender once a round, in an order shuffled anew each round; return samples/s per round."""
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    shuffler = random.Random(0)
    for _ in range(num_rounds):
        order = contenders[:]
        shuffler.shuffle(order)
        for contender in order:
            rates[contender.name].append(measure_block(contender, block_s))
    return rates


def ratio_with_interval(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the ratios round by round and its 95 % interval (t on logarithms)."""
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(logs)
    half = _t_975(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _next_step(contender: Contender) -> tuple[int, float]:
    """Return the next step number and the moment it was reached, so that no part of a step is counted."""
    current = contender.steps()
    deadline = time.monotonic() + 30.0
    while (now := contender.steps()) == current:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{contender.name} took no step for 30 s")
        time.sleep(0.0002)
    assert now is not None
    return now, time.monotonic()


def _t_975(degrees: int) -> float:
    """Student's t, two-sided 95 %: Cornish-Fisher from the normal quantile, within 1 % from 4 degrees of freedom."""
    z = 1.959963984540054
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
