"""What an error is about, in words for people: recognised by its type, its error number and its text.

A table, tried from the top; the texts are those of Python, numpy and torch. Whose error it is that counts, where
several ranks have one, is ``engine.core.rootcause``.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ddptui.streams import NO_ROOM
from engine.core.fields import whole

__all__ = [
    "NO_ROOM",
    "Cause",
    "describe_error",
    "describe_no_room",
    "find_cause",
    "is_own_network_error",
    "no_room_number",
    "place_of",
]

_MAX_CAUSES = 50
_Words = Callable[[re.Match[str]], str]

_ERRNO_WORDS = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "file too large for its limit (ulimit -f)",
    errno.EROFS: "read-only file system",
    errno.EMFILE: "too many open files (ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
    errno.EIO: "the disk or its network failed (input/output error)",
    errno.ESTALE: "stale file handle: the file's server has lost it",
    errno.ENOMEM: "out of memory",
}
_ERRNO_TEXT = re.compile(r"^\[Errno (?P<number>\d+)\] (?P<text>[^:]+)(?:: '(?P<path>.*)')?$")
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages that are installed under another name than they are imported."""

_SPEAKING_FOR_ITSELF = ("DdptuiError", "InputError", "DiskFullError", "NonFiniteLossError")
"""Errors whose message needs neither type nor place."""


