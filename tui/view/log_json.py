"""An event line laid out for reading: one key a line, texts of several lines as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.core.events import decode_line
from tui.output import strip_escapes
from tui.view.log_lines import COMMON_KEYS

__all__ = ["Piece", "pretty_event"]

Piece = tuple[str, str]
"""A kind (``key``, ``number``, ``text``, ``word`` or ``""``) and its characters."""

_MAX_DEPTH = 8
_MAX_INLINE = 60


def pretty_event(text: str) -> list[list[Piece]] | None:
    """Return the lines of an event, each as pieces; None where ``text`` is no event."""
    event = decode_line(text.encode("utf-8", "replace"))
    if event is None:
        return None
    last = [key for key in event if key in COMMON_KEYS and key != "kind"]
    event = {"kind": event.pop("kind"), **{key: event[key] for key in event if key not in last}} | {
        key: event[key] for key in last
    }
    return [[(kind, strip_escapes(part)) for kind, part in line] for line in _object(event, 0)]


def _object(value: Mapping[str, Any], depth: int) -> Iterator[list[Piece]]:
    width = max((len(str(key)) for key in value), default=0)
    for key, item in value.items():
        yield from _entry(str(key), item, depth, min(width, 24))


def _entry(key: str, value: Any, depth: int, width: int) -> Iterator[list[Piece]]:
    indent = ("", "  " * depth)
    head = [indent, ("key", key.ljust(width)), ("", "  ")]
    inline = _inline(value)
    if inline is not None:
        yield [*head, *inline]
    elif depth >= _MAX_DEPTH:
        yield [*head, ("word", "...")]
    elif isinstance(value, str):
        yield [indent, ("key", key)]
        yield from ([("", "  " * (depth + 1)), ("text", line)] for line in value.expandtabs(4).splitlines())
    elif isinstance(value, Mapping):
        yield [indent, ("key", key)]
        yield from _object(value, depth + 1)
    else:
        yield [indent, ("key", key)]
        for number, item in enumerate(value):
            yield from _entry(str(number), item, depth + 1, len(str(len(value))))


def _inline(value: Any) -> list[Piece] | None:
    """The value on one line, None where it needs more."""
    if isinstance(value, str):
        return None if "\n" in value else [("text", value)]
    if isinstance(value, Mapping):
        return [("word", "{}")] if not value else None
    if isinstance(value, list):
        if any(isinstance(item, Mapping | list | str) for item in value):
            return None
        shown = " ".join(_scalar(item)[1] for item in value)
        return [("number", f"[{shown}]")] if len(shown) <= _MAX_INLINE else None
    return [_scalar(value)]


def _scalar(value: Any) -> Piece:
    if value is None or isinstance(value, bool):
        return "word", {None: "null", True: "true", False: "false"}[value]
    return "number", repr(value)
