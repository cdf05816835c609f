"""The commands that start, steer and follow runs."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from engine.core.errors import InputError
from tui.commands.options import AsJson, File, Headless, Results, Sets, Work, results_of

__all__ = ["attach", "clean", "pause", "resume", "retry", "run", "stop"]


class Rerun(StrEnum):
    """Which of the runs that were tried before are run again."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


def run(
    context: typer.Context,
    file: File,
    results: Results = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only this experiment or these points; repeatable."),
    ] = None,
    sets: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every run and its command; start nothing.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Every point for five steps.")] = False,
    rerun: Annotated[
        Rerun, typer.Option("--rerun", help="Of runs tried before, run again: not succeeded, only failed, or all.")
    ] = Rerun.MISSING,
    detach: Annotated[bool, typer.Option("--detach", help="Return as soon as the runs are queued.")] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if", metavar="EXPR", help='Exit 3 if true: "throughput_efficiency<0.8@ddp-w4"; repeatable.'
        ),
    ] = None,
    headless: Headless = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run or at the end: machine readable.")] = False,
) -> Work:
    """Run the experiments of FILE: on the screen, or with --headless line by line until the report (Ctrl-C stops)."""
    from tui.open_screen import ScreenOptions
    from tui.run_command import RunOptions, run_file

    given = context.obj
    is_line_by_line = headless or given.is_headless or detach or dry_run or as_json or bool(fail_if)
    if given.is_readonly and not dry_run:
        raise InputError("--readonly shows and starts nothing; leave it out, or use `ddptui --readonly`")
    options = RunOptions(
        file=file,
        results=results_of(context, results),
        only=tuple(only or ()),
        sets=tuple(sets or ()),
        is_dry_run=dry_run,
        is_smoke=smoke,
        rerun=rerun.value,
        is_detached=detach,
        fail_if=tuple(fail_if or ()),
        as_json=as_json,
        screen=ScreenOptions.of(given, results, file) if sys.stdout.isatty() and not is_line_by_line else None,
    )
    return lambda: run_file(options)


def stop(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Runs to stop.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that are queued or going on.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the order was taken.")] = False,
    results: Results = None,
) -> Work:
    """Stop runs: they finish their step and leave. Wait for it, and say how each ended and whether anything is left."""
    from tui.stop_command import stop_runs

    return lambda: stop_runs(results_of(context, results), tuple(names or ()), every=every, is_waiting=not no_wait)


def pause(context: typer.Context, results: Results = None) -> Work:
    """Hold the queue: what runs goes on, nothing else is started."""
    from tui.supervise import hold_queue

    return lambda: hold_queue(results_of(context, results), is_held=True)


def resume(context: typer.Context, results: Results = None) -> Work:
    """Let a held queue go on."""
    from tui.supervise import hold_queue

    return lambda: hold_queue(results_of(context, results), is_held=False)


def retry(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Ended runs.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed, were lost or were stopped.")] = False,
    results: Results = None,
) -> Work:
    """Queue ended runs again, as they were; without names a dead supervisor's queue is taken up."""
    from tui.supervise import retry_runs

    return lambda: retry_runs(results_of(context, results), tuple(names or ()), failed=failed)


def attach(context: typer.Context, results: Results = None) -> Work:
    """Follow the runs that are going on. Ctrl-C only leaves; the runs go on."""
    from tui.run_command import attach_to

    return lambda: attach_to(results_of(context, results))


def clean(
    context: typer.Context,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list, which is what happens in a pipe.")] = False,
    adoptable: Annotated[
        bool, typer.Option("--adoptable", help="End runs too that go on without a supervisor.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> Work:
    """List what dead supervisors left, processes and files, and end or remove it after a question."""
    from tui.clean_command import CleanOptions, clean_up

    if is_confirmed and dry_run:
        raise InputError("--yes does what --dry-run only lists; give one of them")
    options = CleanOptions(is_confirmed=is_confirmed, is_dry_run=dry_run, with_adoptable=adoptable, as_json=as_json)
    return lambda: clean_up(results_of(context, results), options)
