"""The commands that show what is there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from engine.core.errors import InputError
from tui.commands.options import AsJson, Results, RunName, Sets, Work, results_of

__all__ = ["data", "logs", "ls", "show", "stacks"]


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

        return lambda: list_results(results_of(context, results), as_json=as_json)
    if what.value in ("runs", "compare", "logs"):
        if as_json:
            raise InputError("--json goes with `ls runs`; `ddptui export` writes the tables")
        from tui.watch import print_form

        form: Any = what.value
        return lambda: print_form(results_of(context, results), form, name, is_watching=watch)
    if watch or name is not None:
        raise InputError(f"ls {what.value} takes no name and no --watch")
    from tui.catalog_list import list_catalog

    return lambda: list_catalog(what.value, as_json=as_json)


def show(context: typer.Context, name: RunName, results: Results = None, as_json: AsJson = False) -> Work:
    """Show all that is known of a run."""
    from tui.run_detail import show_run

    return lambda: show_run(results_of(context, results), name, as_json=as_json)


def stacks(context: typer.Context, name: RunName, results: Results = None, as_json: AsJson = False) -> Work:
    """Print where every rank of a run is now, with its stack; the run goes on."""
    from tui.stacks_command import show_stacks

    return lambda: show_stacks(results_of(context, results), name, as_json=as_json)


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
    return lambda: show_logs(results_of(context, results), name, choice, is_following=is_following)


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
