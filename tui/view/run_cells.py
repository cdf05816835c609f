"""What stands in the cells of a run: short, of fixed width, and n/a for what is not known of a run that has begun."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.core.state import RunState
from tui.output import UNKNOWN, format_duration, format_number, format_ratio, strip_escapes
from tui.view.run_labels import without_hash
from tui.view.run_row import RunRow
from tui.view.table import Cell, Pieces

__all__ = [
    "Look",
    "accuracy_cell",
    "count_cell",
    "count_width",
    "loss_cell",
    "mark_cell",
    "progress_cell",
    "reason_cell",
    "run_cell",
    "speed_cell",
    "state_cell",
    "time_cell",
]

_BAR = 7
_ASCII_MARKS = {
    "queued": "o", "starting": ">", "running": "*", "stalled": "~", "stopping": "!", "succeeded": "+", "failed": "x",
    "stopped": "-", "lost": "?",
}  # fmt: skip
_BAR_COLORS = {"succeeded": "text-muted", "failed": "error", "lost": "error", "stopped": "text-muted"}
_NOTHING = ""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How states look.

    Attributes:
        marks: a character for each state.
        color_of: the theme token of a state.
        is_ascii: plain characters only; then ``marks`` are not used.
    """

    marks: Mapping[str, str]
    color_of: Callable[[str], str]
    is_ascii: bool = False

    def mark(self, state: str) -> str:
        """The character beside the word."""
        return (_ASCII_MARKS if self.is_ascii else self.marks).get(state, "?")


def mark_cell(run: RunRow, color: str, look: Look) -> Pieces:
    """Whether it is marked, in the colour of its line, and whether it is pinned."""
    marked, pinned = ("*", "^") if look.is_ascii else ("◆", "★")
    return ((marked if color else " ", f"{color} bold".strip()), (pinned if run.is_pinned else " ", "accent"))


def run_cell(run: RunRow, *, with_experiment: bool) -> Pieces:
    """The id, and where it stands apart from its experiment that; the end is what is cut first."""
    name = without_hash(run.id)
    behind = f" {run.experiment}" if with_experiment else ""
    return ((name, ""), (run.id[len(name) :] + behind, "text-muted"))


def state_cell(run: RunRow, place: int | None, look: Look) -> Pieces:
    """Mark and word, and the place in the queue."""
    word = (f"{look.mark(run.state)} {run.state}", look.color_of(run.state))
    return (word,) if place is None else (word, (f" #{place}", "foreground"))


def progress_cell(run: RunRow, look: Look) -> Cell:
    """A bar and a percentage."""
    if run.state == RunState.QUEUED:
        return _NOTHING
    if run.progress is None or not math.isfinite(run.progress):
        return _unknown()
    share = min(max(run.progress, 0.0), 1.0)
    color = _BAR_COLORS.get(run.state, look.color_of(run.state))
    done, rest = _bar(share, is_ascii=look.is_ascii)
    # 99.9 % is not all of it, and a run at its first step has begun
    percent = int(share * 100) if share < 1 else 100
    return ((done, color), (rest, "text-muted"), (f"{percent:>4}%", "text-muted" if run.is_terminal else ""))


def _bar(share: float, *, is_ascii: bool) -> tuple[str, str]:
    halves = int(share * 2 * _BAR)
    full, half = divmod(halves, 2)
    if is_ascii:
        return "#" * full, "." * (_BAR - full)
    done = "━" * full + ("╸" if half else "")
    return done, "┈" * (_BAR - len(done))


def count_cell(run: RunRow, last: int | None, total: int | None) -> Cell:
    """How many of how many are done, counted from one."""
    if run.state == RunState.QUEUED:
        return _NOTHING
    if last is None:
        return _unknown()
    if total is None:
        return _compact(last + 1)
    return f"{_compact(last + 1)}/{_compact(total)}" if total < 10_000 else f"{_kilo(last + 1)}/{_kilo(total)}"


def count_width(total: int) -> int:
    """How wide ``count_cell`` becomes at most."""
    return 2 * len(str(total)) + 1 if total < 10_000 else len("9.9k/") + len(_kilo(total))


def loss_cell(run: RunRow) -> Cell:
    """The loss; NaN and infinity are said, in the colour of errors."""
    if run.loss is not None and not math.isfinite(run.loss):
        return ("NaN" if math.isnan(run.loss) else format(run.loss, "+").replace("+", ""), "error bold")
    if run.loss is None and run.nonfinite_step is not None:
        return ("NaN", "error bold")
    if run.loss is None:
        return _unknown_of(run)
    text = format_number(run.loss)
    return text if len(text) <= 7 else f"{run.loss:.1e}"


def accuracy_cell(run: RunRow) -> Cell:
    """Test accuracy."""
    return _unknown_of(run) if run.test_accuracy is None else format_ratio(run.test_accuracy)


def speed_cell(run: RunRow) -> Cell:
    """Global throughput."""
    if run.samples_per_s is None:
        return _unknown_of(run)
    text = format_number(run.samples_per_s)
    return text if len(text) <= 9 else _kilo(round(run.samples_per_s))


def time_cell(run: RunRow) -> Cell:
    """About how long it will take, with a tilde, while that can be known; else how long it has taken."""
    if run.eta_s is not None:
        return (f"~{format_duration(run.eta_s).replace(' days', 'd').replace(' years', 'y')}", "primary")
    if run.elapsed_s is None:
        return _unknown_of(run)
    return (format_duration(run.elapsed_s), "text-muted" if run.is_terminal else "")


def reason_cell(run: RunRow) -> Pieces:
    """Why it is in its state, then what a person said of it."""
    color = {"failed": "error", "lost": "error", "stalled": "warning"}.get(run.state, "text-muted")
    reason = strip_escapes(run.reason)
    if not reason and run.nonfinite_step is not None:
        reason, color = f"loss is not finite from step {run.nonfinite_step}", "warning"
    note = strip_escapes(run.note)
    between = " · " if reason and note else ""
    return ((reason, color), (between, "text-muted"), (note, "accent italic"))


def _unknown() -> tuple[str, str]:
    return (UNKNOWN, "text-muted")


def _unknown_of(run: RunRow) -> Cell:
    """Nothing is missing of a run that has not begun."""
    return _NOTHING if run.state == RunState.QUEUED else _unknown()


def _compact(number: int) -> str:
    return str(number) if number < 100_000 else _kilo(number)


def _kilo(number: int) -> str:
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            share = number / size
            return f"{share:.1f}{unit}" if share < 10 else f"{share:.0f}{unit}"
    return str(number)
