"""What is shown of the logs: the lines of the chosen files in one order, as positions that can be read."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.logbook.files import FileName, LogFile
from engine.logbook.order import Order
from engine.logbook.reading import BlockReader, read_line, read_lines
from engine.logbook.text import MAX_CHARS, MAX_LISTED_CHARS, decode_line_text

__all__ = ["Judge", "LogLine", "LogSelection", "Page"]

PREVIEW_BYTES = 1 << 16
_WINDOW_BYTES = 1 << 18
_WINDOW_LINES = 2_000

Judge = Callable[[FileName, str, str], bool]
"""Judges a line by its file, its text and the text of the line before it in the same file ("" for the first)."""


@dataclass(frozen=True, kw_only=True)
class LogSelection:
    """What to show.

    Attributes:
        streams: of ``engine.logbook.files.ALL_STREAMS``.
        rank: of one rank only, or None for all.
        attempt: which, or None for the newest.
    """

    streams: tuple[str, ...] = ("out", "err")
    rank: int | None = None
    attempt: int | None = None


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line.

    Attributes:
        name: of its file.
        number: which line of the file, 0-based.
        end: where it ends in the file: one that is still being written grows.
        text: without its newline; escape sequences are still in it.
        previous: the text of the line before it in the same file, "" for the first.
        time_s: when it was written (Unix time), None where that is not known.
        is_cut: whether there is more of it than ``text``.
        is_partial: whether it is still being written.
    """

    name: FileName
    number: int
    end: int
    text: str
    previous: str = ""
    time_s: float | None = None
    is_cut: bool = False
    is_partial: bool = False


