"""Whose a file is. What other users put into a results folder may be looked at, and is never obeyed."""

from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any

from engine.core.errors import DdptuiError, InputError

__all__ = ["RefusedFileError", "check_own_file", "check_own_folder", "describe_owner", "read_own_json"]

_MAX_ORDER_BYTES = 64 << 20
"""Room for thousands of runs in one command."""


class RefusedFileError(DdptuiError):
    """The file is not one that we may obey; the message says why, in words that follow its name."""


def describe_owner(uid: int) -> str:
    """``user alice (uid 1000)``, or the number alone where the name is unknown."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def check_own_folder(folder: Path) -> None:
    """Make sure that a folder in which programs are to be started is ours; one that is missing is nobody's.

    Raises:
        InputError: it belongs to another user.
    """
    try:
        owner = folder.stat().st_uid
    except OSError:
        return
    if owner != os.getuid():
        raise InputError(
            f"{folder} belongs to {describe_owner(owner)}: it can be looked at (the screen, ls, show, logs), but runs "
            "are started and stopped by its owner only; choose another folder with --results DIR"
        )


def check_own_file(path: Path) -> None:
    """Make sure that a file that says which program is to be started is ours, and no link.

    Raises:
        RefusedFileError: it is not; a file that is missing is nobody's.
    """
    try:
        found = path.lstat()
    except OSError:
        return
    _check(found)


def read_own_json(path: Path, *, max_bytes: int = _MAX_ORDER_BYTES) -> dict[str, Any] | None:
    """Return the object in a file of ours, or None where there is no file or it holds no JSON object.

    Args:
        path: not followed where it is a link.
        max_bytes: more is not read.

    Raises:
        RefusedFileError: it belongs to another user, is a link, no regular file, or too long.
    """
    try:
        check_own_file(path)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        _check(found)
        if found.st_size > max_bytes:
            raise RefusedFileError(f"has {found.st_size} bytes, allowed are {max_bytes}")
        try:
            value = json.loads(file.read(max_bytes))
        except (OSError, ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _check(found: os.stat_result) -> None:
    if found.st_uid != os.getuid():
        raise RefusedFileError(f"belongs to {describe_owner(found.st_uid)}")
    if stat.S_ISLNK(found.st_mode):
        raise RefusedFileError("is a link")
    if not stat.S_ISREG(found.st_mode):
        raise RefusedFileError("is no regular file")
