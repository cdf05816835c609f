"""What a printed stack says: faulthandler's and py-spy's, read into frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Frame", "find_collective", "innermost_own", "main_stack"]

MAX_FRAMES = 200


class Frame(NamedTuple):
    """One call: a file, a line in it, the function."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        """``loader.py:12 in __getitem__``."""
        return f"{self.file.rpartition('/')[2]}:{self.line} in {self.function}"


_FAULTHANDLER_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d{1,9}) in (?P<function>.+)')
_PY_SPY_FRAME = re.compile(r"    (?P<function>.+) \((?P<file>[^()]*):(?P<line>\d{1,9})\)")
_FAULTHANDLER_THREAD = re.compile(r"(Current thread|Thread) 0x[0-9a-f]+")
_PY_SPY_THREAD = re.compile(r'Thread (\d+|0x[0-9A-Fa-f]+) \([^)]*\)(: "(?P<name>.*)")?')

_INSTALLED = ("/site-packages/", "/dist-packages/", "/lib/python", "<frozen", "<string>")
_BUFFERS = "broadcast_coalesced"
"""How DistributedDataParallel sends its buffers around, below Python."""
_COLLECTIVE_FILES = ("torch/distributed/", "torch/futures/")
_COLLECTIVES = frozenset(
    {
        "all_reduce", "all_reduce_coalesced", "all_gather", "all_gather_into_tensor", "all_gather_object",
        "all_to_all", "all_to_all_single", "barrier", "monitored_barrier", "broadcast", "broadcast_object_list",
        "gather", "gather_object", "reduce", "reduce_scatter", "reduce_scatter_tensor", "scatter", "send", "recv",
        "isend", "irecv", "batch_isend_irecv", "init_process_group", "rpc_sync", "wait", "init_rpc", "shutdown",
    }
)  # fmt: skip


def main_stack(text: str) -> list[Frame]:
    """Return the frames of the main thread, innermost first; empty where the text shows none."""
    threads: list[tuple[str, list[Frame]]] = []
    for line in text.splitlines():
        named = _PY_SPY_THREAD.match(line)
        if named or _FAULTHANDLER_THREAD.match(line):
            threads.append(((named["name"] or "") if named else "", []))
            continue
        found = _FAULTHANDLER_FRAME.match(line) or _PY_SPY_FRAME.match(line)
        if found and threads and len(threads[-1][1]) < MAX_FRAMES:
            threads[-1][1].append(Frame(found["file"], int(found["line"]), found["function"]))
    if not threads:
        return []
    by_name = next((frames for name, frames in threads if name == "MainThread"), None)
    return by_name if by_name is not None else threads[-1][1]  # faulthandler prints the oldest thread last


def find_collective(frames: Sequence[Frame]) -> tuple[str, Frame | None] | None:
    """Return the collective that the innermost frames wait in and who called it; None where they do not.

    The caller is the first frame outside torch. What torch.distributed itself calls below Python (FSDP's hooks, the
    schedules of pipelines) can only be one, and is named by the function that calls it.
    """
    name = frames[0].function if frames and any(part in frames[0].file for part in _COLLECTIVE_FILES) else ""
    for frame in frames:
        is_torch = "/torch/" in frame.file
        if any(part in frame.file for part in _COLLECTIVE_FILES) and frame.function in _COLLECTIVES:
            name = frame.function
        elif is_torch and _BUFFERS in frame.function:
            name = "broadcast"
        elif not is_torch:
            return (name, frame) if name else None
    return (name, None) if name else None


def innermost_own(frames: Sequence[Frame]) -> Frame | None:
    """Return the innermost frame outside installed packages and Python's own library, else the innermost."""
    own = (frame for frame in frames if not any(part in frame.file for part in _INSTALLED))
    return next(own, frames[0] if frames else None)
