"""The commands around the experiment file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import AsJson, File, Sets, Work

__all__ = ["init", "schema", "validate"]


def validate(file: File, sets: Sets = None, as_json: AsJson = False) -> Work:
    """Check FILE without running anything."""
    from tui.plan_command import validate_file

    return lambda: validate_file(file, tuple(sets or ()), as_json=as_json)


def schema() -> Work:
    """Print the JSON Schema of the experiment file, for editors."""
    from tui.plan_command import print_schema

    return print_schema


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
