"""Gives every Python process of a drill a wall clock that can be moved: ``time.time`` and ``time.time_ns`` only.

Put first on PYTHONPATH by ``tests.drills.scene``. The kernel's clock, and with it the times of files, stays as it is:
a drill must not set the clock of a machine that others work on.
"""

import contextlib
import mmap
import os
import struct
import time

_REAL, _REAL_NS = time.time, time.time_ns


def _open() -> mmap.mmap | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        fd = os.open(os.environ["DDPTUI_DRILL_CLOCK"], os.O_RDONLY | os.O_CLOEXEC)
        try:
            return mmap.mmap(fd, 8, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
    return None


_offset = _open()
if _offset is not None:
    time.time = lambda: _REAL() + struct.unpack_from("<d", _offset)[0]
    time.time_ns = lambda: _REAL_NS() + int(struct.unpack_from("<d", _offset)[0] * 1e9)
