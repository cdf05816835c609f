"""The comparison of one experiment, kept fresh: summaries are read again only of the runs that are different."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.core.fields import text
from engine.store import ResultsPaths, read_json
from tui.feed.index import Signature
from tui.view.comparison import Comparison
from tui.view.run_row import RunRow
from tui.view.snapshot import ExperimentView

__all__ = ["ComparisonMaker"]


@dataclass(frozen=True, slots=True)
class _Pair:
    key: object
    spec: Mapping[str, Any]
    summary: Mapping[str, Any]


class ComparisonMaker:
    """Makes the comparison of the experiment that is watched.

    Args:
        results: the results folder.
        clock: seconds that only grow.

    Attributes:
        current: the newest; None before the first.
    """

    def __init__(self, results: ResultsPaths, clock: Callable[[], float]) -> None:
        self.current: Comparison | None = None
        self._results = results
        self._clock = clock
        self._experiment: str | None = None
        self._pairs: dict[str, _Pair] = {}
        self._made_of: object = None
        self._revision = 0

    def watch(self, experiment: str | None) -> None:
        """Make that of ``experiment`` from now on, or none."""
        if experiment != self._experiment:
            self._experiment = experiment
            self._pairs, self._made_of, self.current = {}, None, None

    def update(
        self,
        view: ExperimentView | None,
        rows: Sequence[RunRow],
        signature: Callable[[str], Signature | None],
        deadline_s: float,
    ) -> bool:
        """Make it again if something is different; return whether more is to be read before that.

        Args:
            view: of the experiment; None where there is none.
            rows: its runs, in the order of the plan.
            signature: of the files of a run, by tag.
            deadline_s: when to leave off.
        """
        planned = set(view.run_ids) if view is not None else set()
        rows = [row for row in rows if row.id in planned] if planned else list(rows)
        keys = {row.id: (row.state, signature(row.tag) if row.is_terminal else None) for row in rows}
        made_of = (view, list(keys.items()))
        if made_of == self._made_of:
            return False
        self._pairs = {run_id: pair for run_id, pair in self._pairs.items() if pair.key == keys.get(run_id)}
        for row in rows:
            if row.id not in self._pairs:
                if self._clock() >= deadline_s:
                    return True
                self._pairs[row.id] = self._read(row, keys[row.id])
        self._made_of = made_of
        self._make(view, [self._pairs[row.id] for row in rows])
        return False

    def _read(self, row: RunRow, key: object) -> _Pair:
        paths = self._results.run(row.experiment, row.id)
        spec = read_json(paths.run) or {"id": row.id}
        summary = read_json(paths.summary) if row.is_terminal else None
        if summary is None or summary.get("state") != row.state:
            summary = {"state": row.state}  # its figures do not count: it has not succeeded, or nobody summed it up
        return _Pair(key, spec, summary)

    def _make(self, view: ExperimentView | None, pairs: Sequence[_Pair]) -> None:
        name = self._experiment or ""
        from engine.analysis.scaling import make_points  # loads the statistics: only where they are wanted

        points = tuple(make_points([(pair.spec, pair.summary) for pair in pairs]))
        notes = dict.fromkeys(note for pair in pairs if (note := text(pair.summary, "data_note")) is not None)
        missing = f"no experiment {name!r}" if view is None else f"no runs of {name} yet"
        made = Comparison(
            revision=self._revision,
            experiment=name,
            points=points,
            reference=view.reference if view is not None else {},
            data_notes=tuple(notes),
            problem="" if points else missing,
        )
        if made != self.current:
            self._revision += 1
            self.current = replace(made, revision=self._revision)
