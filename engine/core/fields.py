"""Read values out of JSON that somebody else wrote: the right type, or None. Nothing here raises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["finite", "mapping", "number", "number_map", "sequence", "text", "whole", "whole_or"]

_TOO_LARGE = 2**53
"""Whole numbers beyond this are nobody's step or count."""


def number(source: Mapping[str, Any], key: str) -> float | None:
    """The finite number under ``key``, or None."""
    return _as_number(source.get(key))


def whole(source: Mapping[str, Any], key: str) -> int | None:
    """The whole number under ``key``, or None (``3.0`` counts as 3)."""
    value = _as_number(source.get(key))
    return int(value) if value is not None and value.is_integer() and abs(value) < _TOO_LARGE else None


def whole_or(source: Mapping[str, Any], key: str, default: int) -> int:
    """The whole number under ``key``, or ``default``."""
    value = whole(source, key)
    return default if value is None else value


def text(source: Mapping[str, Any], key: str) -> str | None:
    """The non-empty string under ``key``, or None."""
    value = source.get(key)
    return value if isinstance(value, str) and value else None


def mapping(source: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under ``key`` with its keys as text; empty where there is none."""
    value = source.get(key)
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def sequence(source: Mapping[str, Any], key: str) -> list[Any]:
    """The array under ``key``; empty where there is none."""
    value = source.get(key)
    return list(value) if isinstance(value, list | tuple) else []


def number_map(source: Mapping[str, Any], key: str) -> dict[str, float]:
    """The finite numbers of the object under ``key``."""
    values = ((name, _as_number(item)) for name, item in mapping(source, key).items())
    return {name: value for name, value in values if value is not None}


def finite(value: Any) -> Any:
    """``value`` with every NaN and infinity in it, at any depth, replaced by None (= n/a)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None
