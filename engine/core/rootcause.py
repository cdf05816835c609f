"""Why a run failed, in one line: torchrun names the first process that it saw fall, which is often a victim.

The order of blame: an error that is not about a peer, a SIGTERM to torchrun, death by a signal, an exit code without a
word, an exit that came too early, an error about a peer, and what the log of the node says last.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["STOPPED_EXIT_CODE", "RankExit", "describe_log", "is_told_to_stop", "root_cause", "signal_name"]

STOPPED_EXIT_CODE = 75
"""How a worker exits that was asked to stop and did."""

_MAX_LENGTH = 300
_SIGKILL_SLACK_S = 0.5
"""torchrun looks at its ranks every 0.1 s, so a peer's complaint is often older than the death it complains about."""

_SPEAKING_FOR_ITSELF = ("DdptuiError", "InputError", "OutOfMemoryError")
"""Errors whose message needs no type in front."""

_ERROR_LINE = re.compile(r"^\s*(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit))(?::\s*(?P<message>.*))?$")
_COMPLAINT = re.compile(r"error|cannot|denied|not found|no such", re.IGNORECASE)
"""What a line of a shell or of the loader says when nothing better is there."""

_NO_DDPTUI = re.compile(r"^(?P<python>.*): Error while finding module specification for 'ddptui\.start'")
_TORCHRUN_TOLD = re.compile(r"SignalException: Process \d+ got signal: (?P<signal>\d+)")
_TOLD_TO_STOP = re.compile(r"(torchrun|rank \d+): told to stop by .+ from outside")
_TORCHRUN_ONLY = ("ChildFailedError", "SignalException")


@dataclass(frozen=True, kw_only=True)
class RankExit:
    """How a rank ended.

    Attributes:
        rank: which.
        exit_code: as waitpid tells; negative for a signal.
        time_s: when its agent saw it.
        is_ours: whether ddptui itself ended it.
    """

    rank: int
    exit_code: int
    time_s: float
    is_ours: bool = False


def root_cause(
    *,
    errors: Mapping[int, Mapping[str, Any]],
    exits: Sequence[RankExit],
    agent_exit_code: int,
    log: Sequence[str],
    rank_logs: Mapping[int, Sequence[str]] | None = None,
    is_out_of_memory: bool = False,
) -> str:
    """Return the reason of a failure as one line.

    Args:
        errors: rank -> the fields of its error event, with ``time_s``.
        exits: of the ranks that have ended.
        agent_exit_code: torchrun's.
        log: the last lines of the node's log.
        rank_logs: rank -> the last lines of its stderr, for ranks without an error.
        is_out_of_memory: whether the kernel has killed for memory while the run ran.
    """
    exits = sorted(exits, key=lambda rank_exit: rank_exit.time_s)
    own = _earliest_error(errors, is_peer_error=False)
    death = _first_death(exits)
    if own is not None and not _came_before(death, errors[own]):
        return _describe_error(own, errors[own])
    told = _signal_to_torchrun(log)
    if told is not None and (death is None or death.exit_code == -signal.SIGTERM):  # which it passes on to its ranks
        return f"torchrun: told to stop by {told} from outside"
    if death is not None:
        memory = " (kernel out-of-memory)" if is_out_of_memory and death.exit_code == -signal.SIGKILL else ""
        return f"rank {death.rank}: killed by {signal_name(death.exit_code)}{memory}"
    if agent_exit_code < 0:
        return f"torchrun: killed by {signal_name(agent_exit_code)}"
    return (
        _describe_exit(exits, errors, rank_logs or {})
        or _describe_peer_error(errors)
        or describe_log(log)
        or f"torchrun ended with exit code {agent_exit_code}"
    )


def signal_name(exit_code: int) -> str | None:
    """Return the name of the signal in a negative exit code, None for any other exit code."""
    if exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def is_told_to_stop(reason: str) -> bool:
    """Whether a ``root_cause`` says that somebody else told the run to stop: no fault, and it may go on later."""
    return _TOLD_TO_STOP.fullmatch(reason) is not None


