"""What ``logs`` prints: the ranks' own output, told apart by rank, without anything that steers the terminal."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import InputError
from engine.logbook.index import LineIndex
from engine.logbook.reading import BlockReader, read_line, read_lines
from engine.logbook.text import MAX_CHARS
from engine.store import AttemptPaths, ResultsPaths
from tui.output import strip_escapes, write_line
from tui.run_names import NamedRun, find_run
from tui.run_row import RunReader

__all__ = ["LogChoice", "LogFile", "show_logs"]

POLL_S = 0.25
MAX_LINES_PER_READ = 2_000


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


class LogFile:
    """One growing text file, read from its beginning.

    Args:
        path: may not exist yet.
        label: put before each line.
    """

    def __init__(self, path: Path, label: str) -> None:
        self._label = label
        self._index = LineIndex(path)
        self._generation = 0
        self._next = 0

    def skip_to_last(self, num_lines: int, *, has_rest: bool) -> None:
        """Leave out all but the last lines; ``has_rest``: a last line without newline counts."""
        self._advance()
        self._next = max(len(self._index) + (has_rest and self._index.partial_bytes > 0) - num_lines, 0)

    def read(self) -> Iterator[str]:
        """Yield the complete lines since the last call."""
        self._advance()
        while self._next < len(self._index):
            first, self._next = self._next, min(self._next + MAX_LINES_PER_READ, len(self._index))
            for text in read_lines(self._index, first, self._next, sys.maxsize):
                yield self._clean(text)

    def rest(self) -> Iterator[str]:
        """Yield the last line where it has no newline: what a dying process wrote last must not be lost."""
        if self._index.partial_bytes and self._next <= len(self._index):
            yield self._clean(read_line(BlockReader(1), self._index, len(self._index), MAX_CHARS)[0])

    def _advance(self) -> None:
        while self._index.advance():
            pass
        if self._index.generation != self._generation:  # it shrank or was replaced: what is there now is new
            self._generation, self._next = self._index.generation, 0

    def _clean(self, text: str) -> str:
        return f"{self._label}{strip_escapes(text)}"


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
        if is_new and choice.num_lines is not None:
            file.skip_to_last(choice.num_lines, has_rest=is_last)
        for line in itertools.chain(file.read(), file.rest()) if is_last else file.read():
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
