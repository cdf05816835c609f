"""One experiment on its way from the file to its runs: axes, points, baseline, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.core.baseline import BaselineChoice, choose_baselines, default_baseline
from engine.core.document import Document, Path
from engine.core.errors import Problem
from engine.core.experiments import Experiment
from engine.core.layers import dotted
from engine.core.matrix import Axis, read_axes
from engine.core.partial import PartialPoint, read_partial
from engine.core.plan_catalog import PlanCatalog
from engine.core.points import DraftPoint, PointMaker
from engine.core.wording import show

__all__ = ["MAX_RUNS", "Draft", "too_many_runs"]

MAX_RUNS = 100_000
"""A file that asks for more runs is refused."""


class Draft:
    """An experiment that is being worked out.

    Attributes:
        experiment: its layers and settings.
        axes: of its matrix.
        axis_problems: what is wrong with the axes.
        repeats: runs of each point; 1 for a smoke test.
        points: after ``make``, what is left of the matrix.
        notes: after ``make``, one line for each reason why points were left out.
        baseline: after ``make``, the partial point in use.
        choices: after ``make``, the baseline of each point.
    """

    def __init__(self, experiment: Experiment, document: Document, catalog: PlanCatalog, *, is_smoke: bool) -> None:
        self.experiment = experiment
        self.document = document
        self.catalog = catalog
        self.is_smoke = is_smoke
        self.axes: list[Axis]
        self.axes, self.axis_problems = read_axes(experiment.matrices, experiment.sets, catalog)
        self.repeats = 1 if is_smoke else int(experiment.setting("repeats"))
        self.points: list[DraftPoint] = []
        self.notes: list[str] = []
        self.baseline = PartialPoint(keys={}, labels={})
        self.choices: list[BaselineChoice] = []

    def make(self) -> list[Problem]:
        """Make the points and choose their baselines; returns what is wrong."""
        problems: list[Problem] = []
        excludes = self._read_excludes(problems)
        baseline = self._read_baseline(problems)
        maker = PointMaker(experiment=self.experiment, axes=self.axes, catalog=self.catalog, is_smoke=self.is_smoke)
        self.points = maker.make(excludes)
        self.notes = self._hidden_keys() + maker.notes
        problems += maker.problems
        if problems or self.axis_problems or self.experiment.repaired:
            return problems
        if not self.points:
            why = "; ".join(self.notes[:5]) or "all are excluded"
            return [self.experiment.source.problem((), f"no point of experiment {self.experiment.name} is left: {why}")]
        self.baseline = baseline if baseline is not None else default_baseline(self.points)
        if not any(self.baseline.fits(point.config, point.axes) for point in self.points):
            message = f"no point of the experiment has {self.baseline}; the points are {_some_points(self.points)}"
            return [self.experiment.settings["baseline"].source.problem((), message)]
        self.choices = choose_baselines(self.points, self.baseline, self.axes)
        return []

    def _read_excludes(self, problems: list[Problem]) -> list[PartialPoint]:
        setting = self.experiment.settings.get("exclude")
        excludes: list[PartialPoint] = []
        if setting is None:
            return excludes
        for index, table in enumerate(setting.value):
            source = setting.source.below(index)
            partial, wrong = read_partial(table, source, self.axes, self.catalog)
            if not table:
                wrong = [source.problem((), "an empty exclude would leave out every point")]
            problems += wrong
            if not wrong:
                excludes.append(partial)
        return excludes

    def _read_baseline(self, problems: list[Problem]) -> PartialPoint | None:
        setting = self.experiment.settings.get("baseline")
        if setting is None or not setting.value:
            return None
        partial, wrong = read_partial(setting.value, setting.source, self.axes, self.catalog)
        problems += wrong
        return partial

    def _hidden_keys(self) -> list[str]:
        axes: dict[Path, str] = {axis.path: axis.name for axis in self.axes}
        hidden = sorted(dotted(path) for path in self.experiment.own_keys if path in axes)
        return [f"{key} of the experiment is not used: the matrix has an axis of the same key" for key in hidden]


def _some_points(points: Sequence[DraftPoint]) -> str:
    texts = ["(" + ", ".join(f"{k}={show(v)}" for k, v in point.axes.items()) + ")" for point in points[:6]]
    return ", ".join(texts) + (f" and {len(points) - 6:,} more" if len(points) > 6 else "")


def too_many_runs(drafts: Sequence[Draft], document: Document) -> list[Problem]:
    """Refuse a file whose matrices ask for more than ``MAX_RUNS``, before any point is made."""
    numbers = [math.prod(len(axis.values) for axis in draft.axes) * draft.repeats for draft in drafts]
    if sum(numbers) <= MAX_RUNS:
        return []
    largest = max(range(len(drafts)), key=lambda index: numbers[index])
    message = f"the file asks for {sum(numbers):,} runs; at most {MAX_RUNS:,} can be planned"
    source = drafts[largest].experiment.source
    path = ("matrix",) if "matrix" in drafts[largest].experiment.settings else ()
    return [source.problem(path if document.knows((*source.root, *path)) else (), message)]
