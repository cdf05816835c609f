"""Start the runs of a plan: check that they can train, queue them, and say what is to be expected.

Blocking: the screen calls it on a thread beside its own, the command line as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.core.lifecycle import Rerun
from engine.core.plan import Plan
from engine.core.wording import count
from engine.store import ResultsPaths
from tui.check import CheckResult, Estimate, check_runs
from tui.output import format_bytes
from tui.plan_command import describe_estimate, estimate_plan, num_gpus_of, say_notes
from tui.prepare import check_results_folder, plan_file, plan_text, read_plan
from tui.run_names import NamedRun, list_named_runs
from tui.run_row import RunReader
from tui.supervise import Supervisor
from tui.view.run_row import UNREADABLE

__all__ = ["LaunchRequest", "Started", "begin", "make_launch_plan"]

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What is to be started, before the options of the start.

    Attributes:
        file: the experiment file, as the user named it.
        results: where the runs are to stand.
        text: what is shown of the file, with edits that are not saved; None to read the file.
        is_modified: whether ``text`` is not what the file holds.
        sets: ``KEY=VALUE`` of ``--set``.
        only: experiments or points of ``--only``.
    """

    file: str
    results: ResultsPaths
    text: str | None = None
    is_modified: bool = False
    sets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Started:
    """What came of a start.

    Attributes:
        check: what the interpreters said.
        taken: the runs that were queued.
        num_skipped: runs that the rerun rule left out.
    """

    check: CheckResult
    taken: list[NamedRun]
    num_skipped: int

    def line(self) -> str:
        """One line for a notice."""
        skipped = f"; {count(self.num_skipped, 'run')} skipped" if self.num_skipped else ""
        return f"{count(len(self.taken), 'run')} queued{skipped}"


def make_launch_plan(request: LaunchRequest, *, is_smoke: bool = False) -> Plan:
    """Plan what was asked for.

    Raises:
        InputError: the file cannot be read, or what it says cannot be run; every problem.
    """
    if request.text is None:
        return read_plan(request.file, sets=request.sets, only=request.only, is_smoke=is_smoke)
    return plan_text(request.text, request.file, sets=request.sets, only=request.only, is_smoke=is_smoke)


def begin(
    plan: Plan, results: ResultsPaths, *, rerun: Rerun = "missing", check: CheckResult | None = None, tell: Tell
) -> Started:
    """Queue the runs of a plan.

    Args:
        plan: with the runs that are selected.
        results: the folder; made where it is missing.
        rerun: of runs that are there already, which to run again.
        check: of these runs, where it was made before; else it is made now, which takes seconds to minutes.
        tell: takes every line of what is going on.

    Raises:
        InputError: these runs cannot train here, or the folder cannot be written; nothing was queued.
        DdptuiError: the supervisor could not be started or refused.
    """
    check_results_folder(results.root)
    say_notes(plan.experiments, tell)
    if check is None:
        tell("checking that these runs can train here")
        check = check_runs(plan.runs)
    taken, num_skipped = _enqueue(plan, results, rerun, tell)
    if taken:
        estimates = estimate_plan(plan, check.points, num_gpus_of(check))
        _tell_expected([estimates[run.tag] for run in taken], results, tell)
        _tell_ahead(taken, results, tell)
    return Started(check=check, taken=taken, num_skipped=num_skipped)


def _enqueue(plan: Plan, results: ResultsPaths, rerun: Rerun, tell: Tell) -> tuple[list[NamedRun], int]:
    """Queue the runs; return those that were taken, and how many were not."""
    supervisor = Supervisor(results)
    supervisor.warn(tell)
    taken: list[NamedRun] = []
    num_skipped = 0
    for experiment in plan.experiments:
        planned = plan_file(plan, experiment, results)
        answer = supervisor.enqueue(experiment.name, planned, experiment.runs, rerun)
        queued, skipped = answer.get("queued") or [], answer.get("skipped") or []
        if skipped:
            tell(_skipped_line(experiment.name, len(skipped), len(experiment.runs), rerun))
        taken += [NamedRun(experiment.name, results.run(experiment.name, run_id)) for run_id in queued]
        num_skipped += len(skipped)
    return taken, num_skipped


def _skipped_line(experiment: str, num_skipped: int, num_runs: int, rerun: Rerun) -> str:
    if rerun == "failed":
        return f"{experiment}: {num_skipped} of {num_runs} runs have not failed: skipped; --rerun all to run again"
    return f"{experiment}: {num_skipped} of {num_runs} runs already succeeded: skipped; --rerun all to run again"


def _tell_expected(estimates: Sequence[Estimate], results: ResultsPaths, tell: Tell) -> None:
    """What the runs will cost, and whether the disk has room for it."""
    tell(f"{describe_estimate(estimates)} (--dry-run says how this is estimated)")
    size = sum(estimate.disk_bytes or 0 for estimate in estimates)
    free = shutil.disk_usage(results.root).free
    if size > free:
        tell(f"this is more than the {format_bytes(free)} that are free in {results.root}")


def _tell_ahead(runs: Sequence[NamedRun], results: ResultsPaths, tell: Tell) -> None:
    """Why nothing seems to happen: one run goes on at a time, and others came first."""
    own = {run.tag for run in runs}
    others = [run for run in list_named_runs(results) if run.tag not in own]
    rows = [RunReader(run).read() for run in others]
    ahead = [row.tag for row in rows if not row.is_terminal and row.state != UNREADABLE]
    if ahead:
        tell(f"waiting for {count(len(ahead), 'run')} queued before: {ahead[0]}{', ...' if len(ahead) > 1 else ''}")