class Page:
    """The lines of some files. ``advance`` is called on the reading thread; the rest on the thread that shows.

    Behind the complete lines stand those that are being written, one of each file at most. While a long file is looked
    at for the first time there is only a preview: the last lines of each file.

    Args:
        selection: what was asked for.
        files: in the order of lines of equal or unknown time.

    Attributes:
        shift: how many lines were found before the preview's: by so much all positions moved when it went.
    """

    def __init__(self, selection: LogSelection, files: Sequence[LogFile]) -> None:
        self.selection = selection
        self.order = Order(files)
        self.generations = [file.index.generation for file in files]
        self.shift = 0
        self.is_open = False
        self._preview: Sequence[LogLine] = ()
        self._partials: tuple[int, ...] = ()
        self._reader = BlockReader()

    @property
    def files(self) -> Sequence[LogFile]:
        """Their numbers are what the order speaks of."""
        return self.order.files

    def __len__(self) -> int:
        """How many lines can be read now."""
        return self.order.num_lines + len(self._partials) if self.is_open else len(self._preview)

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(file.index.num_bytes for file in self.files)

    @property
    def progress(self) -> float:
        """Which share of the bytes was looked at."""
        total = self.num_bytes
        return sum(file.index.size for file in self.files) / total if total else 1.0

    @property
    def has_restarted(self) -> bool:
        """Whether a file started over, so that nothing that is known of the order holds."""
        return self.generations != [file.index.generation for file in self.files]

    def line(self, position: int, max_chars: int = MAX_LISTED_CHARS) -> LogLine | None:
        """Return the line at a position, None where there is none (any more)."""
        if not self.is_open:
            return self._preview[position] if 0 <= position < len(self._preview) else None
        try:
            number, line = self._find(position)
        except IndexError:
            return None
        return self._read(self.files[number], line, max_chars)

    def _find(self, position: int) -> tuple[int, int]:
        num_lines = self.order.num_lines
        if position >= num_lines:
            number = self._partials[position - num_lines]
            return number, len(self.files[number].index)
        return self.order.at(position)[:2]

    def _read(self, file: LogFile, line: int, max_chars: int) -> LogLine:
        index = file.index
        text, is_cut = read_line(self._reader, index, line, max_chars)
        previous = ""
        if line and file.name.stream != "event":
            previous = read_line(self._reader, index, line - 1, MAX_LISTED_CHARS)[0]
        return LogLine(
            name=file.name,
            number=line,
            end=index.span(line)[1],
            text=text,
            previous=previous,
            time_s=file.time_s(line),
            is_cut=is_cut,
            is_partial=line >= len(index),
        )

    def all_lines(self, limit: int) -> Iterator[tuple[FileName, str]]:
        """Yield whose it is and the text of the last ``limit`` lines: fast, by large pieces."""
        position = max(self.order.num_lines - limit, 0)
        while position < self.order.num_lines:
            file, texts = self.texts(position, self._reader)
            yield from ((file.name, text) for text in texts)
            position += len(texts)
        for number in self._partials:
            file = self.files[number]
            yield file.name, read_line(self._reader, file.index, len(file.index), MAX_CHARS)[0]

    # On the reading thread.

    def advance(self, until_s: float, *, has_times: bool) -> tuple[bool, int | None]:
        """Look at more of the files and place their lines until the (monotonic) time has come.

        Args:
            until_s: when to stop.
            has_times: whether all that is known of the lines' times was read: before that none is placed.

        Returns:
            Whether more waits; and the position from which on lines were moved, None where none was.
        """
        is_more = self._look_at_files(until_s)
        if self.is_open or (has_times and not is_more):
            cut = self.order.advance(until_s)
            self._open()
            return is_more or self.order.num_waiting > 0, cut
        if not self._preview:
            self._preview = self._make_preview()
        return True, None

    def _look_at_files(self, until_s: float) -> bool:
        """Look at what is new in every file until the time has come; return whether more waits."""
        if not self.is_open:
            for file in self.files:
                file.index.measure()  # for the preview and the progress: most of them wait their turn
        for file in self.files:
            while file.index.advance():
                if time.monotonic() >= until_s:
                    return True
        return False

    def _open(self) -> None:
        self._partials = tuple(number for number, file in enumerate(self.files) if file.has_partial)
        if not self.is_open and self.order.num_waiting == 0:
            self.shift = self.order.num_lines + len(self._partials) - len(self._preview) if self._preview else 0
            self.is_open = True
            self._preview = ()

    def _make_preview(self) -> Sequence[LogLine]:
        lines = [line for file in self.files for line in _last_lines(file)]
        return sorted(lines, key=lambda line: line.time_s or 0.0)

    def texts(self, position: int, reader: BlockReader) -> tuple[LogFile, list[str]]:
        """Return the file and the texts of some complete lines from ``position`` on, at least one.

        Raises:
            IndexError: there is no such line.
        """
        number, line, num_lines = self.order.at(position)
        file = self.files[number]
        if num_lines == 1:
            return file, [read_line(reader, file.index, line, MAX_CHARS)[0]]
        last = line + min(num_lines, _WINDOW_LINES)
        last = max(min(last, bisect_left(file.index.ends, file.index.span(line)[0] + _WINDOW_BYTES)), line)
        if last == line:  # one line alone is longer than that
            return file, [read_line(reader, file.index, line, MAX_CHARS)[0]]
        return file, read_lines(file.index, line, last, MAX_CHARS)

    def text_before(self, position: int, reader: BlockReader) -> str:
        """Return the text of the line that stands in the same file before the line at ``position``."""
        number, line, _ = self.order.at(position)
        return read_line(reader, self.files[number].index, line - 1, MAX_LISTED_CHARS)[0] if line else ""

    def partial_texts(self, reader: BlockReader) -> list[tuple[LogFile, str]]:
        """Return the file and the text of each line that is being written."""
        files = [self.files[number] for number in self._partials]
        return [(file, read_line(reader, file.index, len(file.index), MAX_CHARS)[0]) for file in files]


def _last_lines(file: LogFile) -> Iterator[LogLine]:
    """The last lines of a file that was not looked at yet; their numbers are unknown and count from the end."""
    size = file.index.num_bytes
    end = max(size - PREVIEW_BYTES, 0)
    pieces = BlockReader(1).read(file.index, end, size).split(b"\n")
    for place, piece in enumerate(pieces):
        end += len(piece) + 1
        is_half = place == 0 and size > PREVIEW_BYTES
        if is_half or not (piece or place < len(pieces) - 1):
            continue
        text = decode_line_text(piece)
        yield LogLine(
            name=file.name,
            number=place - len(pieces),
            end=end,
            text=text[:MAX_LISTED_CHARS],
            time_s=file.time_at(end),
            is_cut=len(text) > MAX_LISTED_CHARS,
        )
