"""The snapshots of a run as files: which are whole, which is chosen, which go. What is in them is the worker's.

``runs/<id>/snapshots/<num_steps>/`` holds ``shared.pt``, a ``rank<r>.pt`` per rank and, last, ``manifest.json`` with
the checksum of each: a folder without it is the beginning of one, which does not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ddptui.privacy import FILE_MODE, FOLDER_MODE
from engine.core.errors import InputError
from engine.core.fields import mapping, text, whole
from engine.core.snapshot_rule import differing_keys
from engine.store import RunPaths, read_json, write_json

__all__ = [
    "MANIFEST",
    "SHARED_PART",
    "Choice",
    "SnapshotInfo",
    "choose_snapshot",
    "discard_snapshot",
    "drop_snapshots_after",
    "finished_s",
    "list_snapshots",
    "part_of",
    "prune_snapshots",
    "verify",
    "write_manifest",
    "write_part",
]

MANIFEST = "manifest.json"
SHARED_PART = "shared.pt"

_CHUNK_BYTES = 4 << 20
_SHOWN_KEYS = 3


@dataclass(frozen=True, kw_only=True)
class SnapshotInfo:
    """A snapshot whose manifest is there and whose parts have their sizes.

    Attributes:
        folder: where it is.
        num_steps: steps that were done; the next one has this number.
        world_size: ranks that wrote it.
        manifest: all that was said of it.
    """

    folder: Path
    num_steps: int
    world_size: int
    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """What an attempt goes on from: None for the beginning; the messages are for people, one line each."""

    info: SnapshotInfo | None
    messages: tuple[str, ...] = ()


def part_of(rank: int) -> str:
    """The name of a rank's own part."""
    return f"rank{rank}.pt"


def list_snapshots(paths: RunPaths) -> list[SnapshotInfo]:
    """Return the snapshots that are there whole, by their sizes; the newest first."""
    return [found for _, found in _look_through(paths) if isinstance(found, SnapshotInfo)]


def verify(info: SnapshotInfo, *, on_chunk: Callable[[], None] = lambda: None) -> str:
    """Compare every part with its checksum; return "" or what is wrong, in a line.

    Args:
        info: which.
        on_chunk: called every few MiB, so that whoever must not be silent can speak.
    """
    for name, part in mapping(info.manifest, "parts").items():
        digest = hashlib.sha256()
        try:
            with (info.folder / name).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    on_chunk()
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        if digest.hexdigest() != (text(part, "sha256") if isinstance(part, dict) else None):
            return f"{name} is not what was written"
    return ""


def choose_snapshot(
    paths: RunPaths, config: Mapping[str, Any], *, on_chunk: Callable[[], None] = lambda: None
) -> Choice:
    """Choose the newest snapshot that is intact.

    Args:
        paths: of the run.
        config: what alters the result, without defaults, as the manifest holds it.
        on_chunk: see ``verify``.

    Raises:
        InputError: the newest intact one is of another config; the message names what differs.
    """
    messages: list[str] = []
    for num_steps, info in _look_through(paths):
        wrong = info if isinstance(info, str) else verify(info, on_chunk=on_chunk)
        if wrong:
            messages.append(f"the snapshot of step {num_steps} is skipped: {wrong}")
        if wrong or isinstance(info, str):
            continue
        different = differing_keys(config, mapping(info.manifest, "config"))
        if different:
            more = f" and {len(different) - _SHOWN_KEYS} more" if len(different) > _SHOWN_KEYS else ""
            raise InputError(
                f"the snapshot of step {info.num_steps} was made with {'; '.join(different[:_SHOWN_KEYS])}{more}: "
                f"delete {info.folder.parent} to begin anew"
            )
        return Choice(info, tuple(messages))
    return Choice(None, tuple(messages))


