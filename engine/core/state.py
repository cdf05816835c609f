"""The states of a run and what may follow what."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RunState", "is_active", "is_terminal"]


class RunState(StrEnum):
    """One word per state, the same in files, listings and on the screen.

    ``queued -> starting -> running <-> stalled -> stopping ->`` one of the final four. ``lost`` only when it was
    verified that no process of the run is left and none of them said how it ended.
    """

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STALLED = "stalled"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


_TERMINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.LOST})


def is_terminal(state: RunState) -> bool:
    """Whether ``state`` is final."""
    return state in _TERMINAL


def is_active(state: RunState) -> bool:
    """Whether processes of the run may be alive."""
    return state not in _TERMINAL and state is not RunState.QUEUED
