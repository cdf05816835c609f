"""The orders that the screen gives to the supervisor. What carries them is loaded with the first: it takes a while."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.core.commands import Reply
    from engine.core.run_queue import RunKey
    from engine.store import RunPaths

__all__ = ["annotate", "delete", "hold", "move", "retry", "stop"]


def stop(results: Path, runs: Sequence[RunKey], *, grace_s: float = 20.0, timeout_s: float = 30.0) -> Reply:
    """See ``engine.control``."""
    from engine import control

    return control.stop(results, runs, grace_s=grace_s, timeout_s=timeout_s)


def retry(results: Path, runs: Sequence[RunKey]) -> Reply:
    """See ``engine.control``."""
    from engine import control

    return control.retry(results, runs)


def hold(results: Path, *, is_held: bool) -> Reply:
    """See ``engine.control``."""
    from engine import control

    return control.hold(results, is_held=is_held)


def move(results: Path, runs: Sequence[RunKey], by: int) -> Reply:
    """See ``engine.control``."""
    from engine import control

    return control.move(results, runs, by)


def delete(results: Path, runs: Sequence[RunKey]) -> Reply:
    """See ``engine.control``."""
    from engine import control

    return control.delete(results, runs)


def annotate(paths: RunPaths, *, is_pinned: bool | None = None, note: str | None = None) -> None:
    """See ``engine.annotation``."""
    from engine.annotation import annotate as write

    write(paths, is_pinned=is_pinned, note=note)
