"""How old what the screen shows is, in words that change only when something is going on."""

from __future__ import annotations

from dataclasses import dataclass

from tui.output import format_duration, format_when
from tui.view.snapshot import Snapshot

__all__ = ["STALE_S", "Age", "age_of"]

STALE_S = 10.0
"""Event lines come about four a second; a run that is silent for longer is looked at with other eyes."""


@dataclass(frozen=True, kw_only=True)
class Age:
    """The words, and whether they are a warning."""

    text: str
    is_stale: bool = False


def age_of(snapshot: Snapshot, now_s: float) -> Age:
    """Say how old the newest data is.

    While runs are active it is the age of their newest event line; else the time of the last one, which stands still.
    """
    active = [row for row in snapshot.rows if row.is_active]
    if snapshot.read_s is None:
        return Age(text="reading")
    if active:
        newest = max((row.last_event_s for row in active if row.last_event_s is not None), default=None)
        if newest is None:
            return Age(text="no data yet")
        age_s = max(now_s - newest, 0.0)
        if age_s > STALE_S:
            return Age(text=f"stale {format_duration(age_s)}", is_stale=True)
        return Age(text="data <1s" if age_s < 1 else f"data {age_s:.0f}s")
    last = max((row.ended_s or row.last_event_s or 0.0 for row in snapshot.rows), default=0.0)
    return Age(text=f"idle, last {format_when(last, now_s)}" if last else "idle")