@dataclass(frozen=True)
class Cause:
    """What an error is about.

    Attributes:
        kind: a word for programs: ``memory``, ``cuda_memory``, ``disk``, ``import``, ``data``, ``network``, ``own``
            (says itself what it is), ``error`` for all others.
        text: for people, without the rank; may be of several lines.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class _Rule:
    """The first whose type and text both fit decides; no types fit all."""

    kind: str
    words: _Words | str
    pattern: re.Pattern[str] = field(default_factory=lambda: re.compile(""))
    types: frozenset[str] = frozenset()


def _rule(kind: str, words: _Words | str, pattern: str = "", types: str = "") -> _Rule:
    return _Rule(kind, words, re.compile(pattern, re.IGNORECASE | re.DOTALL), frozenset(types.split()))


def _size(match: re.Match[str]) -> str:
    return f"out of memory: tried to allocate {int(match['bytes']) / 2**30:,.1f} GiB"


def _cuda_memory(match: re.Match[str]) -> str:
    size, rest = match["size"], match["rest"] or ""
    found = re.search(r"GPU (\d+) has a total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", rest)
    said = f"CUDA out of memory: tried to allocate {size}"
    return said if found is None else f"{said}, {found[3]} of {found[2]} free on GPU {found[1]}"


def _missing_module(match: re.Match[str]) -> str:
    module = match["module"]
    package = module.partition(".")[0]
    return f"No module named '{module}': install {_DISTRIBUTIONS.get(package, package)} for the run's interpreter"


_WITH_TEXT = "{type}: {message}"

_DATA_TYPES = (
    "BadZipFile BadGzipFile LargeZipFile EOFError UnpicklingError UnidentifiedImageError JSONDecodeError LZMAError"
    " ReadError UnicodeDecodeError ParserError"
)

_NETWORK_TYPES = (
    "RuntimeError OSError TimeoutError ConnectionError ConnectionResetError ConnectionRefusedError BrokenPipeError"
    " gaierror DistNetworkError DistStoreError DistBackendError DistError"
)

_RULES = (
    _rule(
        "error",
        lambda m: f"{m['last']} (in a {m['where']} process)",
        r"^Caught \w+ in (?P<where>\w+) (?:worker )?process .*\n(?P<last>[^\n]+)\s*$",
    ),
    _rule("cuda_memory", _cuda_memory, r"CUDA out of memory\. Tried to allocate (?P<size>[\d.]+ \w+)\.?(?P<rest>.*)"),
    _rule("cuda_memory", "CUDA out of memory", r"CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"),
    _rule("memory", _size, r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes"),
    _rule("memory", _size, r"not enough memory: you tried to allocate (?P<bytes>\d+) bytes"),
    _rule("memory", lambda m: f"out of memory: {m[0]}", r"Unable to allocate .+ for an array with shape [^\n]+"),
    _rule("memory", "out of memory", types="MemoryError _ArrayMemoryError"),
    _rule("memory", "out of memory: the machine lets this process have no more", r"Cannot allocate memory"),
    _rule("disk", "disk full", r"No space left on device"),
    _rule("disk", "disk quota exceeded", r"Disk quota exceeded"),
    _rule("disk", "read-only file system", r"Read-only file system"),
    _rule(
        "disk", "torch.save could not write its file whole", r"inline_container\.cc.*unexpected pos|file write failed"
    ),
    _rule("disk", "too many open files (ulimit -n)", r"Too many open files"),
    _rule(
        "shared_memory",
        "a DataLoader worker died by a bus error: /dev/shm may be full",
        r"DataLoader worker .*Bus error|insufficient shared memory \(shm\)",
    ),
    _rule(
        "shared_memory",
        "a process that loads data has ended (its own words are in the rank's stderr)",
        r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (exited unexpectedly|is killed by signal)",
    ),
    _rule("import", _missing_module, r"No module named '(?P<module>[\w.]+)'", "ModuleNotFoundError ImportError"),
    _rule("import", "import failed: {message}", types="ImportError ModuleNotFoundError"),
    _rule(
        "data", "a model file is damaged, or is none: {first}", r"PytorchStreamReader failed|Weights only load failed"
    ),
    _rule("data", "a data file is no array file: {message}", r"contains pickled \(object\) data|magic string is not"),
    _rule("data", f"a data file cannot be read: {_WITH_TEXT}", types=_DATA_TYPES),
    _rule("data", f"a data file cannot be read: {_WITH_TEXT}", r"CRC check failed|invalid stored block|Error -3 while"),
    _rule(
        "network",
        lambda m: f"port {m['port']} is in use by another program",
        r"failed to listen on any local network address.* port: (?P<port>\d+).*EADDRINUSE",
        _NETWORK_TYPES,
    ),
    _rule("network", "the port is in use by another program", r"EADDRINUSE|Address already in use", _NETWORK_TYPES),
    _rule(
        "network",
        lambda m: f"only {m['came']} of {m['all']} ranks came to the rendezvous within {m['limit']} s",
        r"Timed out after (?P<limit>\d+) seconds waiting for clients\. (?P<came>\d+)/(?P<all>\d+) clients joined",
        _NETWORK_TYPES,
    ),
    _rule(
        "network",
        lambda m: f"no answer from the rendezvous at {m['host']}:{m['port']}",
        r"client socket has (?:timed out|failed to connect).*?\((?P<host>[^,()\s]+), (?P<port>\d+)\)",
        _NETWORK_TYPES,
    ),
    _rule(
        "network",
        lambda m: f"network interface {m['name']} has no address (GLOO_SOCKET_IFNAME)",
        r"Unable to find address for: (?P<name>\S+)",
        _NETWORK_TYPES,
    ),
    _rule(
        "network",
        "a host name cannot be resolved: {message}",
        r"Name or service not known|Temporary failure in name resolution|getaddrinfo",
        _NETWORK_TYPES,
    ),
    _rule(
        "network",
        lambda m: f"a collective was not answered within {int(m['limit']) / 1000:g} s",
        r"Timed out waiting (?P<limit>\d+)ms for (?:recv|send) operation",
        _NETWORK_TYPES,
    ),
    _rule(
        "network",
        lambda m: f"the rendezvous gave no answer within {int(m['limit']) / 1000:g} s",
        r"wait timeout after (?P<limit>\d+)ms",
        _NETWORK_TYPES,
    ),
    _rule("network", "the ranks could not all connect to each other: {message}", r"connectFullMesh", _NETWORK_TYPES),
    _rule(
        "network",
        lambda m: f"another rank went away: connection {m['how'].lower()} by peer",
        r"Connection (?P<how>closed|reset) by peer",
        _NETWORK_TYPES,
    ),
    _rule("network", "NCCL: {message}", r"\bNCCL\b|ProcessGroupNCCL", "DistBackendError RuntimeError"),
    _rule("network", "{message}", types="DistNetworkError DistStoreError RendezvousTimeoutError"),
)


def find_cause(error: Mapping[str, Any]) -> Cause:
    """Return what an error is about.

    Args:
        error: the fields of its event: ``type``, ``message``, and ``errno`` where its system call told one.
    """
    name = str(error.get("type") or "error").rpartition(".")[2]
    message = str(error.get("message") or "").strip()
    if name in _SPEAKING_FOR_ITSELF:
        return Cause("own", message or name)
    by_number = _by_number(error, message)
    if by_number is not None:
        return by_number
    for rule in _RULES:
        if rule.types and name not in rule.types:
            continue
        match = rule.pattern.search(message)
        if match is not None:
            words = rule.words
            text = words(match) if callable(words) else _filled(words, name, message)
            return Cause(rule.kind, text.rstrip(": "))
    return Cause("error", f"{name}: {message}" if message else name)


def describe_error(error: Mapping[str, Any]) -> str:
    """Return one line: what the error is about, and the file and line where it arose."""
    cause = find_cause(error)
    place = "" if cause.kind in ("own", "cuda_memory") else place_of(error)
    line = _first_line(cause.text)
    return f"{line} ({place})" if place else line


def describe_no_room(number: int) -> str:
    """Return what an error number of ``NO_ROOM`` says."""
    return _ERRNO_WORDS.get(number, "files cannot be written")


def place_of(error: Mapping[str, Any]) -> str:
    """Return ``file.py:12`` of an error, or "" where it is unknown."""
    line = whole(error, "line")
    name = str(error.get("file") or "").rpartition("/")[2]
    return f"{name}:{line}" if name and line else ""


def no_room_number(error: BaseException) -> int:
    """The error number where ``error``, or what it came of, is a file for which there was no room; else 0."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return cause.errno
        cause = cause.__cause__ or cause.__context__
    return 0


def is_own_network_error(error: Mapping[str, Any]) -> bool:
    """Whether it tells of this side's own network (a port in use, a name, an interface), not of a peer that left."""
    cause = find_cause(error)
    return cause.kind == "network" and re.search(r"in use|cannot be resolved|interface", cause.text) is not None


def _filled(words: str, name: str, message: str) -> str:
    line = _first_line(message)
    return words.format(type=name, message=line, first=line.partition(". ")[0])


def _by_number(error: Mapping[str, Any], message: str) -> Cause | None:
    match = _ERRNO_TEXT.match(_first_line(message))
    number = whole(error, "errno") or (int(match["number"]) if match else None)
    words = _ERRNO_WORDS.get(number or 0)
    if words is None:
        return None
    path = match["path"] if match and match["path"] else error.get("path")
    kind = "memory" if number == errno.ENOMEM else "disk"
    return Cause(kind, f"{words}: cannot write {path}" if path and number in NO_ROOM else _joined(words, path))


def _joined(words: str, path: object) -> str:
    return f"{words}: {path}" if path else words


def _first_line(text: str) -> str:
    return next((part.strip() for part in text.splitlines() if part.strip()), "")
