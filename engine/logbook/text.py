"""From the bytes of a line to its text: progress bars collapsed, invalid bytes replaced, long lines bounded."""

from __future__ import annotations

import codecs

__all__ = ["MAX_CHARS", "MAX_LISTED_CHARS", "decode_line_text", "last_shown"]

MAX_LISTED_CHARS = 1_000
"""Of a line in a list."""
MAX_CHARS = 100_000
"""Of a line that is looked at alone."""

_make_decoder = codecs.getincrementaldecoder("utf-8")


def last_shown(raw: bytes) -> bytes:
    r"""Return what a terminal would show last of a line that ``\r`` overwrote again and again (progress bars)."""
    if b"\r" not in raw:
        return raw
    return raw.rstrip(b"\r").rpartition(b"\r")[2]


def decode_line_text(raw: bytes, *, is_partial: bool = False) -> str:
    """Return the text of a line without its newline; escape sequences are still in it.

    Args:
        raw: the bytes.
        is_partial: the line is still being written, so that its last character may be half there: that is left out.
    """
    return _make_decoder("replace").decode(last_shown(raw), final=not is_partial)
