"""The words around the table of runs: counts, hints, what is under the cursor, and how to begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.core.state import RunState
from tui.output import format_number, strip_escapes
from tui.view.run_cells import Look
from tui.view.run_row import UNREADABLE, RunRow
from tui.view.snapshot import Snapshot
from tui.view.table import Pieces

__all__ = ["counts_of", "detail_of", "empty_title", "first_steps", "share_height", "why_empty"]

_LEAST_CHARTS, _LEAST_TABLE = 8, 6
_FRAME = 3

_GOING_ON = (RunState.RUNNING, RunState.STARTING, RunState.STALLED, RunState.STOPPING)
_ORDER = (*_GOING_ON, RunState.QUEUED, RunState.SUCCEEDED, RunState.FAILED, RunState.LOST, RunState.STOPPED, UNREADABLE)


def counts_of(rows: Sequence[RunRow], look: Look, *, is_short: bool = False) -> Pieces:
    """``● 1 running · 3 queued · 12 ✓ · 1 ✗``, in the colours of the states; the short form has no words."""
    counts = Counter(row.state for row in rows)
    return tuple(
        (_count(state, format_number(counts[state]), look, is_short=is_short), look.color_of(state))
        for state in _ORDER
        if counts[state]
    )


def _count(state: str, number: str, look: Look, *, is_short: bool) -> str:
    mark = look.mark(state)
    if is_short:
        return f"{number} {mark}"
    if state in _GOING_ON:
        return f"{mark} {number} {state}"
    return f"{number} {state if state in (RunState.QUEUED, UNREADABLE) or look.is_ascii else mark}"


def detail_of(run: RunRow, place: int | None, look: Look) -> Pieces:
    """All of a run that the table has to cut: from the most to the least needed."""
    color = look.color_of(run.state)
    place_said = f" #{place} in the queue" if place is not None else ""
    attempt = f", attempt {run.attempt}" if run.attempt is not None and run.attempt > 1 else ""
    said: list[tuple[str, str]] = [
        (f"{look.mark(run.state)} {run.state}{place_said}{attempt}", color),
        (run.reason, color if run.state in (RunState.FAILED, RunState.LOST, RunState.STALLED) else ""),
        (f'"{run.note}"' if run.note else "", "accent"),
        (run.tag, "foreground bold"),
        (", ".join(f"{name} = {value}" for name, value in run.axes.items()), "text-muted"),
        (run.folder, "text-muted"),
    ]
    return tuple((" ".join(strip_escapes(text).split()), style) for text, style in said if text)


def empty_title(snapshot: Snapshot, results: str) -> str:
    """Why there are no runs to be seen."""
    if snapshot.read_s is None:
        return f"Reading {results}"
    if snapshot.num_unread:
        return f"Reading {format_number(snapshot.num_unread)} runs of {results}"
    if snapshot.problem:
        return "No runs to be seen"
    return f"No runs in {results} yet"


def first_steps(*, is_readonly: bool) -> Sequence[tuple[str, str]]:
    """How runs come to be: keys and commands, and what they do."""
    steps = [("6", "shows the plan and its errors")]
    if not is_readonly:
        steps = [("6", "shows the plan; i there begins one with a starter"), ("l", "starts the runs of the plan")]
    steps.append(("ddptui init", "writes the starter, experiments.toml, from the shell"))
    return (*steps, ("ddptui run experiments.toml", "does the same from the shell"), ("?", "all keys"))


def why_empty(drawn: Sequence[RunRow], *, is_read: bool = True) -> str:
    """Why charts of these runs show nothing.

    Args:
        drawn: the runs.
        is_read: whether what each of them wrote was read already.
    """
    if not drawn:
        return "no run under the cursor"
    if not is_read and any(row.step is not None for row in drawn):
        return "reading"
    if all(row.state == RunState.QUEUED for row in drawn):
        return "waits in the queue"
    return "nothing was recorded" if all(row.is_terminal for row in drawn) else "no data yet"


def share_height(height: int, num_rows: int) -> int:
    """How many of the lines the charts get; 0 where there is no room for both.

    The table gets what it needs and the charts the rest, but neither less than it can use.
    """
    if height < _LEAST_CHARTS + _LEAST_TABLE:
        return 0
    wanted = max(height - num_rows - _FRAME, height * 2 // 5, _LEAST_CHARTS)
    return max(min(wanted, height * 11 // 20, height - _LEAST_TABLE), _LEAST_CHARTS)
