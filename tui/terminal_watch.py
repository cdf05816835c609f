"""Leave when the terminal has gone, also where no signal says so, and even where its dead line blocks the leaving."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

__all__ = ["end_soon", "watch_terminal"]

_GRACE_S = 2.0
_EXIT_HUNG_UP = 129
"""As a shell says of a program that SIGHUP ended."""


def watch_terminal(leave: Callable[[], None]) -> None:
    """Call ``leave`` on a thread of its own once the terminal on stderr has hung up; nothing where it is no terminal.

    The thread sleeps in the kernel: it costs nothing while the terminal is there.
    """
    stream = sys.__stderr__
    if not sys.platform.startswith("linux") or stream is None or not stream.isatty():
        return
    poll = select.poll()
    poll.register(stream.fileno(), 0)  # hang-ups and errors are always told

    def wait() -> None:
        poll.poll()
        leave()

    threading.Thread(target=wait, name="terminal", daemon=True).start()


def end_soon() -> None:
    """End this process in two seconds if it has not ended by then: what writes to a dead terminal may wait for ever."""
    timer = threading.Timer(_GRACE_S, os._exit, (_EXIT_HUNG_UP,))
    timer.daemon = True
    timer.start()
