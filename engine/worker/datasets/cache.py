"""Datasets made once and memory-mapped by every rank: ``$XDG_CACHE_HOME/ddptui/datasets/<name>-<digest>/*.npy``.

The first rank that comes makes the set under a file lock, in a folder beside, and renames it; the others wait and map
it. So a machine holds one copy in its page cache, whatever the number of ranks. Where the cache cannot be used (not
writable, full, no locks) the set is made in this process's memory, with a message: slower to start, never a failure.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.store import read_json, write_json

__all__ = ["Cached", "Create", "cache_root", "open_cached"]

Create = Callable[[str, tuple[int, ...], DTypeLike], NDArray[Any]]
"""``create(name, shape, dtype)`` gives an array to fill: of a new file, or of memory."""

_FORMAT = 1
_MANIFEST = "manifest.json"
_PROBE_BYTES = 64 * 1024
_NUM_PROBES = 16


@dataclass(frozen=True, kw_only=True)
class Cached:
    """The arrays by name, what their maker returned about them, and what went otherwise than wished."""

    arrays: dict[str, NDArray[Any]]
    about: dict[str, Any]
    messages: tuple[str, ...] = ()


def cache_root() -> Path:
    """Return where datasets are cached: in ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "ddptui" / "datasets"


def open_cached(name: str, key: dict[str, Any], make: Callable[[Create], dict[str, Any]]) -> Cached:
    """Return the arrays that ``make`` makes, from the cache where they are there whole.

    Args:
        name: of the dataset, for people who look into the folder.
        key: everything that the content depends on, the version of the code that makes it included.
        make: creates and fills its arrays and returns what else is to be remembered, as JSON values. Its errors pass
            through, and nothing is left in the cache.
    """
    digest = hashlib.sha256(json.dumps({"format": _FORMAT, "name": name, **key}, sort_keys=True).encode()).hexdigest()
    folder = cache_root() / f"{name}-{digest[:16]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            found = _read(folder)
            if found is None:
                _write(folder, make)
                found = _read(folder)
    except OSError as error:
        # The maker reads the user's files too; if theirs is the error, it comes again here, with no cache in the way.
        return _in_memory(make, f"dataset cache not used, data is made in memory: {error}")
    if found is None:
        return _in_memory(make, f"dataset cache not used, data is made in memory: {folder} cannot be read back")
    return found


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "ab") as file:  # never removed: a lock file that is unlinked lets two in
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _in_memory(make: Callable[[Create], dict[str, Any]], message: str) -> Cached:
    arrays: dict[str, NDArray[Any]] = {}

    def create(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        arrays[name] = np.empty(shape, dtype)
        return arrays[name]

    about = make(create)
    return Cached(arrays=arrays, about=about, messages=(message,))


def _write(folder: Path, make: Callable[[Create], dict[str, Any]]) -> None:
    """Make the set beside ``folder`` and rename it there; what was there, being no good, goes."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    arrays: dict[str, np.memmap[Any, Any]] = {}

    def create(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        arrays[name] = _create_file(temporary / f"{name}.npy", shape, np.dtype(dtype))
        return arrays[name]

    try:
        about = make(create)
        for array in arrays.values():
            array.flush()
        probes = {name: _probe(array) for name, array in arrays.items()}
        write_json(temporary / _MANIFEST, {"format": _FORMAT, "about": about, "probes": probes})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _create_file(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.memmap[Any, Any]:
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # Writing to a mapped page that a full disk cannot back kills the process (SIGBUS); this raises instead.
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    elif shutil.disk_usage(path.parent).free < num_bytes:  # macOS
        raise OSError(f"{num_bytes} bytes do not fit on the disk of {path.parent}")
    return array


def _read(folder: Path) -> Cached | None:
    """Return the set if it is there and whole, else None."""
    manifest = read_json(folder / _MANIFEST)
    if manifest is None or manifest.get("format") != _FORMAT:
        return None
    arrays: dict[str, NDArray[Any]] = {}
    try:
        for name, probe in manifest["probes"].items():
            # Copy on write ("c"): pages are shared until somebody writes, and torch takes only writable arrays quietly.
            array = np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
            if _probe(array) != probe:
                return None
            arrays[name] = array
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return Cached(arrays=arrays, about=manifest["about"])


def _probe(array: NDArray[Any]) -> str:
    """Digest shape, type and 16 blocks spread over the content: finds holes and foreign files, costs a millisecond."""
    content = array.reshape(-1).view(np.uint8)
    last = max(0, content.size - _PROBE_BYTES)
    crc = 0
    for start in sorted({last * block // (_NUM_PROBES - 1) for block in range(_NUM_PROBES)}):
        crc = zlib.crc32(content[start : start + _PROBE_BYTES].data, crc)
    return f"{array.dtype.str}{list(array.shape)}:{crc:08x}"
