"""What was run, and how to run it again."""

from __future__ import annotations

import shlex

from engine.core.fields import sequence, text
from engine.report.blocks import Block, Code, Paragraph
from engine.report.collect import ExperimentData

__all__ = ["configuration_blocks"]


def configuration_blocks(data: ExperimentData) -> list[Block]:
    """The file, what was set beside it, and the commands that do it again."""
    source = text(data.plan, "toml")
    if source is None:
        return [Paragraph(text="There is no plan in the folder: the configuration of each run is in its run.json.")]
    file = text(data.plan, "file") or "experiments.toml"
    command = shlex.join(["ddptui", "--headless", "run", file, *_options(data)])
    report = f"ddptui report {shlex.quote(data.name)}"
    return [
        Paragraph(text=f"{file}, as it was run{_changed(data)}:"),
        Code(text=source, language="toml"),
        Paragraph(text="To repeat it, and to make this report again:"),
        Code(text=f"{command}\n{report}", language="sh"),
    ]


def _options(data: ExperimentData) -> list[str]:
    """What makes this experiment of the file again; a plan of older days does not know how it was made."""
    if "sets" not in data.plan:
        return []
    is_smoke = data.plan.get("is_smoke") is True
    name = data.name.removesuffix("-smoke") if is_smoke else data.name
    sets = [option for item in sequence(data.plan, "sets") for option in ("--set", str(item))]
    return [*(["--smoke"] if is_smoke else []), "--only", name, *sets]


def _changed(data: ExperimentData) -> str:
    sets = [str(item) for item in sequence(data.plan, "sets")]
    smoke = ["five steps of every point (--smoke)"] if data.plan.get("is_smoke") is True else []
    changes = [*smoke, *sets]
    return f", but for {', '.join(changes)}" if changes else ""
