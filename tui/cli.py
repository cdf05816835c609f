"""The commands. Parsing is here; the work of a command is in a module of its own, loaded when the command is given.

Each command function returns the work as a function of no arguments; ``main`` carries it out and turns errors into one
clear line and an exit code: 0 all succeeded, 1 a run failed, 2 bad input, 3 a ``--fail-if`` gate broke, 130
interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.core.errors import DdptuiError, InputError
from engine.store import ResultsPaths
from tui.output import say, strip_escapes

__all__ = ["app", "main"]

Work = Callable[[], int]

INTERRUPTED = 130
BROKEN_PIPE = 141

UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Catalog(StrEnum):
    """What ``ls`` may list beside runs."""

    RUNS = "runs"
    COMPARE = "compare"
    LOGS = "logs"
    MODELS = "models"
    DATASETS = "datasets"
    STRATEGIES = "strategies"
    LAUNCHERS = "launchers"
    PARTITIONS = "partitions"


class Rerun(StrEnum):
    """Which of the runs that were tried before are run again."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


Results = Annotated[
    Path | None, typer.Option("--results", metavar="DIR", help="The results folder.  [default: ./results]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine readable, on stdout.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="The experiment file.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key for all; repeatable.")]
Headless = Annotated[bool, typer.Option("--headless", help="Without the screen: progress lines.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="An id, a unique beginning of it, or experiment/run.")]


@app.callback(invoke_without_command=True)
def _all_commands(
    context: typer.Context,
    results: Results = None,
    headless: Headless = False,
    readonly: Annotated[bool, typer.Option("--readonly", help="A screen that cannot change anything.")] = False,
    is_ascii: Annotated[bool, typer.Option("--ascii", help="A screen of plain characters.")] = False,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal.")] = False,
    theme: Annotated[
        str, typer.Option("--theme", metavar="NAME", help="ddptui-dark, ddptui-light, ansi-dark or ansi-light.")
    ] = "",
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> Work | None:
    """Run, watch and understand distributed PyTorch training. Without a command the screen opens."""
    context.obj = Given(results, headless, readonly, is_ascii, no_mouse, theme)
    if version:
        return _show_version
    if context.invoked_subcommand is None:
        return lambda: _open_screen(context.obj, context.get_help())
    return None


@dataclass(frozen=True)
class Given:
    """What was given before the command."""

    results: Path | None
    is_headless: bool
    is_readonly: bool
    is_ascii: bool
    no_mouse: bool
    theme: str


def _open_screen(given: Given, help_text: str) -> int:
    """The screen, with the experiment file of this folder in Plan; without a terminal the help."""
    if given.is_headless or not sys.stdout.isatty():
        sys.stdout.write(f"{help_text}\n")
        say("the screen needs a terminal; here use `ddptui ls --watch` or `ddptui --headless run FILE`")
        return 0
    from tui.open_screen import open_screen

    return open_screen(_screen_options(given, given.results))


def _screen_options(given: Given, results: Path | None, file: str = "") -> Any:
    from tui.open_screen import ScreenOptions

    return ScreenOptions(
        results=ResultsPaths(results or Path("results")),
        file=file or ("experiments.toml" if Path("experiments.toml").is_file() else ""),
        is_readonly=given.is_readonly,
        is_ascii=given.is_ascii,
        has_mouse=not given.no_mouse,
        theme=given.theme,
    )


def _show_version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"ddptui {version('ddptui')}\n")
    return 0


def _results(context: typer.Context, own: Path | None) -> ResultsPaths:
    """The results folder: given after the command, before it, or ./results."""
    return ResultsPaths(own or context.obj.results or Path("results"))


@app.command()
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
    from tui.run_command import RunOptions, run_file

    given = context.obj
    is_line_by_line = headless or given.is_headless or detach or dry_run or as_json or bool(fail_if)
    if given.is_readonly and not dry_run:
        raise InputError("--readonly shows and starts nothing; leave it out, or use `ddptui --readonly`")
    options = RunOptions(
        file=file,
        results=_results(context, results),
        only=tuple(only or ()),
        sets=tuple(sets or ()),
        is_dry_run=dry_run,
        is_smoke=smoke,
        rerun=rerun.value,
        is_detached=detach,
        fail_if=tuple(fail_if or ()),
        as_json=as_json,
        screen=_screen_options(given, results or given.results, file)
        if sys.stdout.isatty() and not is_line_by_line
        else None,
    )
    return lambda: run_file(options)


@app.command()
def validate(file: File, sets: Sets = None, as_json: AsJson = False) -> Work:
    """Check FILE without running anything."""
    from tui.plan_command import validate_file

    return lambda: validate_file(file, tuple(sets or ()), as_json=as_json)


@app.command()
def schema() -> Work:
    """Print the JSON Schema of the experiment file, for editors."""
    from tui.plan_command import print_schema

    return print_schema


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.", show_default=False)] = Path(),
    project: Annotated[
        bool, typer.Option("--project", help="A small repository: model, data, program, experiments.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> Work:
    """Write an experiments.toml to begin with, or a small project."""
    from tui.init_command import write_starter

    return lambda: write_starter(folder, is_project=project, is_forced=force)


@app.command()
def ls(
    context: typer.Context,
    what: Annotated[Catalog, typer.Argument(help="What to list.")] = Catalog.RUNS,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="An experiment for compare, a run for logs.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again whenever it is different, until Ctrl-C.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Once, which is what happens without --watch.")] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> Work:
    """List runs, their comparison or their last log lines, or the names that an experiment file may use."""
    if watch and (once or as_json):
        raise InputError("--watch goes neither with --once nor with --json")
    if what is Catalog.RUNS and not watch and name is None:
        from tui.listing import list_results

        return lambda: list_results(_results(context, results), as_json=as_json)
    if what.value in ("runs", "compare", "logs"):
        if as_json:
            raise InputError("--json goes with `ls runs`; `ddptui export` writes the tables")
        from tui.watch import print_form

        form: Any = what.value
        return lambda: print_form(_results(context, results), form, name, is_watching=watch)
    if watch or name is not None:
        raise InputError(f"ls {what.value} takes no name and no --watch")
    from tui.catalog_list import list_catalog

    return lambda: list_catalog(what.value, as_json=as_json)


@app.command()
def data(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set: a name of `ls datasets`, or your own.")],
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="FILE", help="As the runs of FILE load and share it out.")
    ] = None,
    sets: Sets = None,
    partition: Annotated[
        list[str] | None,
        typer.Option("--partition", metavar="NAME", help="What it shows each rank; all for all; repeatable."),
    ] = None,
    world_size: Annotated[
        list[int] | None, typer.Option("--world-size", metavar="N", min=1, help="Ranks; repeatable.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, max=1000, help="Epochs to look at.")] = 2,
    samples: Annotated[int, typer.Option("--samples", min=0, max=500, help="Samples to draw.")] = 20,
    is_ascii: Annotated[bool, typer.Option("--ascii", help="Draw with plain characters.")] = False,
    as_json: AsJson = False,
) -> Work:
    """Show a data set: samples, classes, shapes, and what part of it each rank would see."""
    from tui.data_command import DataOptions, show_data

    options = DataOptions(
        name=name,
        experiment=experiment,
        sets=tuple(sets or ()),
        partitions=tuple(partition or ()),
        world_sizes=tuple(world_size or ()),
        num_epochs=epochs,
        num_pictures=samples,
        is_ascii=is_ascii or context.obj.is_ascii,
        as_json=as_json,
    )
    return lambda: show_data(options)


@app.command()
def show(context: typer.Context, name: RunName, results: Results = None, as_json: AsJson = False) -> Work:
    """Show all that is known of a run."""
    from tui.listing import show_run

    return lambda: show_run(_results(context, results), name, as_json=as_json)


@app.command()
def stacks(context: typer.Context, name: RunName, results: Results = None, as_json: AsJson = False) -> Work:
    """Print where every rank of a run is now, with its stack; the run goes on."""
    from tui.stacks_command import show_stacks

    return lambda: show_stacks(_results(context, results), name, as_json=as_json)


@app.command()
def logs(
    context: typer.Context,
    name: RunName,
    results: Results = None,
    is_following: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run ends.")] = False,
    rank: Annotated[int | None, typer.Option("--rank", min=0, help="Of this rank only.")] = None,
    out: Annotated[bool, typer.Option("--out", help="Standard output only.")] = False,
    err: Annotated[bool, typer.Option("--err", help="Standard error only.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Of each file, only so many last lines.")] = None,
) -> Work:
    """Print what the ranks of a run wrote."""
    from tui.logs import LogChoice, show_logs

    streams = tuple(name for name, is_wanted in (("out", out or not err), ("err", err or not out)) if is_wanted)
    choice = LogChoice(rank=rank, streams=streams, num_lines=tail)
    return lambda: show_logs(_results(context, results), name, choice, is_following=is_following)


@app.command()
def stop(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Runs to stop.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that are queued or going on.")] = False,
    results: Results = None,
) -> Work:
    """Stop runs: they finish their step and leave."""
    from tui.supervise import stop_runs

    return lambda: stop_runs(_results(context, results), tuple(names or ()), every=every)


@app.command()
def pause(context: typer.Context, results: Results = None) -> Work:
    """Hold the queue: what runs goes on, nothing else is started."""
    from tui.supervise import hold_queue

    return lambda: hold_queue(_results(context, results), is_held=True)


@app.command()
def resume(context: typer.Context, results: Results = None) -> Work:
    """Let a held queue go on."""
    from tui.supervise import hold_queue

    return lambda: hold_queue(_results(context, results), is_held=False)


@app.command()
def retry(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Ended runs.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed, were lost or were stopped.")] = False,
    results: Results = None,
) -> Work:
    """Queue ended runs again, as they were; without names a dead supervisor's queue is taken up."""
    from tui.supervise import retry_runs

    return lambda: retry_runs(_results(context, results), tuple(names or ()), failed=failed)


@app.command()
def attach(context: typer.Context, results: Results = None) -> Work:
    """Follow the runs that are going on. Ctrl-C only leaves; the runs go on."""
    from tui.run_command import attach_to

    return lambda: attach_to(_results(context, results))


@app.command()
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
    return lambda: clean_up(_results(context, results), options)


@app.command()
def report(
    context: typer.Context,
    experiment: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="All where not given.")] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> Work:
    """Make CSV, PNG, HTML and Markdown of the finished runs, and print the paths."""
    from tui.report_command import make_reports

    return lambda: make_reports(_results(context, results), experiment, as_json=as_json)


@app.command()
def export(
    context: typer.Context,
    experiment: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="Needed where there are several.")
    ] = None,
    what: Annotated[
        str, typer.Option("--what", help="events, runs, summary, epochs, ranks, partitions or system.")
    ] = "events",
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to write; - for stdout.")] = "-",
    results: Results = None,
) -> Work:
    """Write one table of an experiment as tidy CSV."""
    from tui.report_command import export_table

    return lambda: export_table(_results(context, results), experiment, what=what, out=out)


@app.command()
def metrics(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 for any.")] = 8000,
    interval: Annotated[
        float, typer.Option("--interval", metavar="S", help="Between two samples of the machine.")
    ] = 1.0,
    run_name: Annotated[
        str, typer.Option("--run-name", metavar="R", help="Label of the machine's figures.  [default: the host's name]")
    ] = "",
    results: Results = None,
) -> Work:
    """Serve figures of this machine and of the runs to Prometheus, until Ctrl-C."""
    from tui.metrics_command import serve

    return lambda: serve(_results(context, results), port=port, interval_s=interval, name=run_name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; return the exit code. Errors become lines on stderr here and nowhere else."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    given, is_debug = _take_debug(given)
    try:
        _refuse_other_systems(sys.platform)
        work = typer.main.get_command(app).main(args=given, prog_name="ddptui", standalone_mode=False)
        code = work() if callable(work) else int(work or 0)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(_usage_line(error), 2)
    except DdptuiError as error:
        return _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more as it ends
        return BROKEN_PIPE
    except Exception as error:  # the last line of defence: one clear line instead of a traceback
        if is_debug:
            raise
        return _complain(f"{_describe(error)}; run again with --debug for the traceback", 1)
    return code


def _open_closed_streams() -> None:
    """Python has no stream for a descriptor that is closed (``>&-``, some cron jobs): what is written goes nowhere."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """``--debug`` is understood everywhere on the line."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [argument for argument in arguments[:end] if argument != "--debug"] + arguments[end:]
    return rest, len(rest) < len(arguments) or bool(os.environ.get("DDPTUI_DEBUG"))


def _refuse_other_systems(platform: str) -> None:
    if not platform.startswith(("linux", "darwin")):
        raise InputError(f"Linux and macOS are supported, {platform} is not; on Windows use it inside WSL2")


def _complain(text: str, code: int) -> int:
    for line in strip_escapes(text).splitlines():
        say(f"ddptui: {line}")
    return code


def _usage_line(error: Any) -> str:
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    command = error.ctx.command_path if error.ctx is not None else "ddptui"
    return f"{message[:1].lower()}{message[1:]} (see `{command} --help`)".replace("\n", " ")


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"


if __name__ == "__main__":
    sys.exit(main())
