"""What a supervisor can be told: the commands of ``.ddptui/commands`` and the replies to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine.core.errors import InputError
from engine.core.lifecycle import Rerun
from engine.core.spec import RunSpec

__all__ = [
    "Command",
    "Delete",
    "Enqueue",
    "Hold",
    "Move",
    "Reply",
    "Retry",
    "Stacks",
    "Stop",
    "command_id",
    "parse_command",
]

_FOLDER_NAME = r"^[^./\x00][^/\x00]{0,199}$"
"""A name that becomes a folder must stay inside the results folder, and beside ``.ddptui``."""

FolderName = Annotated[str, Field(pattern=_FOLDER_NAME)]

RunKeys = list[tuple[FolderName, FolderName]]
"""Pairs of experiment and run id."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Enqueue(_Frozen):
    """Take runs of one experiment into the queue."""

    op: Literal["enqueue"]
    experiment: FolderName
    plan: dict[str, Any]
    """Becomes ``plan.json``."""
    runs: list[RunSpec]
    """In the order in which they shall run."""
    rerun: Rerun = "missing"


class Stop(_Frozen):
    """End runs: those that wait are taken out of the queue, those that are active get SIGTERM."""

    op: Literal["stop"]
    runs: RunKeys | Literal["all"]
    grace_s: Annotated[float, Field(ge=0, le=20)] = 20.0
    """Seconds from SIGTERM to SIGKILL; 0 goes straight to SIGKILL. A node runner waits no longer than 20 s."""


class Retry(_Frozen):
    """Queue ended runs again, as their frozen config says."""

    op: Literal["retry"]
    runs: RunKeys


class Hold(_Frozen):
    """Hold the queue, or let it go on; what is active is not touched."""

    op: Literal["hold"]
    is_held: bool


class Move(_Frozen):
    """Move waiting runs by so many places, to the front where ``by`` is negative."""

    op: Literal["move"]
    runs: RunKeys
    by: Annotated[int, Field(ge=-100_000, le=100_000)]


class Delete(_Frozen):
    """Delete ended runs and all their files."""

    op: Literal["delete"]
    runs: RunKeys


class Stacks(_Frozen):
    """Have every rank of active runs looked at, and leave them alone."""

    op: Literal["stacks"]
    runs: RunKeys


Command = Enqueue | Stop | Retry | Hold | Move | Delete | Stacks


class Reply(_Frozen):
    """The answer to one command.

    Attributes:
        ok: whether it was carried out.
        message: one line.
        data: depends on the command.
    """

    ok: bool
    message: str = ""
    data: dict[str, Any] = {}


_command: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="op")])
_OPS = ("enqueue", "stop", "retry", "hold", "move", "delete", "stacks")


def parse_command(value: Mapping[str, Any] | None) -> Command:
    """Return the command in ``value`` (``{"op": ..., arguments}``).

    Raises:
        InputError: it is none; the message is one line.
    """
    if value is None:
        raise InputError("not a command: the file holds no JSON object")
    op = value.get("op")
    if op not in _OPS:
        raise InputError(f"unknown command {str(op)[:80]!r}; known are {', '.join(_OPS)}")
    try:
        command = _command.validate_python(dict(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        raise InputError(f"the command {op} cannot be used: {where}: {first['msg']}") from error
    if isinstance(command, Enqueue):
        _check_runs(command)
    return command


def command_id(time_ns: int, pid: int, random: str) -> str:
    """Return an id whose order as text is the order in time."""
    return f"{time_ns:020d}-{pid}-{random}"


def _check_runs(command: Enqueue) -> None:
    for spec in command.runs:
        if spec.experiment != command.experiment:
            raise InputError(f"run {spec.id} belongs to experiment {spec.experiment}, not {command.experiment}")
        if not re.fullmatch(_FOLDER_NAME, spec.id):
            raise InputError(f"{spec.id!r} cannot be the id of a run: it must be usable as a folder name")
    ids = [spec.id for spec in command.runs]
    if len(set(ids)) != len(ids):
        raise InputError(f"experiment {command.experiment} has the same run twice: {', '.join(ids)}"[:300])
