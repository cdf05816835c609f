"""Keep the columns of long runs from one opening of the screen to the next, in the user's cache folder.

One file per run, replaced by rename, readable by its owner only; whatever is wrong with one, it is as if there was
none. A file is a header of JSON and the columns behind it:

    8 bytes    magic and version
    4 bytes    length of the header
    4 bytes    CRC-32 of the header and the columns
    header     run (its folder), format, spec (a digest), lengths of the columns, tails, packed curves
    columns    float64 of this machine, one after another
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
import struct
import sys
import tempfile
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from engine.core.curves import RunCurves
from engine.core.packed_curves import pack_curves, packed_format, unpack_curves
from engine.tail import TailState

__all__ = ["MAX_FOLDER_BYTES", "CurveCache"]

MAX_FOLDER_BYTES = 1 << 30
"""The oldest files go when there is more."""

_MAGIC = b"ddptuiC1"
_FRONT = struct.Struct("<8sII")
_MAX_HEADER_BYTES = 1 << 28


class CurveCache:
    """The cache file of one run.

    Args:
        folder: of all cache files; may not exist yet.
        run: the run's folder.
        spec: its ``run.json``: another one is another run.
    """

    def __init__(self, folder: Path, run: Path, spec: Mapping[str, Any]) -> None:
        self._folder = folder
        self._run = str(run.resolve())
        self._spec = hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()
        self.path = folder / f"curves-{hashlib.sha256(self._run.encode()).hexdigest()[:32]}"

    def read(self) -> tuple[RunCurves, dict[str, TailState]] | None:
        """Return the curves and, by path inside the run's folder, where each file was; None where there is nothing."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(fd, "rb") as file:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                    return None
                found = self._read(file, status.st_size)
            os.utime(self.path)  # the oldest are those that nobody opened for longest
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, MemoryError):
            return None  # a cache: whatever is wrong with it, the files themselves say all
        return found

    def _read(self, file: BinaryIO, size: int) -> tuple[RunCurves, dict[str, TailState]]:
        magic, length, crc = _FRONT.unpack(file.read(_FRONT.size))
        if magic != _MAGIC or length > min(_MAX_HEADER_BYTES, size):
            raise ValueError("not a cache file of this version")
        content = file.read(length)
        header = json.loads(content)
        if any(header[key] != value for key, value in self._identity().items()):
            raise ValueError("of another run or version")
        lengths = [int(count) for count in header["lengths"]]
        if min(lengths, default=0) < 0 or size != _FRONT.size + length + 8 * sum(lengths):
            raise ValueError("torn")
        found = zlib.crc32(content)
        columns = []
        for count in lengths:
            column = array("d")
            column.fromfile(file, count)
            found = zlib.crc32(column, found)
            columns.append(column)
        if found != crc:
            raise ValueError("damaged")
        tails = {
            path: TailState(int(offset), base64.b64decode(anchor), base64.b64decode(half))
            for path, (offset, anchor, half) in header["tails"].items()
        }
        return unpack_curves(header["curves"], columns), tails

    def write(self, curves: RunCurves, tails: Mapping[str, TailState]) -> bool:
        """Replace the file; return whether that was possible."""
        try:
            packed, columns = pack_curves(curves)
            header = json.dumps(
                {
                    **self._identity(),
                    "lengths": [len(column) for column in columns],
                    "tails": {
                        path: (
                            tail.offset,
                            base64.b64encode(tail.anchor).decode(),
                            base64.b64encode(tail.half).decode(),
                        )
                        for path, tail in tails.items()
                    },
                    "curves": packed,
                }
            ).encode()
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._replace(header, columns)
        except (OSError, TypeError, ValueError, RecursionError):
            return False  # a full disk, a folder that is not ours, a line too deep: then it is read anew next time
        self._make_room()
        return True

    def _replace(self, header: bytes, columns: list[array[float]]) -> None:
        crc = zlib.crc32(header)
        for column in columns:
            crc = zlib.crc32(column, crc)
        fd, temporary = tempfile.mkstemp(prefix=f"{self.path.name}.", dir=self._folder)  # its mode is 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(_FRONT.pack(_MAGIC, len(header), crc) + header)
                for column in columns:
                    file.write(column)
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise

    def _identity(self) -> dict[str, str]:
        return {
            "run": self._run,
            "spec": self._spec,
            "format": f"{packed_format()} {sys.byteorder} {array('d').itemsize}",
        }

    def _make_room(self) -> None:
        """Remove the oldest files above the bound, this one last."""
        with contextlib.suppress(OSError):
            with os.scandir(self._folder) as entries:
                found = [(entry.path, entry.stat()) for entry in entries if entry.name.startswith("curves-")]
            total = sum(status.st_size for _, status in found)
            found.sort(key=lambda item: (item[0] == str(self.path), item[1].st_mtime_ns))
            for path, status in found:
                if total <= MAX_FOLDER_BYTES:
                    return
                os.unlink(path)
                total -= status.st_size
