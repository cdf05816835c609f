"""What an exception says to those who look for the cause: its place, and whether another rank is to blame."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from typing import Any

import engine
from engine.core.causes import is_own_network_error
from engine.core.errors import DdptuiError

__all__ = ["describe_failure", "is_peer_error"]

_PEER = re.compile(
    r"connection (closed|reset) by|closed by peer|connection refused|connection was likely closed|broken pipe"
    r"|timed out waiting|socket timeout|wait timeout|gloo|nccl|rpcerr|\brpc\b|tensorpipe|eof: end of file|remote worker"
    r"|process group|store.*(timeout|timed out)",
    re.IGNORECASE,
)
_PEER_TYPES = {"DistBackendError", "DistNetworkError", "DistStoreError", "ConnectionResetError", "BrokenPipeError"}
_MAX_TEXT = 64 * 1024
_MAX_CAUSES = 50
_OURS = os.path.dirname(engine.__file__) + os.sep
_IN_TEXT = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+), in ', re.MULTILINE)
"""Where torch's DataLoader passes on the traceback of another process as the text of an error."""


def is_peer_error(error: BaseException) -> bool:
    """Whether ``error`` tells that another rank went away or did not answer, so that the cause is to be found there."""
    if isinstance(error, DdptuiError):
        return False
    if is_own_network_error({"type": type(error).__name__, "message": str(error)}):
        return False
    if type(error).__name__ in _PEER_TYPES:
        return True
    return isinstance(error, RuntimeError | OSError | TimeoutError) and _PEER.search(str(error)) is not None


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Return the fields of the ``error`` event; the place is the innermost one in the user's own code, or in ours."""
    file, line = _find_place(error)
    system = _find_system_error(error)
    text = "".join(traceback.format_exception(error))
    fields = {
        "type": type(error).__name__,
        "message": str(error)[:_MAX_TEXT],
        "file": file,
        "line": line,
        "traceback": text[-_MAX_TEXT:],
        "is_peer_error": is_peer_error(error),
    }
    return fields if system is None else {**fields, "errno": system.errno, "path": str(system.filename or "")}


def _find_place(error: BaseException) -> tuple[str, int]:
    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    frames += [(match["file"], int(match["line"])) for match in _IN_TEXT.finditer(str(error))]
    own = [frame for frame in frames if not _is_installed(frame[0])]
    users = [frame for frame in own if not frame[0].startswith(_OURS)]
    chosen = users or own or frames
    return chosen[-1] if chosen else ("", 0)


def _is_installed(file: str) -> bool:
    """Whether it is a file of Python or of an installed package, of this environment or of one that it builds on."""
    return (
        "/site-packages/" in file or "/dist-packages/" in file or file.startswith((sysconfig.get_path("stdlib"), "<"))
    )


def _find_system_error(error: BaseException) -> OSError | None:
    """The error of a system call that ``error`` came of: torch's writer complains of what it did not find instead."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None or (isinstance(cause, OSError) and cause.errno is not None):
            break
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return cause if isinstance(cause, OSError) else None
