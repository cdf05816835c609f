"""The errors that people can meet, and the exit code each one has.

``InputError`` is the user's to mend (exit 2), every other ``DdptuiError`` is a failure of the work (exit 1).
They are turned into one clear line and an exit code in one place, ``tui.cli.main``. ``assert`` is for our own mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DdptuiError", "DiskFullError", "InputError", "NonFiniteLossError", "Problem"]


class DdptuiError(Exception):
    """Something failed; the message is one line that a person can act on."""

    exit_code = 1


class NonFiniteLossError(DdptuiError):
    """A loss was NaN or infinite and ``on_nonfinite`` is "stop": every rank raises it after the same step."""


class DiskFullError(DdptuiError):
    """A file could not be written for want of room and ``on_disk_full`` is "stop": every rank raises it."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with what the user gave.

    Attributes:
        message: what came, what is allowed, what to do.
        file: the file as the user named it, or "" where there is none.
        line: 1-based line in ``file``, or 0 where it is unknown.
        column: 1-based column, or 0.
        key: the dotted key as the user typed it, or "".
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        what = f"{self.key}: {self.message}" if self.key else self.message
        return f"{where}: {what}" if where else what


class InputError(DdptuiError):
    """What the user gave cannot be used; holds every problem that was found, not only the first."""

    exit_code = 2

    def __init__(self, problems: list[Problem] | str) -> None:
        self.problems = [Problem(message=problems)] if isinstance(problems, str) else problems
        super().__init__("\n".join(str(problem) for problem in self.problems))
