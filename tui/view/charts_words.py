"""What the Charts mode says in words: which choices alter what is seen, and why there is nothing to see."""

from __future__ import annotations

from collections.abc import Sequence

from tui.output import strip_escapes
from tui.view.chart_pages import Page
from tui.view.chart_text import format_value
from tui.view.run_charts import X_FORMATS
from tui.view.run_row import RunRow
from tui.view.session import X_AXES, Session
from tui.view.span import Span

__all__ = ["Choice", "choice_words", "empty_words", "is_at_end", "say_window"]

_HOW_TO_MARK = (("1", "go to Runs"), ("space", "mark runs: they are drawn together"), ("2", "come back"))


Choice = tuple[str, bool]
"""A word, and whether somebody has chosen it: else it is as it was in the beginning."""


def choice_words(
    session: Session,
    page: Page,
    whole: Span | None,
    *,
    filter_text: str,
    is_only: bool,
    is_alone: bool,
    num_left_out: int,
    is_live: bool,
) -> list[Choice]:
    """Return what alters what is seen, from the least to the most needed.

    Args:
        session: the choices that all modes share.
        page: of the charts.
        whole: from where to where the data goes.
        filter_text: what metrics are filtered by.
        is_only: whether one run is drawn though others are marked.
        is_alone: whether one chart has all the room.
        num_left_out: marked runs that are not drawn, since they are too many.
        is_live: whether more data is to come.
    """
    kind = X_FORMATS[session.x_axis]
    words: list[Choice] = [("alone", True) if is_alone else (f"{page.grid[0]}x{page.grid[1]}", False)]
    words += [("this run only", True)] if is_only else []
    words += [(f"{num_left_out} runs not drawn", True)] if num_left_out else []
    words += [("mean", True)] if session.is_banded else []
    words += [("log", True)] if session.is_log else []
    words += [(f"smooth {session.smoothing:g}", True)] if session.smoothing else []
    words += [(f"/{strip_escapes(filter_text)}", True)] if filter_text else []
    words.append((session.x_axis, session.x_axis != X_AXES[0]))
    words.append((say_window(session.x_range, whole, kind, is_live=is_live), session.x_range is not None))
    if session.is_inspecting:
        words.append((f"inspect {session.x_axis} {format_value(session.cursor_x, kind)}", True))
    return words


def is_at_end(seen: Span | None, whole: Span) -> bool:
    """Whether the newest point is in sight."""
    return seen is None or seen[1] >= whole[1]


def say_window(seen: Span | None, whole: Span | None, kind: str, *, is_live: bool) -> str:
    """Return what is seen in words: ``live``, ``all``, ``live from 300``, ``frozen at 100..400``.

    Args:
        seen: what is seen; None for all.
        whole: what there is.
        kind: format of x.
        is_live: whether more is to come.
    """
    if seen is None or whole is None:
        return "live" if is_live else "all"
    if is_live and is_at_end(seen, whole):
        return f"live from {format_value(seen[0], kind)}"
    return f"frozen at {format_value(seen[0], kind)}..{format_value(seen[1], kind)}"


def empty_words(
    rows: Sequence[RunRow], *, num_metrics: int, filter_text: str, is_read: bool
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return why there is no chart, and what to do about it.

    Args:
        rows: the runs that would be drawn.
        num_metrics: how many metrics they have without the filter.
        filter_text: what metrics are filtered by.
        is_read: whether the results folder was read yet, and what each of these runs wrote.
    """
    if num_metrics:
        return f"no metric matches {strip_escapes(filter_text)}", (("esc", "take the filter away"), ("/", "change it"))
    if not rows:
        return ("no run to draw", _HOW_TO_MARK) if is_read else ("reading", ())
    if not is_read and any(row.step is not None for row in rows):
        return "reading", ()
    if all(row.state == "queued" for row in rows):
        return "nothing to draw yet: waiting in the queue", (("1", "go to Runs"),)
    if all(row.is_terminal for row in rows):
        reasons = dict.fromkeys(f"{row.id} {row.state}: {row.reason}".rstrip(": ") for row in rows)
        return "nothing was recorded", tuple(("", reason) for reason in list(reasons)[:4])
    return "no data yet", ()
