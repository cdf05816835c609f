"""The curves of a run as JSON and columns, for a cache."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from engine.core.combine import Combiner, Table
from engine.core.curves import RunCurves
from engine.core.figures import EpochTimes, Evaluations, UserFigures
from engine.core.node_columns import Machines, NodeColumns
from engine.core.packing import Packer, Unpacker, fingerprint
from engine.core.rank_columns import RankColumns
from engine.core.rank_record import Window
from engine.core.run_record import Evaluation
from engine.core.tracks import Curve, NodeTrack, RankTrack
from engine.core.training import Training
from engine.core.user_calls import UserCalls

__all__ = ["pack_curves", "packed_format", "unpack_curves"]

_PACKED = (
    RunCurves, Training, Combiner, Table, Curve, RankColumns, RankTrack, Window, Evaluations, Evaluation, EpochTimes,
    UserCalls, UserFigures, Machines, NodeColumns, NodeTrack,
)  # fmt: skip
"""The classes of which a run's curves are made."""


def pack_curves(curves: RunCurves) -> tuple[Any, list[array[float]]]:
    """Return all of it as JSON and columns; ``unpack_curves`` makes the same of them.

    Raises:
        TypeError: where something cannot be kept.
        RecursionError: where somebody's line is too deep.
    """
    curves.settle_windows()
    packer = Packer(_PACKED)
    return packer.pack(curves), packer.columns


def unpack_curves(packed: Any, columns: Sequence[array[float]]) -> RunCurves:
    """Return what was packed.

    Raises:
        ValueError: where ``packed`` is not what ``pack_curves`` makes.
    """
    try:
        curves = Unpacker(_PACKED, columns).unpack(packed)
    except (TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the curves of a run: {error}") from error
    if not isinstance(curves, RunCurves) or vars(curves).keys() != vars(RunCurves({})).keys():
        raise ValueError("not the curves of a run")
    return curves


def packed_format() -> str:
    """Another text where ``unpack_curves`` would not understand what was packed."""
    return fingerprint(_PACKED)
