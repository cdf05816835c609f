"""Streams of a rank on its own log files: a print must not end a training because the disk is full.

Standard library only: this runs inside other people's processes.
"""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

__all__ = ["NO_ROOM", "take_streams"]

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Error numbers of a file for which there is no room (disk, quota, ``ulimit -f``, read-only)."""


class _PatientFile(io.FileIO):
    """Drops what finds no room; every other error is raised as always."""

    def write(self, data: Any) -> int:
        try:
            written = super().write(data)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return len(memoryview(data).cast("B"))
        return written or 0


def take_streams() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` anew on descriptors 1 and 2, with the encodings that they have."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        before = getattr(sys, name)
        if before is None:
            continue
        before.flush()
        stream = io.TextIOWrapper(
            io.BufferedWriter(_PatientFile(descriptor, "w", closefd=False)),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=before.line_buffering,
            write_through=before.write_through,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
