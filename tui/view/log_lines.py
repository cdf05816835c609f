"""What a log line says: its text without what steers terminals, how bad it is, and whether it is what one looks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from engine.core.events import decode_line
from tui.output import format_number, strip_escapes

__all__ = ["COMMON_KEYS", "Level", "Matcher", "event_text", "is_problem", "level_of", "shown_text"]

MAX_LOOKED_AT = 1_000
"""Characters of a line that a pattern sees: a pattern may be slow."""

COMMON_KEYS = frozenset(("kind", "time_s", "mono_s", "seq", "rank", "attempt"))
"""Every event has them: what is particular comes first."""
_FIRST_KEYS = ("step", "epoch", "split", "loss", "accuracy", "samples", "lr", "window_s")
_KIND_WIDTH = 12

_WORDS = ("error", "exception", "traceback", "warn", "fatal", "critical", "fault", "abort", "killed", "interrupt")
"""Without one of these no line is a problem by itself: looked for first, since most lines have none."""

_RANK_PREFIX = re.compile(r"^\[rank\d+\]:\s?")
_GLOG = re.compile(r"^\[?(?P<letter>[WEF])\d{4} \d\d:\d\d:\d\d")
_ERROR = re.compile(
    r"^Traceback \(most recent call last\):"
    r"|^(?:[A-Za-z_][\w.]*)?(?:Error|Exception|ExceptionGroup|Interrupt)(?::|$)"
    r"|\b(?:ERROR|CRITICAL|FATAL)\b"
    r"|^(?:Fatal Python error|terminate called after|Segmentation fault|Aborted)"
    r"|\b(?:CUDA|NCCL) error\b"
)
_ERROR_ON_STDERR = re.compile(r"^\s*(?:error|fatal|killed|aborted)\b|segmentation fault|: error:", re.IGNORECASE)
_WARNING = re.compile(r"\b(?:WARNING|WARN)\b|\b[A-Z]\w*Warning:")
_WARNING_ON_STDERR = re.compile(r"^\s*warning\b", re.IGNORECASE)
_FRAME = re.compile(r'^\s+File ".*", line \d+')
_WITHIN_TRACEBACK = re.compile(
    r"^\s+[~^]+\s*$|^\s+\[Previous line repeated|^During handling of the above exception"
    r"|^The above exception was the direct cause"
)


class Level(IntEnum):
    """How bad a line is."""

    PLAIN = 0
    WARNING = 1
    ERROR = 2


def shown_text(stream: str, text: str) -> str:
    """Return a line as it is shown: events in words, everything else as it stands, without escape sequences.

    Args:
        stream: ``out``, ``err``, ``event`` or ``node``.
        text: as it was read.
    """
    if stream == "event":
        return event_text(text)
    if text.isprintable():
        return text
    return strip_escapes(text).expandtabs(8).rstrip()


def event_text(text: str) -> str:
    """Return an event line in words: its kind, then what it carries; what is no event stays as it is."""
    event = decode_line(text.encode("utf-8", "replace"))
    if event is None:
        return strip_escapes(text).expandtabs(8)
    kind = str(event["kind"])
    if kind == "step":
        kind = f"step {_value(event.pop('step', None))}"
    words = [kind.ljust(_KIND_WIDTH - 2)]
    if kind == "error":
        words.append(f"{event.get('type')}: {event.get('message')}")
    elif kind == "message":
        words.append(str(event.get("text")))
    else:
        first = [key for key in _FIRST_KEYS if key in event]
        rest = [key for key in event if key not in COMMON_KEYS and key not in first]
        words += [f"{key} {_value(event[key])}" for key in (*first, *rest)]
    return strip_escapes("  ".join(words).replace("\n", " ").replace("\r", " "))


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:.5g}" if abs(value) < 1e9 or value - value != 0.0 else format_number(value)
    if isinstance(value, Mapping):
        return "{" + " ".join(f"{key}={_value(item)}" for key, item in list(value.items())[:16]) + "}"
    if isinstance(value, Sequence):
        return "[" + " ".join(_value(item) for item in value[:16]) + "]"
    return str(value)


def level_of(stream: str, text: str, previous: str = "") -> Level:
    """Return how bad a line is; every line of a traceback is an error.

    Args:
        stream: ``out``, ``err``, ``event`` or ``node``.
        text: as it was read.
        previous: the line before it in the same file.
    """
    if stream == "event":
        return _level_of_event(text)
    if not text.isprintable():
        text = strip_escapes(text)
    text = _RANK_PREFIX.sub("", text) if text.startswith("[rank") else text
    if text.startswith(" ") and _is_within_traceback(text, previous):
        return Level.ERROR
    glog = _GLOG.match(text)
    if glog is not None:
        return Level.WARNING if glog["letter"] == "W" else Level.ERROR
    lower = text.lower()
    if not any(word in lower for word in _WORDS):
        return Level.PLAIN
    return _level_of_words(text, is_stderr=stream != "out")


def _level_of_words(text: str, *, is_stderr: bool) -> Level:
    if _WITHIN_TRACEBACK.search(text) or _ERROR.search(text) or (is_stderr and _ERROR_ON_STDERR.search(text)):
        return Level.ERROR
    if _WARNING.search(text) or (is_stderr and _WARNING_ON_STDERR.search(text)):
        return Level.WARNING
    return Level.PLAIN


def _is_within_traceback(text: str, previous: str) -> bool:
    if _FRAME.match(text) or _WITHIN_TRACEBACK.match(text):
        return True
    return bool(_FRAME.match(_RANK_PREFIX.sub("", previous)))  # the source line below its frame


def _level_of_event(text: str) -> Level:
    if '"error"' not in text and '"warning"' not in text:
        return Level.PLAIN
    event = decode_line(text.encode("utf-8", "replace")) or {}
    if event.get("kind") == "error":
        return Level.ERROR
    is_warning = event.get("kind") == "message" and event.get("level") == "warning"
    return Level.WARNING if is_warning else Level.PLAIN


def is_problem(stream: str, text: str, previous: str) -> bool:
    """Whether a line is an error or a warning."""
    return level_of(stream, text, previous) is not Level.PLAIN


class Matcher:
    """What a person looks for in lines: words as they stand, or a pattern where it is one.

    Lower case finds both cases. A pattern that is none, or could take for ever, is taken as plain words.

    Args:
        wanted: not empty.
    """

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self._is_any_case = wanted == wanted.lower()
        self._needle = None if _is_pattern(wanted) else wanted
        self._is_one_word = wanted.isascii() and wanted.replace("_", "").isalpha()
        flags = re.IGNORECASE if self._is_any_case else re.NOFLAG
        self._pattern = re.compile(wanted if self._needle is None else re.escape(wanted), flags)

    def is_match(self, stream: str, text: str, previous: str = "") -> bool:  # noqa: ARG002 - a line is judged alone
        """Whether the line, as it is shown, has it."""
        if stream == "event" and self._is_one_word and self.wanted.lower() not in text.lower():
            return False  # laying out an event makes no new words, and takes long
        text = shown_text(stream, text)
        if self._needle is None:
            return self._pattern.search(text[:MAX_LOOKED_AT]) is not None
        return self._needle in (text.lower() if self._is_any_case else text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it stands in a shown text."""
        return [match.span() for match in self._pattern.finditer(text[:MAX_LOOKED_AT]) if match.end() > match.start()]


_METACHARACTERS = re.compile(r"[.^$*+?{}\[\]|()\\]")
_NESTED_REPEAT = re.compile(r"\([^()]*[+*}][^()]*\)[+*{]")
"""A repeat of something that repeats: such patterns can take longer than the universe is old."""


def _is_pattern(wanted: str) -> bool:
    if not _METACHARACTERS.search(wanted) or _NESTED_REPEAT.search(wanted):
        return False
    try:
        re.compile(wanted)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