def write_part(folder: Path, name: str, write: Callable[[BinaryIO], None]) -> dict[str, Any]:
    """Write one part: beside, flushed, renamed; return its line of the manifest.

    Args:
        folder: of the snapshot; made where it is missing.
        name: ``SHARED_PART`` or ``part_of(rank)``.
        write: writes the content into an open file.

    Raises:
        OSError: as the file system raised it; nothing is left of the part.
    """
    for path in (folder.parent, folder):
        path.mkdir(exist_ok=True, mode=FOLDER_MODE)  # the run's folder is not made anew where somebody has deleted it
    fd, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(fd, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.chmod(temporary, FILE_MODE)
        os.replace(temporary, folder / name)
    except BaseException:
        os.unlink(temporary)
        raise
    return {"sha256": digest, "bytes": size}


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make the snapshot whole.

    Raises:
        OSError: it cannot be written.
    """
    write_json(folder / MANIFEST, {"format": 1, **manifest})


def finished_s(info: SnapshotInfo) -> float:
    """When it became whole, in Unix seconds of its file system.

    Raises:
        OSError: it is gone.
    """
    return (info.folder / MANIFEST).stat().st_mtime


def prune_snapshots(paths: RunPaths, keep: int) -> None:
    """Remove all but the ``keep`` newest whole ones, and the beginnings of others."""
    kept = {info.folder for info in list_snapshots(paths)[:keep]}
    _remove(folder for folder in _folders(paths) if folder not in kept)


def drop_snapshots_after(paths: RunPaths, num_steps: int) -> None:
    """Remove what is there of more steps than ``num_steps``, whole or not: those steps are taken anew."""
    _remove(folder for folder in _folders(paths) if int(folder.name) > num_steps)


def discard_snapshot(folder: Path) -> None:
    """Remove one, or the beginning of one."""
    _remove([folder])


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            (folder / MANIFEST).unlink(missing_ok=True)  # first: half of one must not pass for whole
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # as long as it holds others this fails


def _folders(paths: RunPaths, *, with_links: bool = False) -> list[Path]:
    try:
        entries = list(paths.snapshots.iterdir())
    except OSError:
        return []
    return [entry for entry in entries if entry.name.isdecimal() and (with_links or not entry.is_symlink())]


def _look_through(paths: RunPaths) -> list[tuple[int, SnapshotInfo | str]]:
    """Every folder of a snapshot by its number of steps, the newest first: what is there, or what is wrong with it."""
    folders = sorted(_folders(paths, with_links=True), key=lambda folder: -int(folder.name))
    return [(int(folder.name), _read(folder)) for folder in folders]


def _read(folder: Path) -> SnapshotInfo | str:
    """The snapshot, or what is wrong with it by its manifest and sizes; "" for the beginning of one."""
    if folder.is_symlink():
        return "its folder is a link"
    manifest = read_json(folder / MANIFEST)
    if manifest is None:
        return f"{MANIFEST} cannot be read" if (folder / MANIFEST).exists() else ""
    num_steps, world_size = whole(manifest, "num_steps"), whole(manifest, "world_size")
    parts = mapping(manifest, "parts")
    if num_steps is None or num_steps < 0 or num_steps != int(folder.name) or not world_size or not parts:
        return f"{MANIFEST} is not that of this snapshot"
    if {SHARED_PART, *(part_of(rank) for rank in range(min(world_size, 1_000_000)))} - parts.keys():
        return f"{MANIFEST} does not name the part of every rank"
    if any(name != Path(name).name or name.startswith(".") for name in parts):
        return f"{MANIFEST} leads out of the folder"
    wrong = next((said for name, part in parts.items() if (said := _misfit(folder / name, part))), "")
    return wrong or SnapshotInfo(folder=folder, num_steps=num_steps, world_size=world_size, manifest=manifest)


def _misfit(path: Path, part: object) -> str:
    """What is wrong with the size of a part, or ""."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # a name with a NUL is none
        return f"{path.name} cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    wanted = whole(part, "bytes") if isinstance(part, dict) else None
    return "" if wanted == size else f"{path.name} has {size} bytes, not the {wanted} that were written"
