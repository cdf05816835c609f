"""What takes too long raises where it stands."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["alarm"]


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block once so many seconds have passed."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