def describe_log(log: Sequence[str]) -> str:
    """Return the line of a log that says best what went wrong, or ""."""
    for line in reversed(log):
        if line.startswith("ddptui: "):
            return _one_line(line.removeprefix("ddptui: "))
        if missing := _NO_DDPTUI.match(line):
            return f"{missing['python']}: No module named 'ddptui'; install ddptui there"
    for line in reversed(log):
        match = _ERROR_LINE.match(line)
        if match and not match["type"].endswith(_TORCHRUN_ONLY):
            return _one_line(f"{match['type'].rpartition('.')[2]}: {match['message'] or ''}".rstrip(": "))
    return next((_one_line(line) for line in reversed(log) if _is_complaint(line)), "")


def _is_complaint(line: str) -> bool:
    return _COMPLAINT.search(line) is not None and not any(name in line for name in _TORCHRUN_ONLY)


def _earliest_error(errors: Mapping[int, Mapping[str, Any]], *, is_peer_error: bool) -> int | None:
    ranks = [rank for rank, error in errors.items() if bool(error.get("is_peer_error")) is is_peer_error]
    return min(ranks, key=lambda rank: _time(errors[rank]), default=None)


def _signal_to_torchrun(log: Sequence[str]) -> str | None:
    match = next((found for line in reversed(log) if (found := _TORCHRUN_TOLD.search(line))), None)
    return None if match is None else signal_name(-int(match["signal"]))


def _first_death(exits: Sequence[RankExit]) -> RankExit | None:
    """The first rank that a signal killed which neither ddptui nor torchrun sent."""
    failures = [rank_exit for rank_exit in exits if rank_exit.exit_code != 0]
    for number, rank_exit in enumerate(failures):
        is_torchruns = rank_exit.exit_code == -signal.SIGTERM and number > 0
        if rank_exit.exit_code < 0 and not rank_exit.is_ours and not is_torchruns:
            return rank_exit
    return None


def _came_before(death: RankExit | None, error: Mapping[str, Any]) -> bool:
    """SIGKILL always comes from outside: an error right after it is a complaint about it, whatever it looks like."""
    return death is not None and death.exit_code == -signal.SIGKILL and death.time_s <= _time(error) + _SIGKILL_SLACK_S


def _describe_exit(
    exits: Sequence[RankExit], errors: Mapping[int, Mapping[str, Any]], rank_logs: Mapping[int, Sequence[str]]
) -> str:
    silent = [e for e in exits if e.rank not in errors and not e.is_ours]
    for rank_exit in silent:
        if rank_exit.exit_code > 0:
            if rank_exit.exit_code == STOPPED_EXIT_CODE:
                return f"rank {rank_exit.rank}: told to stop by a signal from outside"
            last = describe_log(rank_logs.get(rank_exit.rank, ()))
            return f"rank {rank_exit.rank}: {last or f'exited with code {rank_exit.exit_code}'}"
    early = next((e for e in silent if e.exit_code == 0 and errors), None)
    return "" if early is None else f"rank {early.rank}: ended with exit code 0 while other ranks needed it"


def _describe_peer_error(errors: Mapping[int, Mapping[str, Any]]) -> str:
    rank = _earliest_error(errors, is_peer_error=True)
    return "" if rank is None else _describe_error(rank, errors[rank])


def _describe_error(rank: int, error: Mapping[str, Any]) -> str:
    name = str(error.get("type") or "error").rpartition(".")[2]
    message = _one_line(str(error.get("message") or ""))
    if not message:
        return f"rank {rank}: {name}"
    return f"rank {rank}: {message}" if name in _SPEAKING_FOR_ITSELF else f"rank {rank}: {name}: {message}"


def _one_line(text: str) -> str:
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= _MAX_LENGTH else f"{line[: _MAX_LENGTH - 3]}..."


def _time(error: Mapping[str, Any]) -> float:
    value = error.get("time_s")
    return float(value) if isinstance(value, int | float) else float("inf")
