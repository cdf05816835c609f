"""The commands, each a function that returns its work; the modules that do the work are loaded when it is given."""

from __future__ import annotations

import typer

from tui.commands.looking import data, logs, ls, show, stacks
from tui.commands.planning import init, schema, validate
from tui.commands.results import evaluate, export, metrics, report
from tui.commands.running import attach, clean, pause, resume, retry, run, stop

__all__ = ["commands"]

commands = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_LOOKING = (ls, show, stacks, logs, data)
_STEERING = (stop, pause, resume, retry, attach, clean)

for _command in (run, validate, schema, init, *_LOOKING, *_STEERING, evaluate, report, export, metrics):
    commands.command()(_command)
