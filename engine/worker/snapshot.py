"""Saving what was trained, and what a run needs to go on as if it had never been interrupted."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ddptui.lines import LineWriter
from ddptui.privacy import FILE_MODE
from engine.core.causes import no_room_number
from engine.core.snapshot_rule import SnapshotRule
from engine.core.spec import Snapshot
from engine.snapshots import (
    SHARED_PART,
    discard_snapshot,
    drop_snapshots_after,
    part_of,
    prune_snapshots,
    write_manifest,
    write_part,
)
from engine.store import RunPaths
from engine.worker.beat import Beat
from engine.worker.context import RankContext
from engine.worker.random_state import get_random_state
from engine.worker.strategies.interface import Strategy

__all__ = ["PATIENCE_S", "Keeper", "NoKeeper", "Position", "describe_origin", "save_model"]

PATIENCE_S = 60.0
"""How long the end of a run waits for a disk that is full: what was trained would be lost."""

_PartLine = dict[str, Any]

_DIGEST = struct.Struct(">8I")
"""A checksum as numbers that a sum over ranks keeps exactly."""
_LINE_NUMBERS = 2 + 8


@dataclass(kw_only=True)
class Position:
    """Where a run is, between two steps: all that the loop knows beside model and data.

    Attributes:
        epoch: that is trained, 0-based.
        number: steps of the epoch that are done.
        num_steps: steps of the run that are done.
        train_s, eval_s, snapshot_s: of the run so far; training of the epochs that are over.
        epoch_s: training of this epoch so far.
        passed_s: since the first step, over all attempts, snapshots left out; what ``stop.minutes`` counts.
        sums: what this rank saw of the epoch (``StepWindow.state``).
        best: of the evaluations so far, what ``model_best.pt`` stands for; None before the first.
    """

    epoch: int = 0
    number: int = 0
    num_steps: int = 0
    train_s: float = 0.0
    eval_s: float = 0.0
    snapshot_s: float = 0.0
    epoch_s: float = 0.0
    passed_s: float = 0.0
    sums: list[float] = field(default_factory=list)
    best: float | None = None


class NoKeeper:
    """Keeps nothing: of what a loop trains that is only tried out."""

    rule = SnapshotRule(is_never=True)
    spent_s = 0.0
    no_room = 0

    def take(self, position: Position, loader: Mapping[str, Any]) -> float:  # noqa: ARG002 (as a keeper that keeps)
        """See ``Keeper``."""
        return 0.0

    def save_best(self) -> None:
        """See ``Keeper``."""


class Keeper:
    """Takes the snapshots of a run and saves its model.

    A failure (a full disk) is a warning: what was there before stays, and the training goes on.

    Args:
        paths: the run's folder.
        strategy: what is saved.
        context: this rank.
        settings: how often, and how many stay.
        writer: of this rank's events.
        beat: sign of life.
        manifest: what the manifest says of the run beside the position.

    Attributes:
        rule: when a snapshot is due.
        spent_s: seconds that saving has taken, over all attempts.
        no_room: the error number where the last file could not be written for want of room, else 0.
    """

    def __init__(
        self,
        paths: RunPaths,
        strategy: Strategy,
        context: RankContext,
        *,
        settings: Snapshot,
        writer: LineWriter,
        beat: Beat,
        manifest: Mapping[str, Any],
    ) -> None:
        self.rule = settings.rule
        self.spent_s = 0.0
        self.no_room = 0
        self._paths = paths
        self._strategy = strategy
        self._context = context
        self._keep = settings.keep
        self._writer = writer
        self._beat = beat
        self._manifest = manifest
        self._taken_at = 0

    def begin(self, position: Position) -> None:
        """Begin where the run is: what an earlier attempt left of the steps ahead goes, they are taken anew."""
        self._taken_at = position.num_steps
        self.spent_s = position.snapshot_s
        if self._context.rank != 0:
            return
        for path in (self._paths.model_best, self._paths.model_final):
            _drop_halves(path)
        if not self.rule.is_never:
            drop_snapshots_after(self._paths, position.num_steps)

    def take(self, position: Position, loader: Mapping[str, Any]) -> float:
        """Take one; return the seconds it took. A collective: every rank calls it at the same step.

        Args:
            position: of the loop.
            loader: of this rank's data (generators).
        """
        if self._taken_at == position.num_steps:  # there is one: a second would be the same
            return 0.0
        begun_s = time.monotonic()
        self._beat.write("snapshot", time.monotonic_ns())
        self._taken_at = position.num_steps
        position.snapshot_s = self.spent_s
        folder = self._paths.snapshot(position.num_steps)
        parts, problem = self._write_parts(folder, position, loader)
        lines = self._exchange(parts.get(part_of(self._context.rank)))
        is_kept = None not in lines
        if is_kept and self._context.rank == 0:
            whole = {part_of(rank): line for rank, line in enumerate(lines)} | {SHARED_PART: parts[SHARED_PART]}
            problem = self._finish(folder, position, whole)
        is_kept = self._strategy.from_leader(float(is_kept and not problem)) == 1.0
        if not is_kept and self._context.rank == 0:
            discard_snapshot(folder)  # where there is no room, half of one must not take what is left
        if problem:
            self._warn(f"no snapshot at step {position.num_steps}: {problem}")
        spent_s = time.monotonic() - begun_s
        self.spent_s += spent_s
        fields = {"epoch": position.epoch, "step": position.num_steps - 1, "snapshot_s": spent_s}
        self._writer.write("snapshot", **fields, path=str(folder), is_kept=is_kept)
        return spent_s

    def save_best(self) -> None:
        """Save the model as the best so far. A collective."""
        self._save_model(self._paths.model_best, patience_s=0.0)

    def save_final(self, is_leaving: Callable[[], bool] = lambda: False) -> None:
        """Save the model as what came of the run, where there is no room a minute later. A collective.

        Args:
            is_leaving: whether the waiting must end.
        """
        self._save_model(self._paths.model_final, patience_s=PATIENCE_S, is_leaving=is_leaving)

    def _save_model(self, path: Path, *, patience_s: float, is_leaving: Callable[[], bool] = lambda: False) -> None:
        begun_s = time.monotonic()
        self._beat.write("snapshot", time.monotonic_ns())
        state = self._strategy.model_state()
        while state is not None:
            problem = self._try_to_save(path, state)
            if not self.no_room or is_leaving() or time.monotonic() >= begun_s + patience_s:
                if problem:  # of the best model there may be a better one later
                    is_final = path == self._paths.model_final
                    self._warn(f"{path.name} could not be saved: {problem}", is_loss=is_final)
                break
            time.sleep(0.2)
            self._beat.write("snapshot", time.monotonic_ns())
        self.spent_s += time.monotonic() - begun_s

    def _try_to_save(self, path: Path, state: dict[str, Any]) -> str:
        """Save the model; return why that failed, or ""."""
        self.no_room = 0
        try:
            save_model(path, state)
        except (OSError, RuntimeError) as error:
            self.no_room = no_room_number(error)
            return _describe(error)
        return ""

    def _write_parts(
        self, folder: Path, position: Position, loader: Mapping[str, Any]
    ) -> tuple[dict[str, _PartLine], str]:
        """Write this rank's parts; return their lines of the manifest, and why one is missing, or ""."""
        shared = self._strategy.shared_state()
        own = {
            "position": vars(position),
            "loader": dict(loader),
            "random": get_random_state(self._context.device),
            "strategy": self._strategy.own_state(),
        }
        contents = {part_of(self._context.rank): own}
        if self._context.rank == 0:
            contents = {SHARED_PART: {"position": vars(position), "strategy": shared}, **contents}
        lines: dict[str, _PartLine] = {}
        try:
            for name, content in contents.items():
                lines[name] = write_part(folder, name, _saver(content))
        except (OSError, RuntimeError) as error:
            self.no_room = no_room_number(error)
            return lines, _describe(error)
        self.no_room = 0
        return lines, ""

    def _exchange(self, line: _PartLine | None) -> list[_PartLine | None]:
        """Return the line of every rank's part, in their order; None for a rank that could not write it."""
        first, count = self._context.rank * _LINE_NUMBERS, self._context.world_size * _LINE_NUMBERS
        numbers = [0.0] * count
        if line is not None:
            words = map(float, _DIGEST.unpack(bytes.fromhex(line["sha256"])))
            numbers[first : first + _LINE_NUMBERS] = [1.0, float(line["bytes"]), *words]
        sums = self._strategy.sum_over_ranks(numbers)
        return [_line(sums[place : place + _LINE_NUMBERS]) for place in range(0, count, _LINE_NUMBERS)]

    def _finish(self, folder: Path, position: Position, parts: Mapping[str, _PartLine | None]) -> str:
        """Make it whole; return why that failed, or ""."""
        where = {"num_steps": position.num_steps, "epoch": position.epoch}
        try:
            write_manifest(folder, {**self._manifest, **where, "time_s": time.time(), "parts": parts})
        except OSError as error:
            self.no_room = no_room_number(error)
            return _describe(error)
        prune_snapshots(self._paths, self._keep)
        return ""

    def _warn(self, text: str, **more: bool) -> None:
        self._writer.write("message", level="warning", text=text, **more)


def describe_origin(context: RankContext) -> dict[str, Any]:
    """Return what the bits of a step depend on beside the configuration, for the manifest."""
    return {
        "world_size": context.world_size,
        "torch": torch.__version__,
        "device": context.device.type,
        "num_threads": context.num_threads,
    }


def save_model(path: Path, state: dict[str, Any]) -> None:
    """Replace ``path`` by a plain state_dict: written beside, flushed, renamed, so that a reader never sees half of it.

    Raises:
        OSError, RuntimeError: it cannot be written; ``path`` is then as it was and nothing is left beside it.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, FILE_MODE)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _drop_halves(path: Path) -> None:
    """Remove what a process that was killed in ``save_model`` has left."""
    for half in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):
            half.unlink()


def _saver(value: dict[str, Any]) -> Callable[[BinaryIO], None]:
    return lambda file: torch.save(value, file)


def _line(numbers: list[float]) -> _PartLine | None:
    is_written, size, *words = numbers
    return {"sha256": _DIGEST.pack(*map(int, words)).hex(), "bytes": int(size)} if is_written else None


def _describe(error: BaseException) -> str:
    """Where the disk is full, torch's writer says what it did not find, and has the cause as its context."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__context__
    return (str(error) or type(error).__name__).splitlines()[0]
