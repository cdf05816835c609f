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

from engine.core.causes import describe_error, find_cause, is_own_network_error

__all__ = ["STOPPED_EXIT_CODE", "RankExit", "describe_log", "is_told_to_stop", "root_cause", "signal_name"]

STOPPED_EXIT_CODE = 75
"""How a worker exits that was asked to stop and did."""

_MAX_LENGTH = 300
_SIGKILL_SLACK_S = 0.5
"""torchrun looks at its ranks every 0.1 s, so a peer's complaint is often older than the death it complains about."""

_SIGNALS = {
    "SIGKILL": "sender unknown",
    "SIGSEGV": "it touched memory that is not its own; its stack is in the rank's stderr",
    "SIGBUS": "",
    "SIGABRT": "a library gave up",
    "SIGILL": "an instruction that this CPU does not know",
    "SIGFPE": "a division by zero in native code",
    "SIGXCPU": "its CPU time limit (ulimit -t) was reached",
    "SIGXFSZ": "its file size limit (ulimit -f) was reached",
}
"""What is certain of a death by these signals where nothing else is known."""

_REQUESTS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""Signals that ask for an end; torchrun handles them once it has started its ranks."""

_OF_THE_RUN = ("NonFiniteLossError", "DiskFullError")
"""Errors that all ranks raise together: none of them is named."""

_WHAT = re.compile(r"^\s*what\(\):\s*(?P<what>.+)$")
_PLACE_IN_LIBRARY = re.compile(r"\[enforce fail at [^\]]+\]\s*")
_NO_TORCH = re.compile(r"No module named '(torch|torch\.\S+)'$")

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
    is_shared_memory_full: bool = False,
) -> str:
    """Return the reason of a failure as one line.

    Args:
        errors: rank -> the fields of its error event, with ``time_s``.
        exits: of the ranks that have ended.
        agent_exit_code: torchrun's.
        log: the last lines of the node's log.
        rank_logs: rank -> the last lines of its stderr, for ranks without an error.
        is_out_of_memory: whether the kernel has killed for memory while the run ran.
        is_shared_memory_full: whether ``/dev/shm`` had no room when a rank fell.
    """
    exits = sorted(exits, key=lambda rank_exit: rank_exit.time_s)
    own = _earliest_error(errors, is_peer_error=False)
    death = _first_death(exits)
    if own is not None and not _came_before(death, errors[own]):
        return _describe_error(own, errors[own])
    told = _signal_to_torchrun(log, agent_exit_code)
    if told is not None and (death is None or death.exit_code == -signal.SIGTERM):  # which it passes on to its ranks
        return f"torchrun: told to stop by {told} from outside"
    if death is not None:
        known = {"SIGKILL": "kernel out-of-memory"} if is_out_of_memory else {}
        known |= {"SIGBUS": "shared memory is full"} if is_shared_memory_full else {}
        return _describe_death(death, known, (rank_logs or {}).get(death.rank, ()))
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
            hint = "; install torch there" if _NO_TORCH.search(line) else ""
            return _one_line(line.removeprefix("ddptui: ")) + hint
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
    ranks = [rank for rank, error in errors.items() if _is_peer_error(error) is is_peer_error]
    return min(ranks, key=lambda rank: (_is_victim(errors[rank]), _time(errors[rank])), default=None)


def _is_peer_error(error: Mapping[str, Any]) -> bool:
    return error.get("is_peer_error") is True and not is_own_network_error(error)


def _is_victim(error: Mapping[str, Any]) -> bool:
    """Whether it tells that another rank closed the connection: who could not connect, or waited, was there before."""
    return _is_peer_error(error) and find_cause(error).text.startswith("another rank went away")


def _signal_to_torchrun(log: Sequence[str], exit_code: int) -> str | None:
    """The signal that asked torchrun to end: it says so itself, or dies of it where its handlers were not there yet."""
    match = next((found for line in reversed(log) if (found := _TORCHRUN_TOLD.search(line))), None)
    if match is not None:
        return signal_name(-int(match["signal"]))
    name = signal_name(exit_code)
    return name if name in _REQUESTS else None


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


def _describe_death(death: RankExit, known: Mapping[str, str], log: Sequence[str]) -> str:
    """Say by which signal, and what is certain of it beside: evidence, the last words of a library, or nothing."""
    name = signal_name(death.exit_code) or ""
    said = next((match["what"] for line in reversed(log) if (match := _WHAT.match(line))), "")
    if said and name == "SIGABRT":
        return _one_line(f"rank {death.rank}: killed by {name}: {_PLACE_IN_LIBRARY.sub('', said)}")
    about = known.get(name) or _SIGNALS.get(name)
    return f"rank {death.rank}: killed by {name}" + (f" ({about})" if about else "")


def _describe_exit(
    exits: Sequence[RankExit], errors: Mapping[int, Mapping[str, Any]], rank_logs: Mapping[int, Sequence[str]]
) -> str:
    silent = [e for e in exits if e.rank not in errors and not e.is_ours]
    first_code = next((e.exit_code for e in exits if e.exit_code != 0), 0)
    for rank_exit in silent:
        if rank_exit.exit_code == STOPPED_EXIT_CODE:
            if first_code == STOPPED_EXIT_CODE:  # else it was torchrun that told it, since another rank had failed
                return f"rank {rank_exit.rank}: told to stop by a signal from outside"
        elif rank_exit.exit_code > 0:
            last = describe_log(rank_logs.get(rank_exit.rank, ()))
            return f"rank {rank_exit.rank}: {last or f'exited with code {rank_exit.exit_code}'}"
    early = next((e for e in silent if e.exit_code == 0 and errors), None)
    return "" if early is None else f"rank {early.rank}: ended with exit code 0 while other ranks needed it"


def _describe_peer_error(errors: Mapping[int, Mapping[str, Any]]) -> str:
    rank = _earliest_error(errors, is_peer_error=True)
    return "" if rank is None else _describe_error(rank, errors[rank])


def _describe_error(rank: int, error: Mapping[str, Any]) -> str:
    line = _one_line(describe_error(error))
    return line if error.get("type") in _OF_THE_RUN else f"rank {rank}: {line}"


def _one_line(text: str) -> str:
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= _MAX_LENGTH else f"{line[: _MAX_LENGTH - 3]}..."


def _time(error: Mapping[str, Any]) -> float:
    value = error.get("time_s")
    return float(value) if isinstance(value, int | float) else float("inf")
