"""How the user side asks this interpreter something: one JSON value on stdin, one JSON line on stdout."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["answer_stdin"]


def answer_stdin(answer: Callable[[Any], Any]) -> int:
    """Answer the question on stdin; return the exit code.

    Args:
        answer: makes of the question the value to be written.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what the user's own modules print must not spoil the answer
        value = answer(json.load(sys.stdin))
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
    return 0
