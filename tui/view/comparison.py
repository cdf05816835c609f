"""An experiment compared: its points against their baselines, as the Compare mode shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.analysis.scaling import PointRow  # loads the statistics: only where points are made

__all__ = ["Comparison"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One experiment.

    Attributes:
        revision: another number for another content.
        experiment: its name.
        points: one row per point, in the order of the plan.
        reference: published figures of the TOML, as they stand there.
        data_notes: such as that the data is synthetic.
        problem: why there is nothing, or "".
    """

    revision: int
    experiment: str
    points: tuple[PointRow, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)
    data_notes: tuple[str, ...] = ()
    problem: str = ""
