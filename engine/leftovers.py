"""Files that processes which were killed have left: folders of beats in memory, and files that were being replaced."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from engine.processes import list_tagged
from engine.store import ResultsPaths, beats_home, beats_prefix
from engine.tail import read_beat

__all__ = ["find_leftovers", "remove_leftover"]

OLD_S = 60.0
"""What was written more lately may still be in use."""

_HALF = re.compile(
    r"\.[\w.+=-]+\.(?:json|jsonl|sh|pt|csv|html|md|png|npy)\.[a-z0-9_]{8}"  # of a file that is replaced by rename
    r"|(?:rdzv|rank\d+)\.json\.\d+"
)
_BEAT = re.compile(r"rank\d+")


def find_leftovers(results: ResultsPaths, *, now_s: float | None = None) -> list[Path]:
    """Return the files and folders of this user that nobody uses any more, sorted.

    Args:
        results: the folder that is looked through; the folders of beats are those of all results folders.
        now_s: Unix seconds; the clock's where None.
    """
    now_s = time.time() if now_s is None else now_s
    environments = [environment for _, environment in list_tagged()]
    used = {environment.get("DDPTUI_BEATS") for environment in environments}
    living = {environment.get("DDPTUI_RUN_DIR") for environment in environments}
    beats = [folder for folder in _beat_folders() if str(folder) not in used and _is_still(folder, now_s)]
    halves = [path for path in _halves(results.root.resolve(), living) if _is_old_file(path, now_s)]
    return sorted(beats) + sorted(halves)


def remove_leftover(path: Path) -> None:
    """Remove one of ``find_leftovers``.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _beat_folders() -> Iterator[Path]:
    try:
        entries = list(os.scandir(beats_home()))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(beats_prefix()) and entry.is_dir(follow_symlinks=False) and _is_own(entry.stat()):
            yield Path(entry.path)


def _is_still(folder: Path, now_s: float) -> bool:
    """Whether nobody writes it any more: its ranks may be in a container, whose processes are not seen from here."""
    try:
        if now_s - folder.stat().st_mtime <= OLD_S:
            return False
        beats = [read_beat(path) for path in folder.iterdir() if _BEAT.fullmatch(path.name)]
    except OSError:
        return False
    newest_s = max((beat.mono_s for beat in beats if beat is not None), default=float("-inf"))
    return not time.monotonic() - newest_s <= OLD_S


def _halves(root: Path, living: set[str | None]) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if os.path.join(folder, name) not in living]
        for name in files:
            if _HALF.fullmatch(name):
                yield Path(folder, name)


def _is_old_file(path: Path, now_s: float) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and _is_own(found) and now_s - found.st_mtime > OLD_S


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.getuid()
