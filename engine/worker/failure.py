"""What an exception says to those who look for the cause: its place, and whether another rank is to blame."""

from __future__ import annotations

import re
import site
import sysconfig
import traceback
from typing import Any

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


def is_peer_error(error: BaseException) -> bool:
    """Whether ``error`` tells that another rank went away or did not answer, so that the cause is to be found there."""
    if isinstance(error, DdptuiError):
        return False
    if type(error).__name__ in _PEER_TYPES:
        return True
    return isinstance(error, RuntimeError | OSError | TimeoutError) and _PEER.search(str(error)) is not None


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Return the fields of the ``error`` event; the place is the innermost one outside installed packages."""
    place = _find_place(error)
    text = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__name__,
        "message": str(error)[:_MAX_TEXT],
        "file": place.filename if place else "",
        "line": (place.lineno or 0) if place else 0,
        "traceback": text[-_MAX_TEXT:],
        "is_peer_error": is_peer_error(error),
    }


def _find_place(error: BaseException) -> traceback.FrameSummary | None:
    frames = traceback.extract_tb(error.__traceback__)
    installed = (*site.getsitepackages(), sysconfig.get_path("stdlib"), "<")
    own = [frame for frame in frames if not frame.filename.startswith(installed)]
    chosen = own or frames
    return chosen[-1] if chosen else None
