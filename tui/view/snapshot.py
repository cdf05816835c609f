"""What the feed hands to the screen: the results folder at one moment, as values that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tui.view.run_row import RunRow

__all__ = ["EMPTY", "ExperimentView", "Snapshot"]


@dataclass(frozen=True, kw_only=True)
class ExperimentView:
    """One experiment as its ``plan.json`` states it.

    Attributes:
        name: its folder.
        description: of the TOML, or "".
        file: the experiment file it came from, or "".
        position: its place among the experiments of its file.
        run_ids: of the current plan, in its order; runs of the folder that are not among them are of earlier plans.
        reference: ``[experiment.reference]``: published figures.
    """

    name: str
    description: str = ""
    file: str = ""
    position: int = 0
    run_ids: tuple[str, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The results folder at one moment.

    Attributes:
        revision: another number for another content; 0 before the first reading.
        read_s: Unix seconds of the reading; None before the first.
        rows: every run, by experiment in the order of its plan, then the others by id.
        experiments: in the order of their file.
        queue: tags (``experiment/run``) of the waiting runs in the order in which they will start.
        is_held: whether the queue is held.
        has_supervisor: whether a supervisor lives; None where that cannot be known (another host).
        problem: "" or one line about the folder as a whole: it is gone, it cannot be read, its supervisor died.
        num_unread: run folders that were found but not read yet (a large folder being opened).
    """

    revision: int = 0
    read_s: float | None = None
    rows: tuple[RunRow, ...] = ()
    experiments: tuple[ExperimentView, ...] = ()
    queue: tuple[str, ...] = ()
    is_held: bool = False
    has_supervisor: bool | None = False
    problem: str = ""
    num_unread: int = 0
    by_tag: Mapping[str, RunRow] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_tag", {row.tag: row for row in self.rows})

    def row(self, tag: str | None) -> RunRow | None:
        """The run of that tag, or None."""
        return None if tag is None else self.by_tag.get(tag)

    def experiment(self, name: str) -> ExperimentView | None:
        """The experiment of that name, or None."""
        return next((experiment for experiment in self.experiments if experiment.name == name), None)

    def count(self, *states: str) -> int:
        """How many runs are in one of the states."""
        return sum(row.state in states for row in self.rows)


EMPTY = Snapshot()
