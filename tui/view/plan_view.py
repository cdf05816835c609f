"""A plan as the Plan mode lists it: its runs by experiment, with what a launch would do with each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.core.errors import Problem
from engine.core.lifecycle import Rerun, choose_runs
from engine.core.plan import ExperimentPlan, Plan
from engine.core.spec import RunSpec
from engine.core.wording import count
from tui.view.run_row import known_state
from tui.view.snapshot import Snapshot
from tui.view.table import Cell, Column, Row

__all__ = [
    "BUSY",
    "NEW",
    "PLAN_COLUMNS",
    "LaunchCount",
    "count_launch",
    "export_plan",
    "export_problems",
    "list_runs",
    "problem_line",
    "states_of",
    "with_states",
]

NEW = "new"
"""The state of a run that the results folder does not hold."""

BUSY = ("queued", "starting", "running", "stalled", "stopping")
"""States of runs that the supervisor has in hand."""

PLAN_COLUMNS = (
    Column(key="run", label="run", width=20, max_width=28),
    Column(key="strategy", label="strategy", width=8, max_width=12, priority=4),
    Column(key="world_size", label="world", width=5, is_right=True, priority=2),
    Column(key="num_devices", label="devices", width=7, is_right=True, priority=3),
    Column(key="repeat", label="repeat", width=6, is_right=True, priority=5),
    Column(key="baseline", label="baseline", width=16, max_width=24, priority=1),
    Column(key="state", label="state", width=11),
)

_SECTION = "experiment "


@dataclass(frozen=True, kw_only=True)
class LaunchCount:
    """What a launch would do with the runs of one experiment.

    Attributes:
        experiment: its name.
        num_runs: selected.
        num_new: of these never run before.
        num_queued: would be queued, the new ones among them.
        num_busy: queued or going on already.
        num_skipped: the others.
    """

    experiment: str
    num_runs: int
    num_new: int
    num_queued: int
    num_busy: int
    num_skipped: int

    def words(self) -> str:
        """What will become of them."""
        again = self.num_queued - self.num_new
        parts = [
            f"{self.num_new:,} new" if self.num_new else "",
            f"{again:,} again" if again else "",
            f"{self.num_busy:,} queued or running already" if self.num_busy else "",
            f"{self.num_skipped:,} skipped" if self.num_skipped else "",
        ]
        return ", ".join(part for part in parts if part) or "nothing"


def states_of(runs: Iterable[RunSpec], snapshot: Snapshot) -> dict[str, str]:
    """The state of every run by its tag: as the results folder has it, or ``NEW``."""
    known = snapshot.by_tag
    tags = (f"{run.experiment}/{run.id}" for run in runs)
    return {tag: known[tag].state if tag in known else NEW for tag in tags}


def list_runs(plan: Plan) -> tuple[Row, ...]:
    """The runs under a heading per experiment; keys are tags, the last cell (the state) is empty yet."""
    rows: list[Row] = []
    for experiment in plan.experiments:
        rows.append(Row(_SECTION + experiment.name, (experiment.name,), is_section=True))
        points = {info.point: info for info in experiment.points}
        for spec in experiment.runs:
            topology = points[spec.point].topology
            is_gpu = spec.config.world_size == "gpu"
            is_unknown = is_gpu or (spec.config.strategy == "dp" and spec.config.dp.num_replicas == "gpu")
            cells: tuple[Cell, ...] = (
                spec.id,
                spec.config.strategy,
                "gpu" if is_gpu else str(topology.world_size),
                "gpu" if is_unknown else str(topology.num_devices),
                str(spec.repeat),
                _baseline(spec),
                "",
            )
            rows.append(Row(f"{spec.experiment}/{spec.id}", cells))
    return tuple(rows)


def with_states(
    rows: Sequence[Row], plan: Plan, states: Mapping[str, str], cells: Mapping[str, Cell]
) -> tuple[Row, ...]:
    """Fill in the states; rows that stay as they are stay the same objects.

    Args:
        rows: of ``list_runs``.
        plan: the same.
        states: by tag.
        cells: the cell of each state.
    """
    headings = {_SECTION + experiment.name: _heading(experiment, states) for experiment in plan.experiments}
    filled = []
    for row in rows:
        if row.is_section:
            heading = headings[row.key]
            filled.append(row if row.cells == heading else Row(row.key, heading, is_section=True))
            continue
        state = states.get(row.key, NEW)
        cell = cells.get(state, state)
        filled.append(row if row.cells[-1] == cell else Row(row.key, (*row.cells[:-1], cell)))
    return tuple(filled)


def count_launch(experiment: ExperimentPlan, states: Mapping[str, str], rerun: Rerun) -> LaunchCount:
    """Say what a launch would do with the selected runs of an experiment."""
    own = {spec.id: states.get(f"{spec.experiment}/{spec.id}", NEW) for spec in experiment.runs}
    known = {run_id: known_state(state) for run_id, state in own.items()}
    chosen, skipped = choose_runs(known, rerun)
    num_busy = sum(own[run_id] in BUSY for run_id in chosen)
    return LaunchCount(
        experiment=experiment.name,
        num_runs=len(own),
        num_new=sum(own[run_id] == NEW for run_id in chosen),
        num_queued=len(chosen) - num_busy,
        num_busy=num_busy,
        num_skipped=len(skipped),
    )


def problem_line(problem: Problem) -> str:
    """``line 12: optimizer.lr: must be ...``."""
    where = f"line {problem.line}: " if problem.line else ""
    return f"{where}{problem.key + ': ' if problem.key else ''}{problem.message}"


def export_plan(plan: Plan, states: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[tuple[object, ...], ...]]:
    """Headers and rows of the runs, as values."""
    columns = (
        "experiment", "run", "point", "repeat", "strategy", "world_size", "num_devices", "global_batch_size",
        "local_batch_size", "lr", "baseline", "state",
    )  # fmt: skip
    rows = []
    for experiment in plan.experiments:
        topologies = {info.point: info.topology for info in experiment.points}
        for spec in experiment.runs:
            sizes, config = topologies[spec.point], spec.config
            is_gpu = config.world_size == "gpu"
            rows.append((
                spec.experiment, spec.id, spec.point, spec.repeat, config.strategy, config.world_size,
                None if is_gpu else sizes.num_devices, None if is_gpu else sizes.global_batch_size or None,
                None if is_gpu else sizes.local_batch_size or None, None if is_gpu else sizes.lr or None, spec.baseline,
                states.get(f"{spec.experiment}/{spec.id}", NEW),
            ))  # fmt: skip
    return columns, tuple(rows)


def export_problems(problems: Sequence[Problem]) -> tuple[tuple[str, ...], tuple[tuple[object, ...], ...]]:
    """Headers and rows of the errors, as values."""
    rows = tuple((one.line or None, one.column or None, one.key or None, one.message) for one in problems)
    return ("line", "column", "key", "message"), rows


def _baseline(spec: RunSpec) -> Cell:
    if spec.baseline is None:
        return ("none", "text-muted")
    return ("itself", "text-muted") if spec.baseline == spec.point else spec.baseline


def _heading(experiment: ExperimentPlan, states: Mapping[str, str]) -> tuple[Cell, ...]:
    counted = count_launch(experiment, states, "missing")
    num_done = sum(states.get(f"{spec.experiment}/{spec.id}") == "succeeded" for spec in experiment.runs)
    parts = [
        count(counted.num_runs, "run"),
        f"{counted.num_new:,} new" if counted.num_new else "",
        f"{num_done:,} succeeded" if num_done else "",
        f"{counted.num_busy:,} queued or running" if counted.num_busy else "",
    ]
    return (experiment.name, (" · ".join(part for part in parts if part), "text-muted"))
