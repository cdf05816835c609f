"""Where in its life a run is: read from its files and beats, as anybody can, and fast enough to hit a short phase."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.store import AttemptPaths, RunPaths, read_json
from engine.tail import read_beat
from tests.drills.cases import EPOCHS

__all__ = ["FAST_S", "SLOW_S", "Life", "children", "is_module", "node_runner_pid", "rank_pids"]

FAST_S = 0.0003
SLOW_S = 0.004


class Life:
    """Follows one run through its phases; ``see`` is cheap since what was found once is not looked for again.

    Args:
        paths: the run's folder.
        world_size: its ranks.
    """

    def __init__(self, paths: RunPaths, world_size: int) -> None:
        self.paths = paths
        self._world_size = world_size
        self._attempt: AttemptPaths | None = None
        self._reached = 0

    def see(self) -> str:
        """Return the phase the newest attempt is in."""
        if self._attempt is None:
            self._attempt = next(reversed(self.paths.attempts()), None)
            if self._attempt is None:
                return "supervisor start"
        files = self._attempt
        if files.exit(0).exists():
            return "shutdown"
        if self._reached < 1 and not files.env(0).exists():
            return "node runner start"
        if self._reached < 2 and len(rank_pids(files)) < self._world_size:
            self._reached = max(self._reached, 1)
            return "agent start"
        if self._reached < 3 and not all((files.beats / f"rank{rank}").exists() for rank in range(self._world_size)):
            self._reached = max(self._reached, 2)
            return "rank import"
        self._reached = max(self._reached, 3)
        return self._see_ranks(files)

    def _see_ranks(self, files: AttemptPaths) -> str:
        last = _last_line(files.events(0))
        kind = last.get("kind")
        beat = read_beat(files.beats / "rank0")
        if kind == "run_stop" or beat is None or beat.phase == "done":
            return "shutdown"
        if kind == "epoch_stop" and last.get("epoch") == EPOCHS - 1:
            return "final model write"
        if kind is None or (beat.phase == "startup" and kind == "run_start"):
            return "rendezvous"
        if beat.phase == "eval" or (beat.phase == "snapshot" and kind == "eval"):
            return "evaluation"
        if beat.phase == "snapshot":
            return "snapshot write"
        return "first step" if kind in ("run_start", "message", "epoch_start") and beat.step <= 0 else "training"

    def step(self) -> int:
        """Return the step that rank 0 is at, -1 where it has not begun."""
        beat = None if self._attempt is None else read_beat(self._attempt.beats / "rank0")
        return -1 if beat is None else beat.step

    def follow(self) -> Iterator[str]:
        """Yield the phase again and again: often once phases are short."""
        while True:
            yield self.see()
            time.sleep(SLOW_S if self._reached < 3 else FAST_S)

    def attempt(self) -> AttemptPaths | None:
        """The attempt that was seen first; a new ``Life`` sees the newest."""
        return self._attempt


def rank_pids(files: AttemptPaths) -> dict[int, int]:
    """Return the pids of the ranks that were started, by rank."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = [json.loads(line) for line in files.ranks(0).read_bytes().splitlines()]
        return {line["rank"]: line["pid"] for line in lines if line["kind"] == "rank_start"}
    return {}


def children(pid: int) -> list[int]:
    """Return the pids of the children of a process, whichever of its threads started them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def is_module(pid: int, name: str, *words: str) -> bool:
    """Whether a process was started as ``python -m name`` with these words among its arguments."""
    try:
        line = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return False
    return name in line and set(words) <= set(line)


def node_runner_pid(files: AttemptPaths) -> int | None:
    """Return the pid that the node runner wrote down."""
    pid = (read_json(files.handle(0)) or {}).get("pid")
    return pid if isinstance(pid, int) else None


def _last_line(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, IndexError):
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - 4096, 0))
            value = json.loads(file.read().splitlines()[-1])
        return value if isinstance(value, dict) else {}
    return {}
