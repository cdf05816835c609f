"""How values, choices and near misses are said to people."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable
from typing import Any

__all__ = ["count", "did_you_mean", "list_names", "plain", "show"]


def show(value: object, *, max_length: int = 60) -> str:
    """Write ``value`` as it would stand in TOML, cut to ``max_length`` characters."""
    shown = _show(value)
    return shown if len(shown) <= max_length else f"{shown[: max_length - 3]}..."


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_show(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_show(child) for child in value) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def list_names(names: Iterable[Any]) -> str:
    """Join ``names`` with commas."""
    return ", ".join(str(name) for name in names)


def plain(value: object) -> str:
    """As ``show``, but text without its quotes: for labels of points."""
    return value if isinstance(value, str) else show(value)


def did_you_mean(name: object, known: Collection[str]) -> str:
    """``"; did you mean x?"`` for the nearest one or two of ``known``, or ""."""
    if not isinstance(name, str):
        return ""
    folded = {option.casefold().replace("-", "_"): option for option in known}
    wanted = name[:100].casefold().replace("-", "_")
    near = [folded[match] for match in difflib.get_close_matches(wanted, folded, n=2, cutoff=0.6)]
    # The last part of a dotted key, given without its table: lr for optimizer.lr.
    near += [option for option in known if option.rpartition(".")[2] == wanted and option not in near]
    return f"; did you mean {' or '.join(near[:2])}?" if near else ""


def count(number: int, noun: str, nouns: str = "") -> str:
    """``1 point``, ``2 points``; ``nouns`` where the plural is not made with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"
