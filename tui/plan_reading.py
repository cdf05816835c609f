"""What the Plan mode has others work out for it: the plan of a text, and whether a planned run can train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.core.errors import DdptuiError, InputError, Problem
from engine.core.plan import ExperimentPlan, Plan
from engine.core.spec import RunSpec
from tui.check import check_runs, estimate_run
from tui.plan_command import num_gpus_of, topology_of
from tui.prepare import plan_text
from tui.view.plan_detail import Checked
from tui.view.plan_shares import coverage_of
from tui.view.plan_view import list_runs, states_of, with_states
from tui.view.snapshot import Snapshot
from tui.view.table import Cell, Row

__all__ = ["PlanReading", "check_key", "check_planned", "read_text"]


@dataclass(frozen=True, kw_only=True)
class PlanReading:
    """What became of a text.

    Attributes:
        text: which one.
        plan: None where there are problems.
        problems: every one.
        runs: of the plan with their experiments, by tag.
        states: of the runs in the results folder, by tag.
        rows: of the plan's table.
    """

    text: str
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()
    runs: Mapping[str, tuple[RunSpec, ExperimentPlan]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()

    def at(self, snapshot: Snapshot, cells: Mapping[str, Cell]) -> PlanReading:
        """The same with the states that the results folder has now.

        Args:
            snapshot: of the results folder.
            cells: the cell of each state.
        """
        if self.plan is None:
            return self
        states = states_of(self.plan.runs, snapshot)
        return replace(self, states=states, rows=with_states(self.rows, self.plan, states, cells))


def read_text(text: str, file: str, sets: Sequence[str] = ()) -> PlanReading:
    """Plan a text; what is wrong with it is part of the answer."""
    try:
        plan = plan_text(text, file, sets=sets)
    except InputError as error:
        return PlanReading(text=text, problems=tuple(error.problems))
    runs = {
        f"{spec.experiment}/{spec.id}": (spec, experiment)
        for experiment in plan.experiments
        for spec in experiment.runs
    }
    return PlanReading(text=text, plan=plan, runs=runs, rows=list_runs(plan))


def check_key(spec: RunSpec) -> str:
    """Equal for runs of which a check says the same: repeats differ only in their seed."""
    return f"{spec.project_dir}\n{spec.code_digest}\n{spec.config.model_dump_json(exclude={'seed'})}"


def check_planned(spec: RunSpec) -> Checked:
    """Ask the interpreter of a run whether it can train it, and what each rank will see."""
    try:
        check = check_runs([spec])
    except DdptuiError as error:
        return Checked(problems=tuple(str(error).splitlines()))
    facts, num_gpus = check.points.get(spec.point, {}), num_gpus_of(check)
    estimate = estimate_run(spec, facts, topology_of(spec, num_gpus).world_size)
    return Checked(
        facts=facts,
        coverage=coverage_of(facts.get("coverage") or []),
        num_gpus=num_gpus,
        time_s=estimate.time_s,
        disk_bytes=estimate.disk_bytes,
    )
