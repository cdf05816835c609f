"""What the files of a run tell of the end of an attempt, beside how its processes ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.core.fields import mapping, number, text, whole, whole_or
from engine.core.lifecycle import Outcome, resumable, stored_state
from engine.core.run_queue import QueueEntry
from engine.core.state import RunState, is_terminal
from engine.snapshots import finished_s, list_snapshots, prune_snapshots
from engine.store import AttemptPaths, RunPaths, read_json

__all__ = ["closed_outcome", "drop_what_was_for_resuming", "explain_end", "unfinished_attempt"]

_REFUSALS = ("InputError", "DdptuiError", "NonFiniteLossError", "DiskFullError")
"""What a rank ends with that would meet the same again: it is told something wrong, its loss is no number, the disk is
full."""


def explain_end(entry: QueueEntry, paths: RunPaths, attempt: AttemptPaths, outcome: Outcome) -> Outcome:
    """Add to an outcome what the files know: whether another attempt is worth it, and where the run would go on.

    Args:
        entry: of the run; says whether its end was asked for.
        paths: its folder.
        attempt: that ended.
        outcome: as the exits of its nodes say.
    """
    if outcome.state is RunState.STOPPED and entry.stop_by_s is None:
        newest = next(iter(list_snapshots(paths)), None)
        return resumable(outcome, None if newest is None else newest.num_steps)
    if outcome.may_restart and _has_refused(attempt):
        return replace(outcome, may_restart=False)
    return outcome


def unfinished_attempt(paths: RunPaths) -> AttemptPaths | None:
    """The newest attempt, if its end was not written down."""
    attempts = paths.attempts()
    if not attempts or number(read_json(attempts[-1].attempt) or {}, "ended_s") is not None:
        return None
    return attempts[-1]


def closed_outcome(paths: RunPaths, status: Mapping[str, Any]) -> Outcome | None:
    """How an attempt ended whose end was written down, but not in the status of its run; None where that is not so."""
    number_of_it = whole(status, "attempt")
    if not number_of_it or stored_state(status) is RunState.QUEUED:
        return None
    attempt = read_json(paths.attempt(number_of_it).attempt) or {}
    said = mapping(attempt, "exit")
    state = stored_state(said)
    if number(attempt, "ended_s") is None or state is None or not is_terminal(state):
        return None
    return Outcome(
        state=state,
        reason=text(said, "reason") or "",
        exit_code=whole(said, "exit_code"),
        may_restart=said.get("may_restart") is True,
    )


def drop_what_was_for_resuming(paths: RunPaths) -> None:
    """Remove the snapshots of a run that is through, so that asked for again it begins anew.

    They stay where the final model is not there, or is older than they are: there was no room for it.
    """
    newest = next(iter(list_snapshots(paths)), None)
    try:
        is_saved = newest is None or paths.model_final.stat().st_mtime >= finished_s(newest)
    except OSError:
        return
    if is_saved:
        prune_snapshots(paths, 0)


def _has_refused(attempt: AttemptPaths) -> bool:
    num_ranks = min(whole_or(read_json(attempt.attempt) or {}, "world_size", 1), 100_000)
    errors = (read_json(attempt.error(rank)) or {} for rank in range(num_ranks))
    return any(text(error, "type") in _REFUSALS for error in errors)
