"""What ``ddptui evaluate`` found of a run's saved models, beside what the run itself had said of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from typing import Any

from engine.core.errors import DdptuiError
from engine.core.fields import mapping, number, sequence, whole
from engine.store import RunPaths, read_json, write_json

__all__ = ["MODELS", "add_evaluation", "find_reported", "read_evaluations"]

MODELS = ("final", "best")

_SPLITS = ("validation", "test")

Row = Mapping[str, Any]


def read_evaluations(paths: RunPaths) -> list[dict[str, Any]]:
    """Return what ``evaluations.json`` holds, oldest first; nothing where there is no such file.

    Raises:
        DdptuiError: there is one, and it is damaged.
    """
    value = read_json(paths.evaluations)
    if value is None and not paths.evaluations.exists():
        return []
    found = (value or {}).get("evaluations")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DdptuiError(f"{paths.evaluations} is damaged: move it away, and a new one is begun")
    return found


def add_evaluation(paths: RunPaths, record: Mapping[str, Any]) -> None:
    """Add a record to ``evaluations.json``; what is there stays.

    Raises:
        DdptuiError: the file is damaged or cannot be written, or the run is gone.
    """
    try:
        with _locked(paths):
            write_json(paths.evaluations, {"format": 1, "evaluations": [*read_evaluations(paths), dict(record)]})
    except OSError as error:
        raise DdptuiError(f"{paths.evaluations} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(paths: RunPaths) -> Iterator[None]:
    """Two evaluations that end at once must not take each other's record away."""
    fd = os.open(paths.root, os.O_RDONLY | os.O_DIRECTORY)  # raises where the run is deleted: it must not rise again
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def find_reported(summary: Mapping[str, Any] | None, model: str) -> dict[str, Any] | None:
    """Return what a run said of the model that it saved: ``epoch`` and, by split, loss, accuracy and metrics.

    Args:
        summary: its ``summary.json``; None where there is none.
        model: ``final`` or ``best``; the best is the first epoch with the highest accuracy (where none is counted, the
            lowest loss) of the validation samples, or of the test samples where none are held out: the worker's rule.

    Returns:
        None where it has not evaluated, or is not over.
    """
    rows = [row for row in sequence(summary or {}, "epochs") if isinstance(row, dict)]
    if model == "final":
        row = rows[-1] if rows and _splits(rows[-1]) else None
    else:
        known = [(figure, row) for row in rows if (figure := _figure(row)) is not None]
        row = max(known, key=lambda pair: pair[0], default=(0.0, None))[1]
    return None if row is None else {"epoch": whole(row, "epoch"), "splits": _splits(row)}


def _figure(row: Row) -> float | None:
    split = "validation" if _has(row, "validation") else "test"
    accuracy, loss = number(row, f"{split}_accuracy"), number(row, f"{split}_loss")
    if accuracy is not None:
        return accuracy
    return None if loss is None else -loss


def _has(row: Row, split: str) -> bool:
    return number(row, f"{split}_loss") is not None or number(row, f"{split}_accuracy") is not None


def _splits(row: Row) -> dict[str, dict[str, Any]]:
    metrics = mapping(row, "metrics")
    return {
        split: {
            "loss": number(row, f"{split}_loss"),
            "accuracy": number(row, f"{split}_accuracy"),
            "metrics": {
                name.removeprefix(f"{split}_"): number(metrics, name)
                for name in metrics
                if name.startswith(f"{split}_")
            },
        }
        for split in _SPLITS
        if _has(row, split)
    }
