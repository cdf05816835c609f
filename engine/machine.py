"""What this machine is and who else uses it: read once for each node of an attempt."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

__all__ = [
    "allowed_cores",
    "count_memory_kills",
    "describe_git",
    "describe_machine",
    "find_other_runs",
]

_GIT_TIMEOUT_S = 5.0


def allowed_cores() -> list[int]:
    """Return the cores this process may use, one of each physical core first: siblings share their arithmetic units."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    cores = sorted(os.sched_getaffinity(0))
    return sorted(cores, key=lambda core: (_place_among_siblings(core), core))


def describe_machine() -> dict[str, Any]:
    """Return host, os, python, cpu_model, num_cores, memory_total_bytes and load_1m_at_start."""
    return {
        "host": os.uname().nodename,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpu_model": _cpu_model(),
        "num_cores": os.cpu_count(),
        "memory_total_bytes": psutil.virtual_memory().total,
        "load_1m_at_start": os.getloadavg()[0],
    }


def describe_git(folder: Path) -> dict[str, Any]:
    """Return git_commit and git_dirty of the checkout that holds ``folder``; None each where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    changes = None if commit is None else _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": None if changes is None else bool(changes)}


def find_other_runs(run_dir: str) -> list[str]:
    """Return the names of other ddptui runs that have processes on this machine, sorted.

    Args:
        run_dir: the own run's folder.
    """
    names = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            name = environment.get("DDPTUI_RUN_ID")
            if name and "DDPTUI_ATTEMPT" in environment and environment.get("DDPTUI_RUN_DIR") != run_dir:
                names.add(name)
    return sorted(names)


def count_memory_kills() -> int | None:
    """Return how often the kernel has killed for memory in our control group (or the machine), None where unknown."""
    for path in (*_memory_group_files(), Path("/proc/vmstat")):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _memory_group_files() -> Iterable[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield Path(f"/sys/fs/cgroup{group}/memory.events")
        elif "memory" in controllers.split(","):
            yield Path(f"/sys/fs/cgroup/memory{group}/memory.oom_control")


def _place_among_siblings(core: int) -> int:
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
        return sorted(_parse_list(text)).index(core)
    except (OSError, ValueError):
        return 0


def _parse_list(text: str) -> list[int]:
    """Read the kernel's form ``0,4-6``."""
    cores: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1)
    return cores


def _cpu_model() -> str | None:
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or None


def _git(folder: Path, *arguments: str) -> str | None:
    return _output(["git", "-C", str(folder), *arguments])


def _output(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
