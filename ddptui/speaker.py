"""``ddptui.log``: what a user's own program says of its training. Standard library only.

Never raises into the caller, never waits for another rank or the network, and does nothing outside a run of ddptui.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from ddptui.lines import LineWriter
from ddptui.tally import Later, Tally

__all__ = ["LINES_VARIABLE", "finish", "log"]

LINES_VARIABLE = "DDPTUI_LINES"
"""Holds the file of this rank's lines; ``ddptui.start`` sets it. Without it there is no run."""


def log(figures: Mapping[str, Any] | None = None, /, **more: Any) -> None:
    """Say figures of the training, once a step or whenever there is something to say.

    Does nothing in a program that ddptui did not start. Call it in every rank, from any thread, as often as you like:
    about four lines a second are written. Between two lines ``loss`` is averaged and ``samples`` are added; of any
    other figure the last value counts.

    Args:
        figures: for names that are no Python names: ``{"train/grad_norm": 0.3}``.
        more: ``loss``: of this step. ``samples``: of this rank since its last call; they are summed over the ranks.
            ``global_samples``: of all ranks since the last call, as rank 0 knows them (what other ranks say of them is
            not counted). ``step``, ``epoch``: from 0; without ``step`` every call with ``samples`` or ``loss`` is one.
            ``test_...``, ``val_...``, ``eval_...`` in a call without ``samples`` and ``loss``: an evaluation; the time
            since the last step was its, and counts for no step. Anything else that is a number gets its own chart.

    Values may be numbers or have ``.item()`` (torch, numpy). Of a tensor on a GPU the last one of a line is read as the
    line is written, which waits for the device about four times a second; the others are not looked at.
    """
    path = os.environ.get(LINES_VARIABLE)
    if not path:
        return
    try:
        _speaker_of(path).take({**(figures or {}), **more})
    except Exception:  # noqa: BLE001 (whatever went wrong with a figure: the training goes on)
        _num_lost[0] += 1


def finish(*, is_done: bool) -> None:
    """Write what was gathered.

    Args:
        is_done: the program came to its end by itself.
    """
    speaker = _speakers.get(os.getpid())
    if speaker is not None:
        speaker.finish(is_done=is_done)


_speakers: dict[int, _Speaker] = {}
_num_lost = [0]
_making = threading.RLock()


def _speaker_of(path: str) -> _Speaker:
    """The one of this process: a child that was forked has its own, and leaves what its parent gathered to it."""
    speaker = _speakers.get(os.getpid())
    if speaker is None:
        with _making:
            speaker = _speakers.get(os.getpid()) or _Speaker(path)
            _speakers.clear()
            _speakers[os.getpid()] = speaker
    return speaker


def _after_fork() -> None:
    global _making
    _making = threading.RLock()  # another thread of the parent may have held the old one
    _speakers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Speaker:
    """The lines of one process."""

    def __init__(self, path: str) -> None:
        self._rank = _number("RANK") or 0
        self._writer = LineWriter(path, rank=self._rank, attempt=_number("DDPTUI_ATTEMPT") or 0)
        self._tally: Tally | None = None
        # A signal's handler may come in the middle of a call of its own thread: it must not wait for itself.
        self._lock = threading.RLock()
        self._is_finished = False
        atexit.register(self.finish, is_done=False)

    def take(self, said: dict[str, Any]) -> None:
        """Take one call."""
        figures = {name: value for name, given in said.items() if (value := _read(name, given)) is not None}
        with self._lock:
            tally = self._tally = self._tally or Tally(self._writer.write, _describe_rank(), is_first=self._rank == 0)
            tally.take(figures, time.time(), time.monotonic())

    def finish(self, *, is_done: bool) -> None:
        """Write what was gathered, and that this was the end; may be called more than once."""
        with self._lock:
            if self._tally is None or self._is_finished:
                return
            self._is_finished = True
            if is_done:
                self._tally.finish(time.time(), _describe_usage())
            else:
                self._tally.flush(time.time())


def _read(name: str, value: Any) -> float | int | Later | None:
    """A number, or what will be one; None for anything else."""
    if isinstance(value, int | float):
        return value
    if not hasattr(value, "item"):
        return None
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if device != "cpu" and name not in ("samples", "global_samples", "step", "epoch"):
        return Later(value)
    number = value.item()
    return number if isinstance(number, int | float) else None


def _describe_rank() -> dict[str, Any]:
    """The fields of ``run_start``, as the program's own libraries tell them; none of them is loaded for it."""
    started_s = os.environ.get("DDPTUI_RANK_STARTED_S", "")
    world_size = _number("WORLD_SIZE") or 1
    has_cores = hasattr(os, "sched_getaffinity")
    return {
        "world_size": world_size,
        "num_devices": world_size,
        "local_rank": _number("LOCAL_RANK") or 0,
        "node_rank": _number("GROUP_RANK") or 0,
        "nodes": _number("GROUP_WORLD_SIZE") or 1,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "cores": sorted(os.sched_getaffinity(0)) if has_cores else [],
        "role": "rank",
        "strategy": "script",
        "description": f"script {os.path.basename(sys.argv[0])}",
        "num_steps": _number("DDPTUI_STEPS"),
        "num_epochs": _number("DDPTUI_EPOCHS"),
        "seed": _number("DDPTUI_SEED"),
        "startup_s": max(time.time() - float(started_s), 0.0) if started_s else None,
        **_describe_torch(sys.modules.get("torch")),
    }


def _describe_torch(torch: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    with contextlib.suppress(AttributeError, RuntimeError):  # another package of that name, or one half loaded
        distributed = torch.distributed
        has_group = distributed.is_available() and distributed.is_initialized()
        facts["torch"] = torch.__version__
        facts["num_threads"] = torch.get_num_threads()
        facts["backend"] = distributed.get_backend() if has_group else None
        facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_initialized() else "cpu"
    return facts


def _describe_usage() -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    started_s = os.environ.get("DDPTUI_RANK_STARTED_S", "")
    torch = sys.modules.get("torch")
    has_cuda = torch is not None and torch.cuda.is_initialized()
    return {
        "real_s": max(time.time() - float(started_s), 0.0) if started_s else None,
        "user_s": used.ru_utime,
        "system_s": used.ru_stime,
        "peak_memory_bytes": used.ru_maxrss * unit,
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated() if torch is not None and has_cuda else None,
    }


def _number(variable: str) -> int | None:
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() else None
