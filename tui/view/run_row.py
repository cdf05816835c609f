"""One run at one moment, as listings, the follower and the screen show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.core.state import RunState, is_active, is_terminal

__all__ = ["UNREADABLE", "RunRow", "known_state"]

UNREADABLE = "unreadable"
"""Shown as the state of a run whose files do not say it: neither waiting nor ended, and nothing of it is known."""


def known_state(state: str) -> RunState | None:
    """The state a run is in, or None where its files do not say it."""
    return RunState(state) if state in set(RunState) else None


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run at one moment; None is unknown. The field names are the keys of ``--json`` and stay.

    Attributes:
        experiment, id, point, repeat: who it is.
        state, reason: the effective state: nothing says running that is not; ``UNREADABLE`` where the files are torn.
        progress: share of the work done, 0 to 1.
        epoch, step: the last finished, 0-based.
        samples_per_s: over recent seconds while running, the steady throughput once finished.
        last_event_s: Unix seconds of its newest event line.
        nonfinite_step: the first step whose loss was NaN or infinite.
        axes: its value on every axis of the matrix.
        is_pinned, note: what a person said of it.
        dossier: the file that says where its ranks were when it hung last; "" where it has not.
    """

    experiment: str
    id: str
    point: str | None
    repeat: int | None
    state: str
    reason: str
    attempt: int | None
    strategy: str | None
    world_size: int | str | None
    num_devices: int | None
    progress: float | None
    epoch: int | None
    num_epochs: int | None
    step: int | None
    num_steps: int | None
    loss: float | None
    samples_per_s: float | None
    test_accuracy: float | None
    elapsed_s: float | None
    eta_s: float | None
    queued_s: float | None
    started_s: float | None
    ended_s: float | None
    folder: str
    last_event_s: float | None = None
    nonfinite_step: int | None = None
    axes: Mapping[str, Any] = field(default_factory=dict)
    is_pinned: bool = False
    note: str = ""
    dossier: str = ""

    @property
    def tag(self) -> str:
        """``experiment/run``."""
        return f"{self.experiment}/{self.id}"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended for good."""
        state = known_state(self.state)
        return state is not None and is_terminal(state)

    @property
    def is_active(self) -> bool:
        """Whether processes of the run may be alive."""
        state = known_state(self.state)
        return state is not None and is_active(state)

    def to_json(self) -> dict[str, Any]:
        """The fields as they stand in ``--json``."""
        return asdict(self)
