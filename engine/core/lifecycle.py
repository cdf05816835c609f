"""How a run ended, what a listing may say of it, and which runs a rerun takes: decisions only.

Truth in this order: exit code, process alive with the same start time, age of the heartbeat. Nothing here looks
anything up; the supervisor and the listings bring what they saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.core.fields import number, text, whole
from engine.core.state import RunState, is_active, is_terminal

__all__ = [
    "FOLDER_DELETED",
    "HEARTBEAT_OLD_S",
    "STOPPED_BY_USER",
    "NodeExit",
    "Outcome",
    "Rerun",
    "choose_runs",
    "decide_final",
    "effective_outcome",
    "not_started_reason",
    "restart_note",
    "resumable",
    "stored_state",
]

STOPPED_BY_USER = "stopped by the user"
FOLDER_DELETED = "its folder was deleted"
HEARTBEAT_OLD_S = 10.0
"""A status is refreshed at least every two seconds; older than this its writer is dead, stuck or cannot write."""

Rerun = Literal["missing", "failed", "all"]


@dataclass(frozen=True, kw_only=True)
class NodeExit:
    """How the torchrun of one node ended, as its node runner wrote it (``exit-node<k>.json``).

    Attributes:
        exit_code: torchrun's; negative = signal; None where it never started.
        ended_s: Unix seconds.
        stopped: the node runner was asked to stop.
        timed_out: it ended the run because ``timeout`` had passed.
        reason: one line root cause, or "". With exit code 0: a rank left before its end.
        ranks_left: pids that survived SIGKILL.
    """

    exit_code: int | None
    ended_s: float | None = None
    stopped: bool = False
    timed_out: bool = False
    reason: str = ""
    ranks_left: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NodeExit:
        """Read the file's fields; what is missing or odd is unknown."""
        left = value.get("ranks_left")
        return cls(
            exit_code=whole(value, "exit_code"),
            ended_s=number(value, "ended_s"),
            stopped=value.get("stopped") is True,
            timed_out=value.get("timed_out") is True,
            reason=text(value, "reason") or "",
            ranks_left=tuple(pid for pid in left if isinstance(pid, int)) if isinstance(left, list) else (),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A state with its one human line.

    Attributes:
        state: which.
        reason: one line, or "".
        exit_code: torchrun's, where there is one.
        may_restart: whether it fell while it ran, by a fault that another attempt may not meet: nobody asked for its
            end, no time limit was passed, and nothing of it is left.
    """

    state: RunState
    reason: str = ""
    exit_code: int | None = None
    may_restart: bool = False


def decide_final(
    exits: Mapping[int, NodeExit | None], *, is_stop_requested: bool, is_anything_left: bool | None
) -> Outcome | None:
    """Say how a run ended, or None while it has not.

    Args:
        exits: per node rank how it ended; None where its node runner has not said so.
        is_stop_requested: whether the user asked for the end.
        is_anything_left: whether a process of the run lives; None where that cannot be known. Counts only for the
            nodes that have not said how they ended.
    """
    known = [node_exit for _, node_exit in sorted(exits.items()) if node_exit is not None]
    silent = sorted(node_rank for node_rank, node_exit in exits.items() if node_exit is None)
    if silent and is_anything_left is not False:
        return None
    if not silent and all(node_exit.exit_code == 0 and not node_exit.reason for node_exit in known):
        return Outcome(state=RunState.SUCCEEDED, exit_code=0)
    left = _survivors(known)
    failed = _first_failure(known, is_ending=is_stop_requested and (bool(silent) or any(e.stopped for e in known)))
    if failed is not None:
        may_restart = not (failed.timed_out or failed.exit_code is None or left or is_stop_requested)
        reason = _failure_reason(failed) + left
        return Outcome(state=RunState.FAILED, reason=reason, exit_code=failed.exit_code, may_restart=may_restart)
    exit_code = next((node_exit.exit_code for node_exit in known if node_exit.exit_code), None)
    if is_stop_requested:
        return Outcome(state=RunState.STOPPED, reason=STOPPED_BY_USER + left, exit_code=exit_code)
    if not silent:
        reason = next((node_exit.reason for node_exit in known if node_exit.reason), "stopped by a signal from outside")
        return Outcome(state=RunState.STOPPED, reason=reason + left, exit_code=exit_code)
    who = ", ".join(str(node_rank) for node_rank in silent)
    reason = f"the node runner of node {who} ended without a word, and no process of the run is left"
    return Outcome(state=RunState.LOST, reason=reason, exit_code=exit_code, may_restart=True)


def _first_failure(known: Sequence[NodeExit], *, is_ending: bool) -> NodeExit | None:
    """The node whose end made the run fail: a time limit, else the first that ended badly without being asked to.

    Args:
        known: how nodes ended.
        is_ending: whether nodes were ended on request: the others then fell because of that.
    """
    timed_out = [node_exit for node_exit in known if node_exit.timed_out]
    if timed_out:
        return timed_out[0]
    if is_ending:
        return None
    failed = [e for e in known if (e.exit_code != 0 or e.reason) and not e.stopped]
    return min(failed, key=lambda e: (not e.reason, e.ended_s if e.ended_s is not None else float("inf")), default=None)


def _failure_reason(node_exit: NodeExit) -> str:
    if node_exit.reason:
        return node_exit.reason
    if node_exit.timed_out:
        return "its timeout has passed"
    if node_exit.exit_code is None:
        return "torchrun did not start"
    if node_exit.exit_code < 0:
        return f"torchrun was killed by signal {-node_exit.exit_code}"
    return f"torchrun ended with exit code {node_exit.exit_code}"


def _survivors(known: Sequence[NodeExit]) -> str:
    pids = [str(pid) for node_exit in known for pid in node_exit.ranks_left]
    return f"; still alive after SIGKILL: pid {', '.join(pids)}" if pids else ""


def restart_note(outcome: Outcome, *, num_restarts: int, max_restarts: int) -> str:
    """Return what the status of a run says that is started again, or "" where it is not.

    Args:
        outcome: how its last attempt ended.
        num_restarts: attempts that were added since somebody asked for the run.
        max_restarts: how many may be.
    """
    if not outcome.may_restart or num_restarts >= max_restarts:
        return ""
    return f"restarting after: {outcome.reason} ({num_restarts + 1} of {max_restarts})"


def resumable(outcome: Outcome, num_steps: int | None) -> Outcome:
    """Say of a run that was stopped from outside where it would go on.

    Args:
        outcome: a stop that its user did not ask for here.
        num_steps: steps of its newest snapshot; None where there is none.
    """
    word = "begins it anew" if num_steps is None else f"goes on from step {num_steps}"
    return replace(outcome, reason=f"{outcome.reason}; ddptui retry {word}")


def stored_state(status: Mapping[str, Any] | None) -> RunState | None:
    """The state that a ``status.json`` holds, or None where there is none (or one that we do not know)."""
    try:
        return RunState((status or {}).get("state"))  # type: ignore[arg-type]
    except ValueError:
        return None


def effective_outcome(
    status: Mapping[str, Any] | None,
    exits: Mapping[int, NodeExit | None],
    *,
    is_supervisor_alive: bool | None,
    is_runner_alive: bool | None,
    age_s: float,
    host: str = "",
    is_disk_full: bool = False,
) -> Outcome:
    """Say what a listing may show, given that the writer of ``status`` may be dead.

    Args:
        status: ``status.json``.
        exits: per node rank of the newest attempt; empty where it never began.
        is_supervisor_alive: the writer of ``status``; None = on another host.
        is_runner_alive: whether any node runner lives; None = on another host, or no node runner has said who it is.
        age_s: since the heartbeat.
        host: of the supervisor, for the message.
        is_disk_full: whether the disk of the results has no room.
    """
    state = stored_state(status) or RunState.QUEUED
    said = Outcome(state=state, reason=text(status or {}, "reason") or "", exit_code=whole(status or {}, "exit_code"))
    is_fresh = age_s <= HEARTBEAT_OLD_S and is_supervisor_alive is not False
    if is_terminal(state) or not is_active(state) or is_fresh:
        return said
    stopping = state is RunState.STOPPING
    outcome = decide_final(exits, is_stop_requested=stopping, is_anything_left=is_runner_alive) if exits else None
    is_unwritten = bool(is_disk_full and is_supervisor_alive)  # its word is missing, not the run
    if outcome is not None and not (is_unwritten and outcome.state is RunState.LOST):
        return outcome
    if is_unwritten:
        return Outcome(state=state, reason=f"disk full: what is shown is {_in_words(age_s)} old")
    if is_runner_alive:
        return said if said.reason else Outcome(state=state, reason="the run goes on without its supervisor")
    if state is RunState.STARTING and is_supervisor_alive is False:
        return Outcome(state=RunState.QUEUED, reason="its supervisor ended before the run had started")
    where = f" from {host}" if host else ""
    return Outcome(state=RunState.STALLED, reason=f"no word{where} for {_in_words(age_s)}")


def choose_runs(states: Mapping[str, RunState | None], rerun: Rerun) -> tuple[list[str], list[str]]:
    """Choose which runs to queue.

    Args:
        states: per run id in the order of the plan its last state; None where it never ran.
        rerun: ``missing`` everything that has not succeeded; ``failed`` what failed or was lost; ``all`` everything.

    Returns:
        The ids to queue (those that are queued or active already among them), and the others, both in order.
    """
    is_chosen = {run_id: _is_chosen(state, rerun) for run_id, state in states.items()}
    return [run_id for run_id in states if is_chosen[run_id]], [run_id for run_id in states if not is_chosen[run_id]]


def _is_chosen(state: RunState | None, rerun: Rerun) -> bool:
    if state is not None and not is_terminal(state):
        return True
    if rerun == "failed":
        return state in (RunState.FAILED, RunState.LOST)
    return rerun == "all" or state is not RunState.SUCCEEDED


def not_started_reason(run_id: str) -> str:
    """Why a run that waited behind the failed ``run_id`` was not started."""
    return f"not started: {run_id} failed and on_error is stop"


def _in_words(seconds: float) -> str:
    """Seconds, or the largest unit of which there are at least two: words that do not change with every look."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
