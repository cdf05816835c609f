"""What the commands share: options that several of them have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from engine.store import ResultsPaths
from tui.given import folder_of

__all__ = ["AsJson", "File", "Headless", "Results", "RunName", "Sets", "Work", "results_of"]

Work = Callable[[], int]
"""The work of a command; what it returns is the exit code."""

Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", parser=folder_of, help="The results folder.  [default: ./results]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine readable, on stdout.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="The experiment file.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key for all; repeatable.")]
Headless = Annotated[bool, typer.Option("--headless", help="Without the screen: progress lines.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="An id, a unique beginning of it, or experiment/run.")]


def results_of(context: typer.Context, own: Path | None) -> ResultsPaths:
    """The results folder: given after the command, before it, or ./results."""
    return ResultsPaths(own or context.obj.results or Path("results"))
