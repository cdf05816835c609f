"""What a person says of a run: pinned or not, and a note. Nothing of the run depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core.errors import InputError
from engine.store import RunPaths, read_json, write_json

__all__ = ["MAX_NOTE_LENGTH", "Annotation", "annotate", "read_annotation"]

MAX_NOTE_LENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Of one run.

    Attributes:
        is_pinned: listed first.
        note: one line, or "".
    """

    is_pinned: bool = False
    note: str = ""


_NONE = Annotation()


def read_annotation(paths: RunPaths) -> Annotation:
    """Return what ``annotation.json`` says; what is missing or odd was not said."""
    value = read_json(paths.annotation)
    if value is None:
        return _NONE
    note = value.get("note")
    return Annotation(
        is_pinned=value.get("is_pinned") is True,
        note=_one_line(note)[:MAX_NOTE_LENGTH] if isinstance(note, str) else "",
    )


def annotate(paths: RunPaths, *, is_pinned: bool | None = None, note: str | None = None) -> Annotation:
    """Pin a run or put a note to it; what is None stays as it was.

    Args:
        paths: of a run that is there.
        is_pinned: whether it is to be listed first.
        note: line breaks and runs of spaces become one space; "" takes the note away.

    Returns:
        What is written now.

    Raises:
        InputError: the note is too long, the run is gone, or its folder cannot be written.
    """
    old = read_annotation(paths)
    new = Annotation(
        is_pinned=old.is_pinned if is_pinned is None else is_pinned,
        note=old.note if note is None else _one_line(note),
    )
    if len(new.note) > MAX_NOTE_LENGTH:
        raise InputError(f"a note has {MAX_NOTE_LENGTH:,} characters at most, this one {len(new.note):,}")
    if not paths.run.is_file():  # writing would make the folder of a deleted run anew
        raise InputError(f"there is no run {paths.run_id} any more")
    try:
        write_json(paths.annotation, {"format": 1, "is_pinned": new.is_pinned, "note": new.note})
    except OSError as error:
        raise InputError(f"cannot write {paths.annotation}: {error.strerror or error}") from error
    return new


def _one_line(text: str) -> str:
    return " ".join(text.split())
