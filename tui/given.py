"""The options before the command: parsed here and nowhere else, without loading what only commands need.

The screen opens where no command is given, and is to be there at once; the library of the commands costs a fifth of
a second of a core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from engine.core.errors import InputError

__all__ = ["Given", "folder_of", "parse_given", "usage"]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was given before the command, and what came after it.

    Attributes:
        results: the results folder, or None for ``./results``.
        is_headless: progress lines instead of the screen.
        is_readonly: a screen that cannot change anything.
        is_ascii: plain characters only.
        has_mouse: whether mouse events are asked for.
        theme: a name, or "" for what suits.
        is_asking_help, is_asking_version: whether only that is to be printed.
        command: the command and all that follows it; empty for the screen.
    """

    results: Path | None = None
    is_headless: bool = False
    is_readonly: bool = False
    is_ascii: bool = False
    has_mouse: bool = True
    theme: str = ""
    is_asking_help: bool = False
    is_asking_version: bool = False
    command: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')} (see `ddptui --help`)")


def parse_given(arguments: Sequence[str]) -> Given:
    """Parse a command line up to its command.

    Raises:
        InputError: there is no such option, or its value is missing.
    """
    found, unknown = _parser().parse_known_args(list(arguments))
    if unknown:
        raise InputError(f"no such option: {unknown[0].partition('=')[0]} (see `ddptui --help`)")
    return Given(**{**vars(found), "command": tuple(found.command[found.command[:1] == ["--"] :])})


def usage(commands: Sequence[tuple[str, str]]) -> str:
    """The help: the options, and the commands with a line about each."""
    width = max(len(name) for name, _ in commands)
    lines = [f"  {name:{width}}  {words}" for name, words in commands]
    return f"{_parser().format_help()}\ncommands (`ddptui COMMAND --help`):\n" + "\n".join(lines) + "\n"


def folder_of(text: str) -> Path:
    """Return the results folder that was named.

    Raises:
        InputError: nothing was named: an empty path would be the current folder.
    """
    if not text:
        raise InputError('--results "" names no folder (a shell variable that is not set?); leave it out for ./results')
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ddptui",
        usage="ddptui [OPTIONS] [COMMAND ...]",
        description="Run, watch and understand distributed PyTorch training. Without a command the screen opens.",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("--results", metavar="DIR", type=folder_of, help="the results folder [default: ./results]")
    flags = (
        ("--headless", "is_headless", "without the screen: progress lines"),
        ("--readonly", "is_readonly", "a screen that cannot change anything"),
        ("--ascii", "is_ascii", "a screen of plain characters"),
    )
    for flag, name, words in flags:
        parser.add_argument(flag, dest=name, action="store_true", help=words)
    parser.add_argument("--no-mouse", dest="has_mouse", action="store_false", help="leave the mouse to the terminal")
    words = "ddptui-dark, ddptui-light, ansi-dark or ansi-light"
    parser.add_argument("--theme", metavar="NAME", default="", help=words)
    parser.add_argument("--version", dest="is_asking_version", action="store_true", help="print the version")
    parser.add_argument("-h", "--help", dest="is_asking_help", action="store_true", help="show this and leave")
    # --debug may stand anywhere on the line: `tui.cli` takes it out before
    parser.add_argument_group("everywhere on the line").add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an unexpected error"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser
