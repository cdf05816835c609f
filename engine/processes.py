"""Start processes that outlive us, know them again, and end them so that nothing is left.

A process is known by (host, boot id, pid, start time), never by pid alone: pids wrap within hours on a busy machine.
The processes of a run are found by the marks in the environment they were started with, never by name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from ddptui.privacy import FILE_MODE
from engine.store import RunPaths, make_folder

__all__ = [
    "MARKS",
    "Handle",
    "describe_reboot",
    "end_found",
    "end_tree",
    "environment_of",
    "find_tagged",
    "handle_of",
    "has_rebooted",
    "is_alive",
    "is_stopped",
    "kill",
    "list_tagged",
    "resume",
    "run_marks",
    "start_detached",
    "this_process",
]

MARKS = ("DDPTUI_RUN_ID", "DDPTUI_RUN_DIR", "DDPTUI_NODE_RANK")
"""The environment variables by which a node's processes are known."""

_KILL_WAIT_S = 5.0
"""How long a process that got SIGKILL may take to go: one in uninterruptible sleep never does."""

_detached: dict[int, subprocess.Popen[bytes]] = {}
"""Our own children, kept so that they can be reaped: a zombie holds its pid until then."""


@dataclass(frozen=True)
class Handle:
    """Which process, on which boot of which machine.

    Attributes:
        kind: "local"; other launchers will have their own.
        host: the host's name.
        boot_id: changes with every boot; "" where the system has none.
        pid: the process id.
        start_time: kernel ticks since boot (Linux) or Unix seconds (macOS); only ever compared for equality.
    """

    kind: str
    host: str
    boot_id: str
    pid: int
    start_time: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as status, handle and lock files hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Handle | None:
        """Return the handle in ``value``, or None where it holds none."""
        if not isinstance(value, dict):
            return None
        try:
            return cls(
                kind=str(value["kind"]),
                host=str(value["host"]),
                boot_id=str(value["boot_id"]),
                pid=int(value["pid"]),
                start_time=float(value["start_time"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


def this_process() -> Handle:
    """Return the handle of the calling process."""
    pid = os.getpid()
    return Handle("local", os.uname().nodename, _boot_id(), pid, _start_time(pid) or 0.0)


def handle_of(pid: int) -> Handle | None:
    """Return the handle of the process that has ``pid`` now, or None where there is none."""
    start_time = _start_time(pid)
    if start_time is None:
        return None
    return Handle("local", os.uname().nodename, _boot_id(), pid, start_time)


def is_alive(handle: Handle) -> bool | None:
    """Whether the very process of ``handle`` runs; None where that cannot be known from here (another host).

    A zombie is dead; so is everything of an earlier boot.
    """
    if handle.host != os.uname().nodename:
        return None
    if handle.boot_id != _boot_id():
        return False
    _reap(handle.pid)
    return _start_time(handle.pid) == handle.start_time and not _is_zombie(handle.pid)


def has_rebooted(handle: Handle) -> bool:
    """Whether this machine was started anew since the process of ``handle`` ran; false for those of other machines."""
    return handle.host == os.uname().nodename and handle.boot_id != _boot_id()


def is_stopped(handle: Handle) -> bool:
    """Whether the very process of ``handle`` is alive here and stopped (SIGSTOP, a debugger): it does nothing then."""
    try:
        status = psutil.Process(handle.pid).status() if is_alive(handle) else ""
    except psutil.Error:
        return False
    return status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def describe_reboot() -> str:
    """Why a run of an earlier boot is gone, in one line."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(psutil.boot_time()))
    return f"the machine was restarted at {when} while it ran"


def start_detached(
    argv: list[str], *, env: Mapping[str, str], cwd: Path, log: Path, held: Collection[signal.Signals] = ()
) -> int:
    """Start ``argv`` in a session of its own, without a terminal; return its pid.

    Args:
        argv: program and arguments.
        env: the whole environment.
        cwd: where it runs.
        log: gets its stdout and stderr, appended; made with its folder, readable by its owner only.
        held: signals that wait until the process lets them in: before it is ready they would end it without a word.

    Raises:
        OSError: the program cannot be started or the log cannot be opened.
    """
    make_folder(log.parent)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)  # a child starts with the mask of its parent
    try:
        process = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(fd)
    _detached[process.pid] = process
    return process.pid


def run_marks(paths: RunPaths, experiment: str, node_rank: int | None = None) -> dict[str, str]:
    """Return the environment variables by which the processes of a run are known.

    The folder is among them since the same run may stand in two results folders.

    Args:
        paths: the run's folder.
        experiment: the name of its experiment.
        node_rank: only the processes of this node; all nodes where None.
    """
    marks = {"DDPTUI_RUN_ID": f"{experiment}/{paths.run_id}", "DDPTUI_RUN_DIR": str(paths.root.resolve())}
    return marks if node_rank is None else {**marks, "DDPTUI_NODE_RANK": str(node_rank)}


def find_tagged(marks: Mapping[str, str]) -> list[psutil.Process]:
    """Return this user's living processes whose environment holds ``marks``, and the others of the sessions they lead.

    The calling process is never among them, nor are zombies.

    Args:
        marks: of ``run_marks``.

    Raises:
        ValueError: ``marks`` name no run.
    """
    if "DDPTUI_RUN_ID" not in marks:
        raise ValueError("without a run's name every process would match")
    mine: list[psutil.Process] = []
    others: list[psutil.Process] = []
    for process in _own_processes():
        is_tagged = marks.items() <= environment_of(process).items()
        (mine if is_tagged else others).append(process)
    sessions = {process.pid for process in mine if _session(process) == process.pid}
    return mine + [process for process in others if _session(process) in sessions]


def list_tagged() -> list[tuple[psutil.Process, dict[str, str]]]:
    """Return this user's living processes that carry the name of any run, each with its environment."""
    found = ((process, environment_of(process)) for process in _own_processes())
    return [(process, environment) for process, environment in found if "DDPTUI_RUN_ID" in environment]


def end_tree(
    marks: Mapping[str, str],
    *,
    first: Collection[int] = (),
    grace_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[int]:
    """End every process of a run: SIGTERM, grace, SIGKILL, and look whether they are gone.

    A stopped process is continued first: it could not act on SIGTERM.

    Args:
        marks: of ``run_marks``.
        first: pids that get SIGTERM (a node runner or agent passes it on); all tagged processes where empty.
        grace_s: seconds from SIGTERM to SIGKILL; 0 goes straight to SIGKILL.
        clock: monotonic seconds.
        sleep: waits.

    Returns:
        The pids that are still alive after SIGKILL.
    """
    return end_found(lambda: find_tagged(marks), first=first, grace_s=grace_s, clock=clock, sleep=sleep)


def end_found(
    find: Callable[[], list[psutil.Process]],
    *,
    first: Collection[int] = (),
    grace_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[int]:
    """As ``end_tree``, of what ``find`` returns: it is asked again and again, since a process may start others."""
    if grace_s > 0:
        processes = find()
        resume(processes)
        _send([p for p in processes if not first or p.pid in first], signal.SIGTERM)
        deadline = clock() + grace_s
        while clock() < deadline and find():
            sleep(0.1)
    deadline = clock() + _KILL_WAIT_S
    while (left := find()) and clock() < deadline:
        kill(left)
        sleep(0.05)
    return sorted(process.pid for process in left)


def resume(processes: Iterable[psutil.Process]) -> None:
    """Send SIGCONT to each process: a stopped one could not act on what comes next."""
    _send(processes, signal.SIGCONT)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to each process that is still the one that was found."""
    _send(processes, signal.SIGKILL)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # gone, or its pid belongs to somebody else by now
            process.send_signal(number)


def _is_foreign(process: psutil.Process) -> bool:
    """Another user's process or a zombie: its environment cannot be read and it is none of ours."""
    try:
        return process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _own_processes() -> Iterator[psutil.Process]:
    return (p for p in psutil.process_iter() if p.pid != os.getpid() and not _is_foreign(p))


def environment_of(process: psutil.Process) -> dict[str, str]:
    """Return the environment that a process was started with; empty where it cannot be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return -1


def _reap(pid: int) -> None:
    process = _detached.get(pid)
    if process is not None and process.poll() is not None:
        del _detached[pid]


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _start_time(pid: int) -> float | None:
    """Ticks since boot on Linux: unlike Unix seconds they do not move when the clock is set."""
    if sys.platform != "linux":
        try:
            return psutil.Process(pid).create_time()
        except psutil.Error:
            return None
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return float(content.rpartition(b")")[2].split()[19])  # the name before it may hold spaces and brackets


@cache
def _boot_id() -> str:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return str(int(psutil.boot_time()))
