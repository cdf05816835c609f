"""What ``run`` and ``attach`` do: plan, check, queue, follow, and say how it came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.errors import InputError
from engine.core.lifecycle import Rerun
from engine.core.plan import Plan
from engine.core.state import RunState
from engine.core.wording import count
from engine.store import ResultsPaths
from tui.check import check_runs
from tui.follow_view import make_view
from tui.gates import Gate, check_gates, parse_gate
from tui.headless import Followed, Interrupts, follow
from tui.open_screen import ScreenOptions, check_terminal, open_screen
from tui.output import say
from tui.plan_command import show_plan
from tui.prepare import check_results_folder, read_plan
from tui.run_names import NamedRun, list_named_runs
from tui.run_row import RunReader
from tui.start_runs import begin
from tui.supervise import Supervisor
from tui.view.run_row import UNREADABLE

__all__ = ["RunOptions", "attach_to", "run_file"]

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What was asked for, as given on the command line."""

    file: str
    results: ResultsPaths
    only: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    is_dry_run: bool = False
    is_smoke: bool = False
    rerun: Rerun = "missing"
    is_detached: bool = False
    fail_if: tuple[str, ...] = ()
    as_json: bool = False
    screen: ScreenOptions | None = None
    """The screen to be opened once the runs are queued; None to follow them line by line."""


def run_file(options: RunOptions) -> int:
    """Run the experiments of a file; return the exit code.

    Raises:
        InputError: something that was given cannot be used; nothing was started.
        DdptuiError: the supervisor could not be started or refused.
    """
    gates = [parse_gate(text) for text in options.fail_if]
    if gates and options.is_detached:
        raise InputError("--fail-if needs the runs to be followed; leave --detach out")
    plan = read_plan(options.file, sets=options.sets, only=options.only, is_smoke=options.is_smoke)
    _check_gates(gates, plan)
    check_results_folder(options.results.root, may_make=not options.is_dry_run)
    if options.is_dry_run:
        return _dry_run(plan, options)
    if options.screen is not None:
        check_terminal()
    supervisor = Supervisor(options.results)
    runs = begin(plan, options.results, rerun=options.rerun, tell=say).taken
    if options.is_detached:
        where = "" if str(options.results.root) == "results" else f" --results {options.results.root}"
        queued = f"{count(len(runs), 'run')} queued, which go on by themselves"
        say(f"{queued}; follow them with `ddptui{where} attach`, end them with `ddptui{where} stop --all`")
        return 0
    selected = [NamedRun(spec.experiment, options.results.run(spec.experiment, spec.id)) for spec in plan.runs]
    if options.screen is not None:
        return open_screen(options.screen) or _close_after_screen(options, selected, gates)
    followed = _follow(runs, supervisor)
    return _close(options.results, selected, gates, followed, as_json=options.as_json)


def attach_to(results: ResultsPaths) -> int:
    """Follow every run that has not ended; return the exit code as ``run`` would."""
    rows = [(run, RunReader(run).read()) for run in list_named_runs(results)]
    runs = [run for run, row in rows if not row.is_terminal and row.state != UNREADABLE]
    if not runs:
        say(f"nothing is going on in {results.root}")
        return 0
    supervisor = Supervisor(results)
    supervisor.warn(say)
    if supervisor.ensure():
        say("no supervisor was there: started one, which takes up the runs")
    say("Ctrl-C leaves, the runs go on; `ddptui stop` ends them")
    followed = _follow(runs, supervisor, may_stop=False)
    return _close(results, runs, [], followed, as_json=False)


def _check_gates(gates: Sequence[Gate], plan: Plan) -> None:
    if gates:
        from tui.summary_columns import gate_columns

        check_gates(gates, gate_columns(), [(spec.experiment, spec.point) for spec in plan.runs])


def _dry_run(plan: Plan, options: RunOptions) -> int:
    """Show the plan even where the check fails; then say why."""
    try:
        check = check_runs(plan.runs)
    except InputError:
        show_plan(plan, None, options.results, as_json=options.as_json)
        raise
    return show_plan(plan, check, options.results, as_json=options.as_json)


def _follow(runs: Sequence[NamedRun], supervisor: Supervisor, *, may_stop: bool = True) -> Followed:
    readers = [RunReader(run) for run in runs]
    with Interrupts() as interrupts, make_view() as view:
        return follow(readers, view, supervisor, interrupts, may_stop=may_stop)


def _close(
    results: ResultsPaths, runs: Sequence[NamedRun], gates: Sequence[Gate], followed: Followed, *, as_json: bool
) -> int:
    if followed.is_interrupted:
        going_on = sum(not row.is_terminal for row in followed.rows)
        rest = f"{going_on} runs go on" if going_on else "all runs have ended"
        say(f"left: {rest}; `ddptui report` makes the report of what there is")
        return INTERRUPTED
    return _sum_up(results, runs, gates, as_json=as_json)


def _close_after_screen(options: RunOptions, runs: Sequence[NamedRun], gates: Sequence[Gate]) -> int:
    """The same tables and reports as without the screen, once the runs have ended; it may have been left before."""
    kept = [run for run in runs if run.paths.root.is_dir()]  # the screen deletes runs too
    going_on = sum(not row.is_terminal for row in (RunReader(run).read() for run in kept))
    if going_on or not kept:
        rest = "the runs have not ended" if kept else "the runs were deleted"
        if gates:
            say(f"--fail-if was not judged: {rest}")
        return 0
    say("writing the report")
    return _sum_up(options.results, kept, gates, as_json=options.as_json)


def _sum_up(results: ResultsPaths, runs: Sequence[NamedRun], gates: Sequence[Gate], *, as_json: bool) -> int:
    from tui.closing import close_runs  # the report is loaded when there is something to report

    closing = close_runs(results, runs, gates, as_json=as_json)
    if any(row.state != RunState.SUCCEEDED for row in closing.rows):
        return 1
    return 3 if closing.breaches else 0
