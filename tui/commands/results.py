"""The commands that make something of results: a second test, files of finished runs, figures for Prometheus."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tui.commands.options import AsJson, Results, RunName, Work, results_of

__all__ = ["evaluate", "export", "metrics", "report"]


class SavedModel(StrEnum):
    """Which model that a run has saved."""

    FINAL = "final"
    BEST = "best"


class Device(StrEnum):
    """Where a model is evaluated."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def evaluate(
    context: typer.Context,
    name: RunName,
    model: Annotated[SavedModel, typer.Option("--model", help="The last one, or the best so far.")] = SavedModel.FINAL,
    device: Annotated[
        Device | None, typer.Option("--device", help="Where.  [default: as the run]", show_default=False)
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> Work:
    """Test the model that a run has saved, beside what the run said itself."""
    from tui.evaluate_command import evaluate_run

    where = None if device is None else device.value
    return lambda: evaluate_run(results_of(context, results), name, model.value, device=where, as_json=as_json)


def report(
    context: typer.Context,
    experiment: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="All where not given.")] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> Work:
    """Make CSV, PNG, HTML and Markdown of the finished runs, and print the paths."""
    from tui.report_command import make_reports

    return lambda: make_reports(results_of(context, results), experiment, as_json=as_json)


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

    return lambda: export_table(results_of(context, results), experiment, what=what, out=out)


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

    return lambda: serve(results_of(context, results), port=port, interval_s=interval, name=run_name)
