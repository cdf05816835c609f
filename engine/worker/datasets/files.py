"""The files of a data set: where they are, whether they changed, and how they come there, once for all ranks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import InputError, Problem
from engine.worker.datasets.cache import open_cached
from engine.worker.own_code import describe_error

__all__ = ["Source", "content_of", "fetch", "problem"]

DEFAULT_ROOT = "data"
FETCH_TIMEOUT_S = 30.0
"""Seconds without a byte after which a download is given up."""
_READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a run's data set is looked for.

    Attributes:
        name: of the data set, as the user typed it.
        root: the folder, absolute.
        may_fetch: whether this process may write there: the one that checks a plan, never a rank.
    """

    name: str
    root: Path
    may_fetch: bool = False

    @classmethod
    def of(cls, name: str, data_root: str | None, project_dir: str, *, may_fetch: bool = False) -> Source:
        """``data_root`` is seen from the folder of the experiment file."""
        given = Path(data_root or DEFAULT_ROOT).expanduser()
        return cls(name=name, root=Path(os.path.abspath(Path(project_dir or ".") / given)), may_fetch=may_fetch)


def content_of(source: Source, files: Iterable[Path]) -> str:
    """Return a digest of the names below the root and the bytes of ``files``.

    The bytes are read when a name, length or time of change is new on this machine, and never again.
    """
    listed = sorted(files)
    stats = [(path, path.stat()) for path in listed]
    names = [[str(path.relative_to(source.root)), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

    def digest(_: object) -> dict[str, str]:
        total = hashlib.sha256()
        for path, stat in stats:
            total.update(f"{path.relative_to(source.root)}\0{stat.st_size}\0".encode())
            with open(path, "rb") as file:
                while block := file.read(_READ_BYTES):
                    total.update(block)
        return {"content": total.hexdigest()}

    cached = open_cached(f"{source.name}-files", {"root": str(source.root), "files": names}, digest)
    return str(cached.about["content"])


def fetch(source: Source, download: Callable[[], object]) -> str:
    """Let torchvision unpack or download the data set, one process at a time; return "" or why it failed."""
    try:
        with _locked(source.root), _impatient():
            download()
    except Exception as error:  # noqa: BLE001 (whatever came in the way is part of the line that the user reads)
        return describe_error(error)
    return ""


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".ddptui.lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def problem(source: Source, message: str, *, key: str = "dataset") -> InputError:
    """The one line about a data set that cannot be used."""
    return InputError([Problem(key=key, message=f"{source.name}: {message}")])
