"""The stack and the state of processes that do not move, without changing anything about them.

First our own handler is asked (``ddptui.start`` has registered faulthandler on SIGRTMIN+3): it needs no permission and
answers also where the main thread is in C. It cannot answer in a process that is stopped; there, and where it stays
silent, py-spy reads the memory of the process, where it is installed and the system allows it. A stopped process is not
continued for this: what it would do next is not ours to decide.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

__all__ = ["ANSWER_S", "ProcessLook", "Stack", "look_at", "take_stacks"]

ANSWER_S = 2.0
"""How long a rank may take to answer the stack signal."""
PY_SPY_S = 3.0
_SETTLED_S = 0.3
"""An answer that has not grown for so long is whole: it has no end mark."""
_KILL_WAIT_S = 0.5
_MAX_BYTES = 256 * 1024

_STATES = {
    psutil.STATUS_STOPPED: "stopped",
    psutil.STATUS_TRACING_STOP: "traced",
    psutil.STATUS_DISK_SLEEP: "disk wait",
    psutil.STATUS_ZOMBIE: "zombie",
    psutil.STATUS_DEAD: "gone",
    psutil.STATUS_IDLE: "sleeping",
}


@dataclass(frozen=True, kw_only=True)
class ProcessLook:
    """What the system says of a process: its state in a word, and what it waits for in the kernel ("" = not known)."""

    state: str
    wchan: str = ""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A printed stack.

    Attributes:
        text: "" where there is none.
        source: faulthandler or py-spy; "" where there is none.
        note: one line, why there is none or not the ordinary one.
    """

    text: str = ""
    source: str = ""
    note: str = ""


def look_at(pid: int) -> ProcessLook:
    """Return the state of a process."""
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return ProcessLook(state="gone")
    except psutil.Error:
        return ProcessLook(state="unknown")
    wchan = ""
    with contextlib.suppress(OSError):  # not on macOS, and "0" where the kernel does not tell
        wchan = Path(f"/proc/{pid}/wchan").read_text().strip()
    return ProcessLook(state=_STATES.get(status, str(status)), wchan="" if wchan == "0" else wchan)


def take_stacks(
    pids: Mapping[int, int],
    files: Mapping[int, Path],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[int, Stack]:
    """Return the stacks of living ranks, all asked at once; it takes five seconds at most.

    Args:
        pids: rank -> pid.
        files: rank -> the file that its handler writes to.
        clock: monotonic seconds.
        sleep: waits.
    """
    notes: dict[int, str] = {}
    asked: dict[int, int] = {}
    for rank, pid in pids.items():
        note = _why_not_ask(pid)
        begin = _size(files[rank])
        if not note and not _send(pid):
            note = "its process has just ended"
        if note:
            notes[rank] = note
        else:
            asked[rank] = begin
    answers = _await_answers(asked, files, clock, sleep)
    for rank in asked:
        if not answers[rank]:
            notes[rank] = f"did not answer the stack signal within {ANSWER_S:g} s"
    found = {rank: Stack(text=text, source="faulthandler") for rank, text in answers.items() if text}
    return found | _ask_py_spy({rank: pids[rank] for rank in notes}, notes, clock, sleep)


def _why_not_ask(pid: int) -> str:
    state = look_at(pid).state
    if state in ("stopped", "traced"):
        return f"is {state}, so it cannot answer the stack signal"
    if state in ("gone", "zombie"):
        return "its process has ended"
    # Without a handler the signal would end the process: one that has just been started, or another program.
    return "" if _catches(pid, _stack_signal()) else "does not listen to the stack signal (yet)"


def _stack_signal() -> int:
    return signal.SIGRTMIN + 3 if hasattr(signal, "SIGRTMIN") else 0


def _catches(pid: int, number: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return number > 0 and bool(int(caught, 16) >> (number - 1) & 1)


def _send(pid: int) -> bool:
    try:
        os.kill(pid, _stack_signal())
    except OSError:
        return False
    return True


def _await_answers(
    asked: Mapping[int, int],
    files: Mapping[int, Path],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> dict[int, str]:
    deadline_s = clock() + ANSWER_S
    sizes = dict(asked)
    grown_s = dict.fromkeys(asked, clock())
    while clock() < deadline_s:
        for rank in asked:
            size = _size(files[rank])
            if size != sizes[rank]:
                sizes[rank], grown_s[rank] = size, clock()
        if all(sizes[rank] > begin and clock() - grown_s[rank] >= _SETTLED_S for rank, begin in asked.items()):
            break
        sleep(0.02)
    return {rank: _read_from(files[rank], begin) for rank, begin in asked.items()}


def _ask_py_spy(
    pids: Mapping[int, int], notes: Mapping[int, str], clock: Callable[[], float], sleep: Callable[[float], None]
) -> dict[int, Stack]:
    program = _find_py_spy()
    alive = {rank: pid for rank, pid in pids.items() if look_at(pid).state not in ("gone", "zombie")}
    if program is None or not alive:
        why = "; py-spy is not installed" if alive else ""
        return {rank: Stack(note=note + why) for rank, note in notes.items()}
    started = {
        rank: _start([program, "dump", "--nonblocking", "--full-filenames", "--pid", str(pid)])
        for rank, pid in alive.items()
    }
    deadline_s = clock() + PY_SPY_S
    while clock() < deadline_s and any(p is not None and p[0].poll() is None for p in started.values()):
        sleep(0.02)
    return {rank: _py_spy_stack(started.get(rank), note) for rank, note in notes.items()}


def _py_spy_stack(asked: tuple[subprocess.Popen[bytes], IO[bytes]] | None, note: str) -> Stack:
    if asked is None:
        return Stack(note=note)
    process, output = asked
    with output:
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may hang on the very disk that the rank hangs on
                process.wait(_KILL_WAIT_S)
            return Stack(note=f"{note}; py-spy did not answer either")
        output.seek(0)
        text = output.read(_MAX_BYTES).decode("utf-8", "replace")
    if process.returncode == 0 and "Thread" in text:
        return Stack(text=text, source="py-spy", note=note)
    why = next((line for line in text.splitlines() if line.strip()), f"exit code {process.returncode}")
    return Stack(note=f"{note}; py-spy: {why.removeprefix('Error: ')}")


def _find_py_spy() -> str | None:
    beside = Path(sys.executable).parent / "py-spy"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy")


def _start(argv: list[str]) -> tuple[subprocess.Popen[bytes], IO[bytes]] | None:
    """Its output goes to a file, for a pipe would fill up."""
    try:
        output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read after the process has ended
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    except OSError:
        return None
    return process, output


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_from(path: Path, begin: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(begin)
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
