"""Ranks of test runs as forks of one process that has loaded torch: ``python rank_nursery.py``.

Each line on stdin is one rank: ``{"environment", "folder", "errors", "store", "signal", "room_bytes"}``. The answer is
its pid; how it ended is asked for with ``{"wait": pid}``, which of all ends first with ``{"wait": -1}``. Starting torch
costs seconds, forking it milliseconds.

``signal`` is what the rank sends itself: ``{"number", "step"}`` as a step begins, ``{"number", "phase", "step"}`` as it
enters a phase outside steps when so many are done, ``{"number", "part"}`` in the middle of its so-manieth snapshot.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

import torch.distributed as dist

from ddptui.start import die_with
from engine import catalog, snapshots
from engine.worker import __main__ as worker
from engine.worker import emit, snapshot
from engine.worker.beat import NoBeat


def be_rank(order: dict[str, Any]) -> None:
    """Be one rank of a run until its end."""
    os.environ.clear()
    os.environ.update(order["environment"])
    with open(order["errors"], "w") as errors:
        for fd in (0, 1):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        os.dup2(errors.fileno(), 2)
    emit.WARM_UP_STEPS = 10**9  # a line for every step
    if order["signal"]:
        _signal_itself(**order["signal"])
    if order["room_bytes"] is not None:  # as on a full disk: no file may become larger
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["room_bytes"], order["room_bytes"]))
    world_size = int(os.environ["WORLD_SIZE"])
    if order["store"]:
        store = dist.FileStore(order["store"], world_size)
        dist.init_process_group("gloo", store=store, rank=int(os.environ["RANK"]), world_size=world_size)
    worker._leave(worker.main([order["folder"]]))


def _signal_itself(number: int, step: int = -1, phase: str = "", part: int = 0) -> None:
    steps, parts = [-1], []

    def begin(beat: NoBeat, begun: int) -> None:
        steps.append(begun)
        if begun == step and not phase:
            os.kill(os.getpid(), number)

    def write(beat: NoBeat, entered: str, mono_ns: int) -> None:
        if entered == phase and steps[-1] == step:
            os.kill(os.getpid(), number)

    def write_part(*arguments: Any) -> dict[str, Any]:
        line = snapshots.write_part(*arguments)
        parts.append(line)
        if len(parts) == part:
            os.kill(os.getpid(), number)
        return line

    NoBeat.begin, NoBeat.write = begin, write  # type: ignore[method-assign]
    snapshot.write_part = write_part


ended: dict[int, int] = {}
"""How processes ended that nobody has asked for yet."""


def wait(pid: int) -> int:
    """Return how the process ended; the pid of the first that ends where it is -1."""
    if pid in ended:
        return ended.pop(pid)
    first, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if pid != -1:
        return code
    ended[first] = code
    return first


def main() -> None:
    for strategy, _ in catalog.STRATEGIES.values():
        catalog.load(strategy)
    parent = os.getpid()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = wait(order["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                die_with(parent)
                be_rank(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
