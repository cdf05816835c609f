"""The commands and their options: parsed here, each into the work that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from engine.core.errors import InputError
from tui.commands import commands
from tui.commands.options import Work
from tui.given import Given

__all__ = ["list_commands", "parse_command"]

_UsageError: Any = typer.BadParameter.__base__


def parse_command(given: Given) -> Work:
    """Return the work that a command asks for; its ``--help`` is printed and leaves nothing to do.

    Raises:
        InputError: it cannot be understood.
        KeyboardInterrupt: it was interrupted.
    """
    group: Any = typer.main.get_command(commands)
    try:
        work = group.main(args=list(given.command), prog_name="ddptui", standalone_mode=False, obj=given)
    except _UsageError as error:
        raise InputError(_usage_line(error)) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    return work if callable(work) else lambda: int(work or 0)


def list_commands() -> Sequence[tuple[str, str]]:
    """Every command with a line about it."""
    group: Any = typer.main.get_command(commands)
    return [(name, command.get_short_help_str(60)) for name, command in group.commands.items()]


def _usage_line(error: Any) -> str:
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    command = error.ctx.command_path if error.ctx is not None else "ddptui"
    return f"{message[:1].lower()}{message[1:]} (see `{command} --help`)".replace("\n", " ")
