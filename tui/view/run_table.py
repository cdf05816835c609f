"""The table of runs: its columns, its order, and what stands in each cell.

The order is the plan's, because it stands still while runs begin and end: pinned runs first, then each experiment in
the order of its plan, runs of earlier plans last. A column to sort by orders the runs inside these sections; what is
not known comes last in either direction.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.state import RunState
from tui.output import format_number, strip_escapes
from tui.view.run_cells import (
    Look,
    accuracy_cell,
    count_cell,
    count_width,
    loss_cell,
    mark_cell,
    progress_cell,
    reason_cell,
    run_cell,
    speed_cell,
    state_cell,
    time_cell,
)
from tui.view.run_labels import line_color, without_hash
from tui.view.run_row import UNREADABLE, RunRow
from tui.view.run_words import counts_of
from tui.view.snapshot import Snapshot
from tui.view.table import Column, Row

__all__ = ["SORT_KEYS", "RowMaker", "Section", "arrange", "columns_of", "is_descending_first"]

_LEAST_NAME, _MOST_NAME = 14, 28

_STATE_ORDER = {
    state: place
    for place, state in enumerate(
        ("running", "starting", "stalled", "stopping", "queued", "failed", "lost", "stopped", UNREADABLE, "succeeded")
    )
}

_SORTS: dict[str, tuple[Callable[[RunRow], Any], bool]] = {
    "run": (lambda row: row.id, False),
    "state": (lambda row: _STATE_ORDER.get(row.state, 99), False),
    "progress": (lambda row: row.progress, True),
    "epoch": (lambda row: row.epoch, True),
    "step": (lambda row: row.step, True),
    "loss": (lambda row: row.loss, False),
    "accuracy": (lambda row: row.test_accuracy, True),
    "samples": (lambda row: row.samples_per_s, True),
    "time": (lambda row: row.elapsed_s if row.eta_s is None else row.eta_s, False),
}

SORT_KEYS: tuple[str | None, ...] = (None, *_SORTS)
"""Columns to sort by, in the order of the key; None is the order of the plan."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Runs that stand together.

    Attributes:
        name: the experiment, or "" for the pinned ones.
        rows: in their order.
    """

    name: str
    rows: tuple[RunRow, ...]


def columns_of(rows: Sequence[RunRow]) -> tuple[Column, ...]:
    """The columns, no wider than these runs need.

    Names have room for all but their hash, within reason, and for that too where there is more, or where nothing else
    tells two runs of an experiment apart (a learning rate is in no name).
    """
    namesakes = Counter((row.experiment, without_hash(row.id)) for row in rows)
    needed = (
        len(row.id) if namesakes[row.experiment, without_hash(row.id)] > 1 else len(without_hash(row.id)) + 1
        for row in rows
    )
    least = _widest(needed, _LEAST_NAME, _MOST_NAME)
    longest = _widest((len(row.id) for row in rows), _LEAST_NAME, _MOST_NAME)
    num_queued = sum(row.state == RunState.QUEUED for row in rows)
    epoch = _widest((2 * len(str(row.num_epochs)) + 1 for row in rows if row.num_epochs), 5, 9)
    step = _widest((count_width(row.num_steps) for row in rows if row.num_steps), 4, 11)
    return (
        Column(key="mark", label="", width=2),
        Column(key="run", label="run", width=least, max_width=longest),
        Column(key="state", label="state", width=10 + max(len(str(num_queued)), 1)),
        Column(key="progress", label="progress", width=12),
        Column(key="epoch", label="epoch", width=epoch, is_right=True, priority=3),
        Column(key="step", label="step", width=step, is_right=True, priority=4),
        Column(key="loss", label="loss", width=7, is_right=True),
        Column(key="accuracy", label="acc", width=6, is_right=True, priority=1),
        Column(key="samples", label="samples/s", width=9, is_right=True),
        Column(key="time", label="eta/time", width=8, is_right=True),
        Column(key="reason", label="reason, note", width=14, max_width=26, is_filler=True, priority=2),
    )


def _widest(widths: Iterable[int], least: int, most: int) -> int:
    return min(max(max(widths, default=least), least), most)


def is_descending_first(key: str | None) -> bool:
    """Whether the best of a column comes first when it is sorted downwards."""
    return key is not None and _SORTS[key][1]


def arrange(rows: Sequence[RunRow], key: str | None, *, is_inverted: bool) -> list[Section]:
    """Put runs into their sections and their order.

    Args:
        rows: in the order of the plan.
        key: one of ``SORT_KEYS``.
        is_inverted: the other way round than the column's own.
    """
    pinned = [row for row in rows if row.is_pinned]
    experiments: dict[str, list[RunRow]] = {}
    for row in rows:
        if not row.is_pinned:
            experiments.setdefault(row.experiment, []).append(row)
    sections = [("", pinned)] if pinned else []
    sections += list(experiments.items())
    return [
        Section(name=name, rows=tuple(_sorted(members, key, is_inverted=is_inverted))) for name, members in sections
    ]


def _sorted(rows: list[RunRow], key: str | None, *, is_inverted: bool) -> list[RunRow]:
    if key is None:
        return rows[::-1] if is_inverted else rows
    value_of, is_descending = _SORTS[key]
    values = {row.tag: value_of(row) for row in rows}
    known = [row for row in rows if _is_known(values[row.tag])]
    known.sort(key=lambda row: values[row.tag], reverse=is_descending is not is_inverted)
    return known + [row for row in rows if not _is_known(values[row.tag])]


def _is_known(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


class RowMaker:
    """Makes lines of runs; those of runs that did not change are kept.

    Args:
        look: marks and colours.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._made: dict[str, tuple[RunRow, tuple[object, ...], Row]] = {}

    def make(
        self, sections: Sequence[Section], snapshot: Snapshot, marked: Collection[str], colors: Mapping[str, str]
    ) -> list[Row]:
        """Return the lines, with headings where there is more than one section."""
        has_headings = len(sections) > 1
        num_experiments = len({row.experiment for row in snapshot.rows})
        places = {tag: place for place, tag in enumerate(snapshot.queue, start=1)}
        rows: list[Row] = []
        made: dict[str, tuple[RunRow, tuple[object, ...], Row]] = {}
        chosen = set(marked)
        for section in sections:
            if has_headings:
                rows.append(self._heading(section, snapshot))
            with_experiment = num_experiments > 1 and not section.name
            for run in section.rows:
                color = line_color(run, colors) if run.tag in chosen else ""
                beside = (places.get(run.tag), color, with_experiment)
                made[run.tag] = self._made_of(run, beside)
                rows.append(made[run.tag][2])
        self._made = made
        return rows

    def _made_of(self, run: RunRow, beside: tuple[object, ...]) -> tuple[RunRow, tuple[object, ...], Row]:
        found = self._made.get(run.tag)
        if found is not None and found[1] == beside and (found[0] is run or found[0] == run):
            return found
        return run, beside, self._row(run, *beside)

    def _row(self, run: RunRow, place: Any, color: Any, with_experiment: Any) -> Row:
        look = self._look
        cells = (
            mark_cell(run, color, look),
            run_cell(run, with_experiment=with_experiment),
            state_cell(run, place, look),
            progress_cell(run, look),
            count_cell(run, run.epoch, run.num_epochs),
            count_cell(run, run.step, run.num_steps),
            loss_cell(run),
            accuracy_cell(run),
            speed_cell(run),
            time_cell(run),
            reason_cell(run),
        )
        return Row(run.tag, cells)

    def _heading(self, section: Section, snapshot: Snapshot) -> Row:
        name = section.name or f"{'^' if self._look.is_ascii else '★'} pinned"
        number = len(section.rows)
        said = (
            (f"{format_number(number)} run{'s' if number != 1 else ''}", "text-muted"),
            *counts_of(section.rows, self._look),
        )
        experiment = snapshot.experiment(section.name)
        about = strip_escapes(experiment.description) if experiment is not None else ""
        dot = ("  " if self._look.is_ascii else " · ", "text-muted")
        pieces = [piece for part in said for piece in (dot, part)][1:]
        return Row(f"section {section.name}", ((name, "bold"), tuple(pieces), (about, "text-muted")), is_section=True)
