"""The follower on a terminal: a bar for each run that is going on, a line that stays for each that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.core.state import RunState
from tui.output import format_duration, format_number, strip_escapes
from tui.progress_text import describe_end, describe_overall, position
from tui.view.run_row import RunRow

__all__ = ["BarsView", "live_rows"]

STYLES = {
    RunState.SUCCEEDED: "green",
    RunState.FAILED: "bold red",
    RunState.LOST: "bold red",
    RunState.STOPPED: "yellow",
    RunState.STALLED: "yellow",
    RunState.STOPPING: "yellow",
}


class BarsView:
    """Draws only when something changed, and only the runs that are going on: finished ones scroll up and stay.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._ended: set[str] = set()
        self._shown: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, rows: Sequence[RunRow]) -> None:
        """Print the runs that ended since the last call, redraw the others."""
        state = (tuple(rows), self._console.size)
        if state == self._shown:
            return
        self._shown = state
        self._live.update(live_rows(rows, self._console.height), refresh=True)  # first: printing draws it once more
        for row in rows:
            if row.is_terminal and row.tag not in self._ended:
                self._ended.add(row.tag)
                self._console.print(_end_line(row), no_wrap=True, overflow="ellipsis")

    def note(self, text: str) -> None:
        """Print one line above the bars."""
        self._console.print(Text(strip_escapes(text), style="yellow"))


def live_rows(rows: Sequence[RunRow], height: int) -> RenderableType:
    """The region that is redrawn: active runs, as many as fit on the screen, and the line about all of them."""
    active = [row for row in rows if row.is_active]
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", min_width=12)
    table.add_column(min_width=6, ratio=1)
    table.add_column(no_wrap=True, width=12, overflow="ellipsis")
    for width in (11, 10, 11):
        table.add_column(no_wrap=True, width=width, justify="right")
    for row in active[: max(height - 3, 1)]:
        table.add_row(*_cells(row))
    overall = Text(describe_overall(rows), style="bold", no_wrap=True, overflow="ellipsis")
    return Group(table, overall) if active else overall


def _cells(row: RunRow) -> tuple[RenderableType, ...]:
    where = position(row) if row.state == RunState.RUNNING else ""
    return (
        Text(strip_escapes(row.id)),
        ProgressBar(total=1.0, completed=row.progress or 0.0),
        Text(where or row.state, style=STYLES.get(RunState(row.state), "")),
        "" if row.loss is None else f"loss {format_number(row.loss, 3)}",
        "" if row.samples_per_s is None else f"{format_number(row.samples_per_s)}/s",
        "" if row.eta_s is None else f"ETA {format_duration(row.eta_s)}",
    )


def _end_line(row: RunRow) -> Text:
    style = STYLES.get(RunState(row.state), "")
    return Text.assemble(
        (f"{row.state:<9} ", style), f"{strip_escapes(row.tag)}  ", (describe_end(row), "dim" if not style else "")
    )
