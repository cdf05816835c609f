"""Curves and rows for tests that need no files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.core.curves import Curve, RunCurves
from tui.view.run_row import RunRow
from tui.view.snapshot import Snapshot


class MadeCurves(RunCurves):
    """Curves given point by point: step, half of it as seconds, and 64 samples a step."""

    notices: list[str] = []  # type: ignore[assignment]  # noqa: RUF012 - each object has its own

    def __init__(self, **values: Iterable[float]) -> None:
        self.notices = []
        self.revision = 0
        self._made: dict[str, Curve] = {}
        for name, column in values.items():
            self.grow(name, column)

    def grow(self, name: str, values: Iterable[float], *, stride: int = 1) -> None:
        curve = self._made.setdefault(name, Curve(name))
        for value in values:
            step = (len(curve) + 1) * stride - 1
            curve.add(step, step * 0.5, (step + 1) * 64, value)
        self.revision += 1

    def names(self) -> list[str]:
        return list(self._made)

    def curve(self, name: str) -> Curve | None:
        return self._made.get(name)


def make_row(run_id: str, **more: Any) -> RunRow:
    """A running run of which only the name is known."""
    known: dict[str, Any] = dict.fromkeys(
        ("attempt", "strategy", "world_size", "num_devices", "progress", "epoch", "num_epochs", "step", "num_steps",
         "loss", "samples_per_s", "test_accuracy", "elapsed_s", "eta_s", "queued_s", "started_s", "ended_s")
    )  # fmt: skip
    known |= {"experiment": "digits", "point": None, "repeat": 0, "state": "running", "reason": "", "folder": ""}
    return RunRow(**{**known, "id": run_id, **more})


def make_snapshot(*rows: RunRow, revision: int = 1) -> Snapshot:
    return Snapshot(revision=revision, read_s=1_790_000_000.0, rows=rows)
