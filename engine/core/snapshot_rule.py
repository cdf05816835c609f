"""When a run takes a snapshot: ``snapshot.every`` as a value, and which parts of a config a snapshot belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SnapshotRule", "differing_keys", "parse_rule"]

_UNITS = {
    "epoch": ("epochs", 1.0),
    "step": ("steps", 1.0),
    "s": ("seconds", 1.0),
    "second": ("seconds", 1.0),
    "min": ("seconds", 60.0),
    "minute": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "hour": ("seconds", 3600.0),
}
_RULE = re.compile(r"(?:(\d{1,9}(?:\.\d{1,6})?)\s*)?([a-z]+)")


@dataclass(frozen=True, kw_only=True)
class SnapshotRule:
    """At most one of the three is given; none of them: only when the run is asked to leave, or never.

    Attributes:
        epochs: after every so many epochs.
        steps: after every so many steps.
        seconds: when so many seconds have passed since the last one.
        is_never: not even when the run is asked to leave.
    """

    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    is_never: bool = False

    def is_due_after_step(self, num_steps: int) -> bool:
        """Whether one is due when ``num_steps`` steps are done, by the number of steps."""
        return self.steps is not None and num_steps % self.steps == 0

    def is_due_after_epoch(self, num_epochs: int) -> bool:
        """Whether one is due when ``num_epochs`` epochs are done, by the number of epochs."""
        return self.epochs is not None and num_epochs % self.epochs == 0


def parse_rule(text: str) -> SnapshotRule:
    """Read ``never``, ``epoch``, ``5 epochs``, ``200 steps``, ``30 s``, ``10 min``, ``2 h``.

    Raises:
        ValueError: it is none of these; the message is one line.
    """
    if text.strip() == "never":
        return SnapshotRule(is_never=True)
    found = _RULE.fullmatch(text.strip().lower())
    unit = found and (found[2] if found[2] in _UNITS else found[2].removesuffix("s"))
    if found is None or unit not in _UNITS:
        raise ValueError(f'"{text}" says no interval; give "never", "epoch", "200 steps", "30 s", "10 min" or "2 h"')
    kind, factor = _UNITS[unit]
    value = float(found[1] or 1) * factor
    if value <= 0 or (kind != "seconds" and value != int(value)):
        raise ValueError(
            f'"{text}": a whole number of {kind} above 0 is needed' if kind != "seconds" else f'"{text}": 0'
        )
    return SnapshotRule(**{kind: value if kind == "seconds" else int(value)})  # type: ignore[arg-type]


def differing_keys(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name, as ``key = theirs, here ours``, what differs between two configs dumped without their defaults."""
    lines: list[str] = []
    for key in sorted(set(ours) | set(theirs)):
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            lines += differing_keys(mine, other, f"{prefix}{key}.")
        elif mine != other:
            lines.append(f"{prefix}{key} = {_shown(other)}, here {_shown(mine)}")
    return lines


def _shown(value: Any) -> str:
    return "the default" if value is None else repr(value) if not isinstance(value, str) else f'"{value}"'
