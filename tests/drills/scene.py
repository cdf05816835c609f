"""One run in a folder of its own, with every process that belongs to it known by a mark in its environment."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.pty_screen import PtyScreen
from engine import control, wake
from engine.core.errors import DdptuiError
from engine.overview import RunView, read_run
from engine.processes import is_alive
from engine.store import ResultsPaths
from tests.drills.cases import EXPERIMENT, plan_run
from tests.drills.life import children, is_module

__all__ = ["MARK", "Scene", "ddptui"]

MARK = "DDPTUI_DRILL"
"""The variable that all processes of a scene have in their environment; its value is the scene's folder."""
CLOCK_FILE = "DDPTUI_DRILL_CLOCK"
_PATCHES = Path(__file__).parent / "patched"
_START_S = 120.0


class Scene:
    """A scratch folder with an experiment file, and the processes that come of it.

    Args:
        folder: made anew.
        toml: the experiment file, of one run.
        on_tmpfs: whether the results folder is a small memory file system of its own.
        has_clock: whether the clock of every Python process of the scene can be moved with ``jump``.
    """

    def __init__(self, folder: Path, toml: str, *, on_tmpfs: bool = False, has_clock: bool = False) -> None:
        self.folder = folder.resolve()
        self.root = self.folder / "results"
        self.is_tmpfs = on_tmpfs
        self.clock_file = self.folder / "clock"
        self.offset_s = 0.0
        self.screen: PtyScreen | None = None
        self.commands: list[str] = []
        self._is_closing = threading.Event()
        self._reader = threading.Thread()
        self._make(toml, has_clock=has_clock)
        self.spec, self._plan = plan_run(self.folder / "experiments.toml")
        self.results = ResultsPaths(self.root)
        self.paths = self.results.run(EXPERIMENT, self.spec.id)
        self.world_size = self.spec.config.world_size if isinstance(self.spec.config.world_size, int) else 1

    def _make(self, toml: str, *, has_clock: bool) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.root.mkdir(parents=True)
        (self.folder / "experiments.toml").write_text(toml)
        os.environ[MARK] = str(self.folder)
        os.environ["XDG_CACHE_HOME"] = str(self.folder / "cache")
        os.environ.pop(CLOCK_FILE, None)
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(_PATCHES)]
        if has_clock:
            self.clock_file.write_bytes(struct.pack("<d", 0.0))
            os.environ[CLOCK_FILE] = str(self.clock_file)
            paths.insert(0, str(_PATCHES))
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        if not paths:
            del os.environ["PYTHONPATH"]
        if self.is_tmpfs:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "drill", str(self.root)], check=True)

    def enqueue(self) -> None:
        """Ask for the run on a thread beside this one, as ``ddptui run --detach`` does once its check is through."""
        threading.Thread(target=self._enqueue, daemon=True).start()

    def _enqueue(self) -> None:
        with contextlib.suppress(DdptuiError):  # what was asked for is seen in the folder, or asked for again
            control.enqueue(self.root, experiment=EXPERIMENT, plan=self._plan, runs=[self.spec], timeout_s=_START_S)

    def open_client(self, *, has_screen: bool) -> None:
        """Run the experiment file from a terminal of its own, with the screen or line by line."""
        words = [] if has_screen else ["--headless"]
        argv = [sys.executable, "-m", "tui.cli", *words, "run", str(self.folder / "experiments.toml")]
        self.screen = PtyScreen([*argv, "--results", str(self.root)], env={"PYTHONSAFEPATH": "1"})
        self._reader = threading.Thread(target=self._read_terminal, args=(self.screen,), daemon=True)
        self._reader.start()

    def hang_up(self) -> bool:
        """Close the terminal; return whether there was a program in it."""
        if self.screen is None or self.screen.exit_status is not None:
            return False
        self._is_closing.set()
        self._reader.join()
        self.screen.hang_up()
        return True

    def _read_terminal(self, screen: PtyScreen) -> None:
        """Take what the program writes: a full terminal would block it."""
        while not self._is_closing.is_set() and screen.exit_status is None:
            with contextlib.suppress(OSError):
                screen.wait(0.05)

    def view(self) -> RunView:
        """What a listing says of the run now, by the scene's clock."""
        return read_run(self.paths, now_s=time.time() + self.offset_s)

    def supervisor_pid(self) -> int | None:
        """The supervisor that owns the folder, or is about to."""
        holder = wake.lock_holder(self.results)
        if holder is not None and is_alive(holder):
            return holder.pid
        starters = [os.getpid()] + ([self.screen.pid] if self.screen is not None else [])
        started = (child for starter in starters for child in children(starter))
        return next((pid for pid in started if is_module(pid, wake.SUPERVISOR_MODULE, str(self.root))), None)

    def is_supervised(self) -> bool:
        """Whether a supervisor owns the folder now."""
        return wake.is_supervisor_alive(self.root) is True

    def processes(self) -> list[psutil.Process]:
        """Every living process of the scene; zombies are not."""
        found = []
        wanted = f"{MARK}={self.folder}".encode()
        for pid in psutil.pids():
            try:
                if wanted not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    continue
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found

    def jump(self, seconds: float) -> None:
        """Move the clock of every process of the scene."""
        self.offset_s += seconds
        with self.clock_file.open("r+b") as file:  # in place: who looks at a mapped file that is cut gets SIGBUS
            file.write(struct.pack("<d", self.offset_s))

    def close(self, *, keep: bool) -> None:
        """End what is left, and remove the folder unless it is to be looked at."""
        self._is_closing.set()
        if self.screen is not None:
            if self._reader.is_alive():
                self._reader.join()
            with contextlib.suppress(OSError):
                self.screen.kill()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        if self.is_tmpfs:
            if keep:
                shutil.copytree(self.root, self.folder / "results-copy", symlinks=True)
            subprocess.run(["umount", "-l", str(self.root)], check=False)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def ddptui(scene: Scene, words: Sequence[str], *, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would, on the scene's folder."""
    scene.commands.append(" ".join(words))
    argv = [sys.executable, "-m", "tui.cli", *words, "--results", str(scene.root)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=Path.cwd())
