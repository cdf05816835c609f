"""What a run goes on from: the snapshot that its attempt names, loaded as plain tensors and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.core.errors import DdptuiError
from engine.core.fields import whole
from engine.snapshots import MANIFEST, SHARED_PART, part_of
from engine.store import AttemptPaths, RunPaths, read_json
from engine.worker.context import RankContext
from engine.worker.snapshot import Position, describe_origin
from engine.worker.strategies.interface import Saved

__all__ = ["Resumed", "load_resumed"]

_NAMES = {"world_size": "ranks", "torch": "torch", "device": "device", "num_threads": "threads per rank"}


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """Where a run goes on.

    Attributes:
        saved: of model, data and random numbers.
        position: of the loop.
        warning: why what follows is not the same run bit for bit, or "".
    """

    saved: Saved
    position: Position
    warning: str


def load_resumed(
    paths: RunPaths, attempt: AttemptPaths, context: RankContext, *, global_batch_size: int
) -> Resumed | None:
    """Load the snapshot that ``attempt.json`` names; None where the run begins anew.

    Args:
        paths: the run's folder.
        attempt: the attempt's folder.
        context: this rank.
        global_batch_size: samples of a step now.

    Raises:
        DdptuiError: it cannot be loaded.
    """
    name = (read_json(attempt.attempt) or {}).get("snapshot")
    if not isinstance(name, str) or not name.isdecimal():
        return None
    folder = paths.snapshots / name
    manifest = read_json(folder / MANIFEST) or {}
    has_own = manifest.get("world_size") == context.world_size
    try:
        shared = _load(folder / SHARED_PART)
        own = _load(folder / part_of(context.rank)) if has_own else None
        position = Position(**(own or shared)["position"])
        saved = Saved(
            shared=shared["strategy"],
            own=None if own is None else own["strategy"],
            loader=None if own is None else own["loader"],
            random=None if own is None else own["random"],
        )
    except Exception as error:  # whatever torch meets in it: it is the snapshot that is broken
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise DdptuiError(f"the snapshot {folder} cannot be loaded: {said}") from error
    if own is None:
        _move(position, whole(manifest, "global_batch_size"), global_batch_size)
    return Resumed(saved=saved, position=position, warning=_compare(manifest, describe_origin(context)))


def _load(path: Path) -> dict[str, Any]:
    """Load plain values only: a snapshot may come from anywhere, and a pickle may hold a program."""
    value: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return value


def _move(position: Position, then: int | None, now: int) -> None:
    """Another number of ranks has seen other shares of the epoch, perhaps in steps of another size."""
    position.sums = []
    if then is not None and then != now:
        position.number = position.number * then // now


def _compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    different = [f"{_NAMES[key]} {then.get(key)} then, {now[key]} now" for key in now if then.get(key) != now[key]]
    return f"what follows is not the same run bit for bit: {'; '.join(different)}" if different else ""
