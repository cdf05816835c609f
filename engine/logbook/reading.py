"""The text of lines, read again when it is wanted, in pieces that are kept for a while."""

from __future__ import annotations

import os
from collections import OrderedDict

from engine.logbook.index import LineIndex
from engine.logbook.text import decode_line_text

__all__ = ["BlockReader", "read_line", "read_lines"]

BLOCK_BYTES = 1 << 16
NUM_BLOCKS = 32
_TAIL_BYTES = 1 << 16
"""How far from the end of a very long line a progress bar is looked for."""


class BlockReader:
    """Reads byte ranges of files by blocks and keeps the last used ones. For one thread.

    Files are opened for each read: no descriptor is held on a file that somebody may replace or delete.
    """

    def __init__(self, num_blocks: int = NUM_BLOCKS) -> None:
        self._num_blocks = num_blocks
        self._blocks: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

    def read(self, index: LineIndex, start: int, end: int) -> bytes:
        """Return the bytes of ``index``'s file from ``start`` to ``end``; fewer where it is no longer so long."""
        if end - start > BLOCK_BYTES:
            return _pread(index.path, start, end - start)
        first, last = start // BLOCK_BYTES, max(end - 1, start) // BLOCK_BYTES
        data = b"".join(self._block(index, number, end) for number in range(first, last + 1))
        return data[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _block(self, index: LineIndex, number: int, end: int) -> bytes:
        key = (index.path, index.generation, number)
        block = self._blocks.get(key)
        wanted = min(end - number * BLOCK_BYTES, BLOCK_BYTES)
        if block is None or len(block) < wanted:  # it has grown since it was read
            block = _pread(index.path, number * BLOCK_BYTES, BLOCK_BYTES)
            self._blocks[key] = block
            if len(self._blocks) > self._num_blocks:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return block


def read_line(reader: BlockReader, index: LineIndex, line: int, max_chars: int) -> tuple[str, bool]:
    """Return the text of a line, and whether it was cut.

    Args:
        reader: reads and keeps.
        index: of the file.
        line: which; one more than the complete lines for the one being written.
        max_chars: what is longer is cut.
    """
    start, end = index.span(line)
    is_partial = line >= len(index)
    end -= not is_partial
    max_bytes = 4 * max_chars
    raw = b""
    if end - start > max(max_bytes, _TAIL_BYTES):
        tail = reader.read(index, end - _TAIL_BYTES, end).rstrip(b"\r")
        is_bar = b"\r" in tail
        raw = tail if is_bar else reader.read(index, start, start + max_bytes)
        is_partial = is_partial and is_bar
    elif end > start:
        raw = reader.read(index, start, end)
    text = decode_line_text(raw, is_partial=is_partial)
    return text[:max_chars], len(text) > max_chars


def read_lines(index: LineIndex, first: int, last: int, max_chars: int) -> list[str]:
    """Return the texts of the complete lines from ``first`` up to ``last``, which is not among them, with one read."""
    start, end = index.span(first)[0], index.span(last - 1)[1]
    raw = _pread(index.path, start, end - start).removesuffix(b"\n")
    pieces = raw.split(b"\n")
    if b"\r" in raw:
        texts = [decode_line_text(piece) for piece in pieces]
    else:
        texts = raw.decode("utf-8", "replace").split("\n")
    if len(raw) > max_chars:
        texts = [text[:max_chars] for text in texts]
    num_missing = last - first - len(texts)  # the file was cut while it was read
    return texts[: last - first] + [""] * num_missing


def _pread(path: str, start: int, num_bytes: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.pread(fd, num_bytes, start)
    except OSError:
        return b""
    finally:
        os.close(fd)
