"""Run a program of the screen in a real pseudo-terminal: what it writes, how fast, at what cost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Cost", "PtyScreen"]

_ESCAPES = re.compile(
    rb"\x1b\[[0-9;?<>=$]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[=>78cDEHMNOZ]"
)
_ASKS_FOR_SYNC = b"\x1b[?2026$p"
_HAS_SYNC = b"\x1b[?2026;2$y"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the program cost over a while: bytes written to the terminal and processor time, both per second."""

    seconds: float
    bytes_per_s: float
    cpu_ratio: float


class PtyScreen:
    """A program with a terminal of its own.

    Args:
        argv: the program.
        columns, rows: size of the terminal.
        env: beside ours; ``TERM`` is xterm-256color with true colours unless it says otherwise. None takes a name out.
        has_sync: whether the terminal answers that it has synchronized output.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 120,
        rows: int = 40,
        env: Mapping[str, str | None] | None = None,
        has_sync: bool = True,
    ) -> None:
        self.written = bytearray()
        self._has_sync = has_sync
        self.started_s = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
            full = {**own, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
            kept = {name: value for name, value in full.items() if value is not None}
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            try:
                os.execvpe(argv[0], list(argv), kept)
            finally:
                os._exit(127)
        self.exit_status: int | None = None

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal, as a person who drags its corner."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def read(self, seconds: float) -> bytes:
        """Take what the program writes during so many seconds; less where it ends before."""
        deadline = time.perf_counter() + seconds
        begin = len(self.written)
        while (left := deadline - time.perf_counter()) > 0:
            if not self._read_once(min(left, 0.05)):
                break
        return bytes(self.written[begin:])

    def read_until(self, words: str, timeout_s: float) -> float | None:
        """Read until the words were written; return the seconds since the start, or None where they were not."""
        deadline = time.perf_counter() + timeout_s
        wanted = words.encode()
        while wanted not in self.text_bytes():
            if time.perf_counter() > deadline or not self._read_once(0.02):
                return None
        return time.perf_counter() - self.started_s

    def text_bytes(self) -> bytes:
        """All that was written, without escape sequences."""
        return _ESCAPES.sub(b"", bytes(self.written))

    def measure(self, seconds: float) -> Cost:
        """Read for a while and say what it cost."""
        cpu_s, start = self._cpu_s(), time.perf_counter()
        num_bytes = len(self.read(seconds))
        passed = time.perf_counter() - start
        return Cost(seconds=passed, bytes_per_s=num_bytes / passed, cpu_ratio=(self._cpu_s() - cpu_s) / passed)

    def rss_mib(self) -> float:
        """Resident memory."""
        with open(f"/proc/{self.pid}/status") as file:
            line = next(line for line in file if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def hang_up(self) -> None:
        """Close the terminal, as a dropped connection does."""
        os.close(self._fd)
        self._fd = -1

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end; return the wait status, or None where it goes on."""
        deadline = time.perf_counter() + timeout_s
        while self.exit_status is None and time.perf_counter() < deadline:
            if self._fd >= 0:
                self._read_once(0.01)
            else:
                time.sleep(0.01)
            self._reap()
        return self.exit_status

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            _, self.exit_status = os.waitpid(self.pid, 0)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _reap(self) -> None:
        found, status = os.waitpid(self.pid, os.WNOHANG)
        if found:
            self.exit_status = status

    def _read_once(self, timeout_s: float) -> bool:
        """Read what is there; False once nothing can come any more."""
        ready, _, _ = select.select([self._fd], [], [], timeout_s)
        if not ready:
            return True
        try:
            chunk = os.read(self._fd, 65536)
        except OSError:
            return False
        self.written += chunk
        if self._has_sync and _ASKS_FOR_SYNC in chunk:
            os.write(self._fd, _HAS_SYNC)
        return bool(chunk)

    def _cpu_s(self) -> float:
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
