"""Words for a terminal: results go to stdout, narration to stderr, and what is not known is n/a."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeGuard

__all__ = [
    "break_line",
    "format_bytes",
    "format_duration",
    "format_number",
    "format_ratio",
    "format_when",
    "print_json",
    "print_table",
    "say",
    "strip_escapes",
    "table_lines",
    "terminal_width",
    "write_line",
    "write_paragraph",
]

UNKNOWN = "n/a"

DAY_S = 86400

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and its kin: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"  # two-byte sequences
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one character
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # every other control character but tab and newline
    r"|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # what turns the direction of text, or ends a line unseen
)
_SURROGATES = re.compile(r"[\ud800-\udfff]")
"""Half characters, of JSON or of file names that are no UTF-8: no stream takes them."""


def strip_escapes(text: str) -> str:
    """Return ``text`` without terminal escape sequences and control characters: a log must not steer the terminal.

    Nor may it turn the direction in which the rest of the line is read.
    """
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", text))


def say(text: str) -> None:
    """Narrate on stderr, one line; on a terminal it is broken between words."""
    text = strip_escapes(text)
    if sys.stderr.isatty():
        text = break_line(text, shutil.get_terminal_size().columns)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def break_line(text: str, width: int) -> str:
    """Break ``text`` between words where it is wider than ``width``; words (paths, commands) stay whole."""
    indent = "  " + " " * (len(text) - len(text.lstrip()))
    lines = textwrap.wrap(
        text, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def write_line(text: str = "") -> None:
    """Write one line of the result on stdout, without anything that steers the terminal."""
    sys.stdout.write(f"{strip_escapes(text)}\n")


def write_paragraph(text: str) -> None:
    """Write words on stdout: one line; on a terminal it is broken between words."""
    width = terminal_width()
    write_line(text if width is None else break_line(text, width))


def print_json(value: Any) -> None:
    """Write ``value`` on stdout as one JSON document; NaN and Infinity, which JSON has not, become null."""
    plain = json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
    write_line(json.dumps(plain, indent=2))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Write aligned columns on stdout; on a terminal no line is wider than it.

    Args:
        headers: one per column; a newline in one makes a second line of headers.
        rows: text cells; control characters are taken out.
        right: the columns that hold numbers.
    """
    for line in table_lines(headers, rows, right=right, width=terminal_width()):
        write_line(line)


def terminal_width() -> int | None:
    """The columns of the terminal on stdout; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), width: int | None = None
) -> list[str]:
    """Return the lines of a table; columns are as wide as their widest cell, lines are cut at ``width``."""
    num_lines = max(header.count("\n") for header in headers) + 1
    heads = [["", "", *header.split("\n")][-num_lines:] for header in headers]
    cells = [[head[line] for head in heads] for line in range(num_lines)]
    cells += [[strip_escapes(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    lines = []
    for row in cells:
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        line = "  ".join(padded).rstrip()
        lines.append(line if width is None or len(line) <= width else line[: max(width - 1, 0)] + ">")
    return lines


def _is_known(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def format_number(value: Any, digits: int = 4) -> str:
    """A number with about ``digits`` significant digits and thousands separators, or n/a."""
    if not _is_known(value):
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def format_ratio(value: Any) -> str:
    """A ratio as a percentage, or n/a."""
    if not _is_known(value):
        return UNKNOWN
    return f"{100 * value:.1f}%"


def format_duration(seconds: Any) -> str:
    """Seconds as ``0.42s``, ``12s``, ``3:07``, ``2:03:07`` or ``4.5 days``, or n/a."""
    if not _is_known(seconds) or seconds < 0:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.2g}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    if seconds >= 3 * DAY_S:
        years = seconds / DAY_S / 365.25
        return f"{seconds / DAY_S:.1f} days" if years < 2 else f"{years:.3g} years"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_bytes(size: Any) -> str:
    """Bytes in binary units, or n/a."""
    if not _is_known(size):
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.4g} PiB"


def format_when(time_s: Any, now_s: float | None = None) -> str:
    """A Unix time as local date and time, or n/a; where ``now_s`` is given, only the time if it is of the same day."""
    if not _is_known(time_s):
        return UNKNOWN
    try:
        when = datetime.fromtimestamp(time_s).astimezone()
        today = None if now_s is None else datetime.fromtimestamp(now_s).astimezone().date()
    except (OverflowError, ValueError, OSError):  # no date that the calendar has
        return UNKNOWN
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d %H:%M:%S")
