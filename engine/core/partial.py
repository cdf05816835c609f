"""Partial points: the keys and axis labels by which a baseline or an exclude names points of a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.checks import check_layer
from engine.core.document import Path
from engine.core.errors import Problem
from engine.core.layers import Layer, Source, dotted, expand_keys, leaf_paths, value_at
from engine.core.matrix import Axis
from engine.core.plan_catalog import PlanCatalog
from engine.core.spec import RunConfig
from engine.core.wording import plain

__all__ = ["PartialPoint", "config_value", "read_partial", "same"]


@dataclass(frozen=True, kw_only=True)
class PartialPoint:
    """Keys and axis labels that a point must have: ``{ strategy = "single" }``."""

    keys: dict[Path, Any]
    labels: dict[str, Any]

    def fits(self, config: RunConfig, axes: Mapping[str, Any]) -> bool:
        """Whether the point with ``config`` and labels ``axes`` has them all."""
        return all(
            same(config_value(config, path), value) or same(axes.get(dotted(path)), value)
            for path, value in self.keys.items()
        ) and all(same(axes.get(name), label) for name, label in self.labels.items())

    def __str__(self) -> str:
        keys = {dotted(path): value for path, value in self.keys.items()}
        return ", ".join(f"{key}={plain(value)}" for key, value in (keys | self.labels).items())


def read_partial(
    table: dict[str, Any], source: Source, axes: Sequence[Axis], catalog: PlanCatalog
) -> tuple[PartialPoint, list[Problem]]:
    """Check a partial point.

    Args:
        table: as written.
        source: of it.
        axes: whose names may be used beside the keys of a run.
        catalog: the known names.
    """
    named = {axis.name for axis in axes if axis.name not in RunConfig.model_fields}
    labels = {key: value for key, value in table.items() if key in named}
    values = expand_keys({key: value for key, value in table.items() if key not in named})
    checked = check_layer(Layer(values=values, source=source), catalog, extra_keys=named)
    problems = checked.problems
    own_labels = {axis.name: [value.label for value in axis.values] for axis in axes}
    # A list of named tables may be called like a key of a run; then its names are allowed too.
    if problems and all(value in own_labels.get(key, []) for key, value in values.items()):
        return PartialPoint(keys={}, labels=dict(table)), []
    return PartialPoint(keys={path: value_at(values, path) for path in leaf_paths(values)}, labels=labels), problems


def same(one: object, other: object) -> bool:
    """Equal, with ``true`` and ``1`` kept apart."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def config_value(config: RunConfig, path: Path) -> Any:
    """The value of ``config`` at ``path``, tables as plain values; None where there is none."""
    value: Any = config
    for part in path:
        value = value.get(part) if isinstance(value, dict) else getattr(value, str(part), None)
    return value.model_dump() if hasattr(value, "model_dump") else value
