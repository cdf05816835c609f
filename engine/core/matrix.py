"""The axes of an experiment's matrix, each value checked and laid out as keys of a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.checks import check_layer, find_mistakes
from engine.core.document import Path
from engine.core.errors import Problem
from engine.core.experiments import Setting
from engine.core.layers import Layer, Source, dotted, expand_keys, leaf_paths, nest
from engine.core.plan_catalog import PlanCatalog
from engine.core.schema import is_table_at
from engine.core.spec import RunConfig
from engine.core.wording import show

__all__ = ["Axis", "AxisValue", "read_axes"]

_BATCH_KEYS = {("global_batch_size",), ("local_batch_size",)}


@dataclass(frozen=True, kw_only=True)
class AxisValue:
    """One value of an axis: what it is called, and the keys that it sets."""

    label: Any
    layer: Layer


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        name: the dotted key, or the name of a list of named tables.
        path: of the key; () for named tables.
        values: in the order of the file.
        paths: every path that a value sets.
        source: of the list.
        repaired: paths whose values were wrong.
    """

    name: str
    path: Path
    values: list[AxisValue]
    paths: frozenset[Path]
    source: Source
    repaired: frozenset[Path]


def read_axes(
    matrices: Sequence[Setting], sets: Sequence[Layer], catalog: PlanCatalog
) -> tuple[list[Axis], list[Problem]]:
    """Read the axes of ``matrices``, a later one over an earlier one; a key that ``sets`` give is no axis any more."""
    problems: list[Problem] = []
    found: dict[str, tuple[Path, Any, Source]] = {}
    for matrix in matrices:
        names: set[str] = set()
        for path, value, source in _flatten(matrix.value, (), matrix.source):
            if dotted(path) in names:
                problems.append(source.problem(path, f"axis {dotted(path)} is given twice", at_key=True))
            names.add(dotted(path))
            found[dotted(path)] = (path, value, source)
    fixed = [path for layer in sets for path in leaf_paths(layer.values)]
    axes: list[Axis] = []
    for name, (path, value, source) in found.items():
        if any(path[: len(key)] == key for key in fixed):
            continue
        message = _shape_mistake(value)
        if message:
            problems.append(source.problem(path, message))
            continue
        axis, wrong = _read_axis(name, path, value, source, catalog)
        problems += wrong
        if axis is not None:
            problems += _conflicts(axis, axes)
            axes.append(axis)
    return axes, problems


def _flatten(table: dict[str, Any], path: Path, source: Source) -> Iterator[tuple[Path, Any, Source]]:
    """Axes as (path, list, source of the list): tables inside the matrix are dotted keys."""
    for key, value in table.items():
        below = (*path, *key.split("."))
        child = source.below(key)
        if isinstance(value, dict) and value:
            yield from _flatten(value, below, child)
        else:
            yield below, value, Source(document=child.document, root=child.root, label=child.label, depth=len(below))


def _shape_mistake(value: Any) -> str:
    if not isinstance(value, list):
        return f"got {show(value)}; an axis is a list of values: write [{show(value)}]"
    if not value:
        return "the axis has no values; give at least one, or leave the axis out"
    return ""


def _read_axis(
    name: str, path: Path, values: list[Any], source: Source, catalog: PlanCatalog
) -> tuple[Axis | None, list[Problem]]:
    if len(path) == 1 and all(isinstance(value, dict) for value in values) and not is_table_at(RunConfig, path):
        return _read_named(name, values, source, catalog)
    unknown = [m for m in find_mistakes(RunConfig, nest(path, values[0]))[0] if m.at_key and len(m.path) <= len(path)]
    if unknown:
        message = f"{unknown[0].message} (an axis is a key of a run, or a list of tables that each have a name)"
        return None, [source.problem(path, message, at_key=True)]
    axis_values, problems, repaired = [], [], set[Path]()
    labels = _labels(values)
    for index, value in enumerate(values):
        layer = Layer(values=nest(path, value), source=source.below(index, depth=len(path)))
        checked = check_layer(layer, catalog)
        problems += checked.problems
        repaired |= checked.repaired
        axis_values.append(AxisValue(label=labels[index], layer=checked.layer))
    return _make_axis(name, path, axis_values, source, repaired), problems


def _read_named(
    name: str, tables: list[dict[str, Any]], source: Source, catalog: PlanCatalog
) -> tuple[Axis | None, list[Problem]]:
    axis_values, problems, repaired, names = [], [], set[Path](), set[str]()
    for index, table in enumerate(tables):
        own = source.below(index)
        label = table.get("name")
        if not isinstance(label, str) or not label:
            message = "is missing" if label is None else f"got {show(label)}"
            problems.append(own.problem(("name",), f"{message}; each table of axis {name} needs a name in quotes"))
            continue
        if label in names:
            problems.append(own.problem(("name",), f"{show(label)} is already used on axis {name}"))
        names.add(label)
        values = expand_keys({key: value for key, value in table.items() if key != "name"})
        checked = check_layer(Layer(values=values, source=own), catalog)
        problems += checked.problems
        repaired |= checked.repaired
        axis_values.append(AxisValue(label=label, layer=checked.layer))
    return _make_axis(name, (), axis_values, source, repaired), problems


def _make_axis(name: str, path: Path, values: list[AxisValue], source: Source, repaired: set[Path]) -> Axis | None:
    if not values:
        return None
    paths = frozenset(leaf for value in values for leaf in leaf_paths(value.layer.values))
    return Axis(name=name, path=path, values=values, paths=paths, source=source, repaired=frozenset(repaired))


def _labels(values: list[Any]) -> list[Any]:
    """Scalars as they are; tables by their name where that tells them apart, else written out."""
    names = [value.get("name") if isinstance(value, dict) else None for value in values]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return names
    return [show(value) if isinstance(value, dict) else value for value in values]


def _conflicts(axis: Axis, others: Sequence[Axis]) -> list[Problem]:
    for other in others:
        for path in sorted(axis.paths, key=dotted):
            shared = [p for p in other.paths if p[: len(path)] == path or path[: len(p)] == p]
            rival = path in _BATCH_KEYS and bool(other.paths & (_BATCH_KEYS - {path}))
            if shared or rival:
                why = (
                    "the two batch sizes cannot both be axes"
                    if rival and not shared
                    else f"{dotted(path)} is set by both"
                )
                return [
                    axis.source.problem(
                        axis.path, f"axis {axis.name} contradicts axis {other.name}: {why}", at_key=True
                    )
                ]
    return []
