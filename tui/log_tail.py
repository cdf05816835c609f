"""The last lines that the ranks of a run wrote."""

from __future__ import annotations

import os

from engine.store import AttemptPaths
from tui.output import strip_escapes
from tui.run_names import NamedRun

__all__ = ["last_lines"]

_BYTES_PER_LINE = 512


def last_lines(run: NamedRun, num_lines: int) -> list[str]:
    """Return so many last lines of each rank's output and errors in the newest attempt, labelled by rank."""
    attempts = run.paths.attempts()
    if not attempts:
        return []
    lines: list[str] = []
    for rank in _ranks(attempts[-1]):
        texts = [_tail(str(path), num_lines) for path in (attempts[-1].out(rank), attempts[-1].err(rank))]
        lines += [f"[rank {rank}] {line}" for text in texts for line in text][-num_lines:]
    return lines


def _ranks(attempt: AttemptPaths) -> list[int]:
    names = {path.stem.removeprefix("rank") for path in attempt.out(0).parent.glob("rank*.*")}
    return sorted(int(name) for name in names if name.isdigit())


def _tail(path: str, num_lines: int) -> list[str]:
    size = num_lines * _BYTES_PER_LINE
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a stranger may have put a pipe there
        with os.fdopen(fd, "rb") as file:
            end = file.seek(0, 2)
            file.seek(max(end - size, 0))
            content = file.read(size)
    except OSError:
        return []
    lines = content.split(b"\n")[1 if end > size else 0 :]
    shown = [line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2] for line in lines if line.strip()]
    return [strip_escapes(line) for line in shown[-num_lines:]]
