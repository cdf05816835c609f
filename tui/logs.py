"""What ``logs`` prints: the ranks' own output, told apart by rank, without anything that steers the terminal."""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.core.errors import InputError
from engine.store import AttemptPaths, ResultsPaths
from tui.output import strip_escapes, write_line
from tui.run_names import NamedRun, find_run
from tui.run_row import RunReader

__all__ = ["LogChoice", "LogFile", "show_logs"]

POLL_S = 0.25
MAX_BYTES_PER_READ = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LogChoice:
    """Which lines are wanted.

    Attributes:
        rank: of this rank only, or None for all.
        streams: "out", "err" or both.
        num_lines: of each file only so many last lines to begin with, or None for all.
    """

    rank: int | None = None
    streams: tuple[str, ...] = ("out", "err")
    num_lines: int | None = None


@dataclass
class LogFile:
    """One growing text file.

    Args:
        path: may not exist yet.
        label: put before each line.
    """

    path: Path
    label: str
    _offset: int = 0
    _half: bytes = field(default=b"", repr=False)

    def read(self) -> Iterator[str]:
        """Yield the complete lines since the last call."""
        while chunk := self._read_chunk():
            *lines, self._half = (self._half + chunk).split(b"\n")
            for line in lines:
                yield self._clean(line)

    def rest(self) -> Iterator[str]:
        """Yield the last line where it has no newline: what a dying process wrote last must not be lost."""
        if self._half:
            yield self._clean(self._half)
            self._half = b""

    def _read_chunk(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(MAX_BYTES_PER_READ)
        except OSError:
            return b""
        self._offset += len(chunk)
        return chunk

    def _clean(self, line: bytes) -> str:
        """Of a line that was overwritten with carriage returns (progress bars) keep what a terminal would show last."""
        text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        return f"{self.label}{strip_escapes(text)}"


def show_logs(
    results: ResultsPaths,
    name: str,
    choice: LogChoice,
    *,
    is_following: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Print the log lines of a run's newest attempt, and with ``is_following`` those to come until the run ends.

    Raises:
        InputError: there is no such run, or the run has no such rank.
    """
    run = find_run(results, name)
    reader = RunReader(run)
    attempts = run.paths.attempts()
    if choice.rank is not None and attempts and not is_following:
        _check_rank(run, attempts[-1], choice.rank)
    files: dict[Path, LogFile] = {}
    while True:
        has_ended = reader.read().is_terminal  # before the last look at the files, so that nothing is missed
        is_last = has_ended or not is_following
        for attempt in run.paths.attempts()[-1:]:
            _print_new(attempt, choice, files, is_last=is_last)
        if is_last:
            return 0
        sys.stdout.flush()
        sleep(POLL_S)


def _print_new(attempt: AttemptPaths, choice: LogChoice, files: dict[Path, LogFile], *, is_last: bool) -> None:
    for path, label in _wanted(attempt, choice):
        is_new = path not in files
        file = files.setdefault(path, LogFile(path, label))
        lines: Iterable[str] = itertools.chain(file.read(), file.rest()) if is_last else file.read()
        if is_new and choice.num_lines is not None:
            lines = deque(lines, maxlen=choice.num_lines)
        for line in lines:
            write_line(line)


def _wanted(attempt: AttemptPaths, choice: LogChoice) -> list[tuple[Path, str]]:
    """The files to show, in the order of ranks; the nodes' own logs where the ranks have said nothing at all."""
    ranks = _ranks(attempt) if choice.rank is None else [choice.rank]
    files = []
    for rank in ranks:
        label = "" if choice.rank is not None else f"[rank {rank}] "
        files += [(attempt.out(rank) if stream == "out" else attempt.err(rank), label) for stream in choice.streams]
    if choice.rank is None and not any(_size(path) for path, _ in files):
        nodes = sorted(attempt.node_log(0).parent.glob("node*.log"))
        files += [(path, f"[{path.stem}] ") for path in nodes]
    return files


def _ranks(attempt: AttemptPaths) -> list[int]:
    names = {path.stem.removeprefix("rank") for path in attempt.out(0).parent.glob("rank*.*")}
    return sorted(int(name) for name in names if name.isdigit())


def _check_rank(run: NamedRun, attempt: AttemptPaths, rank: int) -> None:
    ranks = _ranks(attempt)
    if rank not in ranks:
        some = ", ".join(map(str, ranks)) or "none yet"
        raise InputError(f"run {run.tag} has no log of rank {rank}; ranks with a log: {some}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
