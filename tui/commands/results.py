"""The commands that give results to others: files of finished runs, figures for Prometheus."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.options import AsJson, Results, Work, results_of

__all__ = ["export", "metrics", "report"]


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
