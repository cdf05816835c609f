"""An experiment file on disk, for an editor that must never lose anything of it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from engine.core.document import decode_text
from engine.core.errors import DdptuiError, InputError, Problem
from engine.store import write_whole

__all__ = ["FileChangedError", "FileText", "read_file", "save_file", "signature_of"]

MAX_BYTES = 2 << 20
"""An editor in a terminal is the wrong tool for more; nobody writes so much by hand."""

Signature = tuple[int, int, int]


class FileChangedError(DdptuiError):
    """The file is not any more what was read: saving would undo what somebody else has written."""


@dataclass(frozen=True, kw_only=True)
class FileText:
    """A file as it was read.

    Attributes:
        file: as the user named it.
        content: its bytes; None where there is no such file, or it cannot be read.
        text: to be shown.
        problems: why there is nothing to plan; empty where ``text`` is the file's.
        locked: why it must not be edited here, or "".
        signature: changes when the file does; None where there is none.
    """

    file: str
    content: bytes | None = None
    text: str = ""
    problems: tuple[Problem, ...] = ()
    locked: str = ""
    signature: Signature | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is no such file."""
        return self.content is None and not self.problems


def signature_of(file: str) -> Signature | None:
    """What changes when the file does; None where there is none."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_file(file: str) -> FileText:
    """Read the file; what is wrong with it is part of the answer."""
    signature = signature_of(file)

    def locked(message: str, why: str, text: str = "", content: bytes | None = None) -> FileText:
        problems = (Problem(message=message, file=file),)
        return FileText(file=file, content=content, text=text, problems=problems, locked=why, signature=signature)

    try:
        kind = os.stat(file).st_mode
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "no ordinary file"
            return locked(f"is {what}, not an experiment file", f"it is {what}")
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return FileText(file=file)
    except OSError as error:
        return locked(f"cannot be read: {error.strerror}", "it cannot be read")
    except ValueError:  # a NUL in the name
        return locked("is not a file name", "it is not a file name")
    if len(content) > MAX_BYTES:
        return locked(f"is larger than {MAX_BYTES >> 20} MiB: too large to be shown here", "it is too large")
    return _decode(file, content, signature)


def _decode(file: str, content: bytes, signature: Signature | None) -> FileText:
    try:
        text = decode_text(content, file)
    except InputError as error:
        return FileText(
            file=file,
            content=content,
            text=content.decode(errors="replace"),
            problems=tuple(error.problems),
            locked="it is not UTF-8 text",
            signature=signature,
        )
    return FileText(file=file, content=content, text=text, signature=signature)


def save_file(file: str, text: str, *, expected: bytes | None, is_forced: bool = False) -> FileText:
    """Replace the file by ``text``, keeping its mode; a link goes on pointing at it.

    Args:
        file: as the user named it.
        text: its new content.
        expected: what it holds as far as is known; None for no file.
        is_forced: overwrite whatever is there.

    Raises:
        FileChangedError: it holds something else; nothing was written.
        InputError: it cannot be written; it is as it was.
    """
    path = Path(os.path.realpath(file))
    try:
        is_there = path.exists()
        if not is_forced and (path.read_bytes() if is_there else None) != expected:
            raise FileChangedError(f"{file} was changed by somebody else since it was read")
        mode = stat.S_IMODE(path.stat().st_mode) if is_there else 0o666 & ~_umask()
        write_whole(path, text.encode(), mode=mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{file} cannot be saved: {reason}") from None
    return FileText(file=file, content=text.encode(), text=text, signature=signature_of(file))


def _umask() -> int:
    """The process's own; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
