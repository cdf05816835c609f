"""Make what an experiment's folder offers to people: CSV files, figures, ``report.html`` and ``report.md``."""

from __future__ import annotations

import time
from pathlib import Path

from engine.core.errors import InputError
from engine.core.fields import text
from engine.report.collect import ExperimentData, environments, read_experiment
from engine.report.contents import headline, make_sections
from engine.report.html_page import render_html
from engine.report.markdown_page import render_markdown
from engine.report.png import draw_figures
from engine.report.tables import write_tables
from engine.report.wording import data_label
from engine.store import stays_inside, write_whole

__all__ = ["write_report"]


def write_report(results: Path, experiment: str) -> list[Path]:
    """Make the report of what is there now, finished or not; may be called at any time, and again.

    Args:
        results: the results folder.
        experiment: its name there.

    Returns:
        The files that were written, the report pages last.

    Raises:
        InputError: there is no such experiment, or its figures would be written elsewhere.
        OSError: the folder cannot be written to.
    """
    data = read_experiment(results, experiment)
    if not stays_inside(data.paths.plots):
        raise InputError(f"{data.paths.plots} is a link that leads out of the experiment's folder: remove it first")
    tables = write_tables(data)
    figures = draw_figures(data)
    sections = make_sections(data, figures)
    made_up = [label for run in data.runs if (label := data_label(run.spec)) and label.endswith("(synthetic)")]
    title = f"{data.name}: distributed training compared{f', on {made_up[0]}' if made_up else ''}"
    lead = [headline(data), _about(data)]
    markdown = render_markdown(title, lead, sections, folder=data.paths.root)
    write_whole(data.paths.report_md, markdown.encode())
    write_whole(data.paths.report_html, render_html(title, lead, sections).encode())
    plots = [figure.path for figure in figures if figure.path is not None]
    return [*tables, *plots, data.paths.report_md, data.paths.report_html]


def _about(data: ExperimentData) -> str:
    """When, on what, with which data."""
    cpus = list(dict.fromkeys(cpu for env in environments(data.runs) if (cpu := text(env, "cpu_model")) is not None))
    parts = [f"Made by ddptui on {time.strftime('%Y-%m-%d %H:%M')}", *cpus[:2], *data.data_notes]
    return "; ".join(parts) + "."
