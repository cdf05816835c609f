"""Tables over tables: defaults, experiments, matrix values, ``--set``; each knows where it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import tomli

from engine.core.document import Document, Path, nested_values, unusable_value
from engine.core.errors import Problem
from engine.core.spec import Optimizer, Scheduler

__all__ = [
    "Layer",
    "Source",
    "dotted",
    "expand_keys",
    "leaf_paths",
    "merge",
    "merge_config",
    "nest",
    "parse_sets",
    "source_of",
    "value_at",
]

_BATCH_KEYS = ("global_batch_size", "local_batch_size")
_OWN_ARGUMENTS = {"model": "model_args", "dataset": "dataset_args"}
_DEFAULT_NAMES = {
    "optimizer": Optimizer.model_fields["name"].default,
    "scheduler": Scheduler.model_fields["name"].default,
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a table of values was written.

    Attributes:
        document: the file; None for ``--set``.
        root: the table's (or value's) path in ``document``.
        depth: how many leading parts of a path ``root`` already stands for: 1 for values of the axis ``world_size``.
        label: ``--set a.b=c``, or "" for the file.
    """

    document: Document | None = None
    root: Path = ()
    depth: int = 0
    label: str = ""

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Make the ``Problem`` about ``path``, counted from the root of a run's configuration."""
        if self.document is None:
            key = dotted(path)
            is_named = not key or self.label.startswith(f"--set {key}=")
            return Problem(message=message if is_named else f"{key}: {message}", key=self.label)
        full = self._written(self.document, path)
        return self.document.problem(full, message, key=_typed_key(full), at_key=at_key)

    def _written(self, document: Document, path: Path) -> Path:
        """The path as written: ``"ddp.comm_hook"`` in quotes is one key of the file and two of ours."""
        rest = path[self.depth :]
        full = (*self.root, *rest)
        num_keys = next((index for index, part in enumerate(rest) if isinstance(part, int)), len(rest))
        for length in range(num_keys, 1, -1):
            quoted = (*self.root, dotted(rest[:length]), *rest[length:])
            if document.knows(quoted) and not document.knows(full):
                return quoted
        return full

    def below(self, *parts: str | int, depth: int = 0) -> Source:
        """The source of the table or value at ``parts`` of this one, itself a root of paths."""
        return replace(self, root=(*self.root, *parts), depth=depth)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Some keys of a run's configuration (nested tables) and where they were written."""

    values: dict[str, Any]
    source: Source


def dotted(path: Sequence[str | int]) -> str:
    """``("optimizer", "lr")`` as ``optimizer.lr``; indices are left out."""
    return ".".join(part for part in path if isinstance(part, str))


def _typed_key(full: Path) -> str:
    return dotted(full[2:] if full[:1] == ("experiment",) and len(full) > 1 else full)


def nest(path: Path, value: Any) -> dict[str, Any]:
    """``nest(("a", "b"), 1) == {"a": {"b": 1}}``."""
    for part in reversed(path):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def expand_keys(table: dict[str, Any]) -> dict[str, Any]:
    """Turn quoted dotted keys of ``table`` (``"ddp.comm_hook" = ...``) into nested tables."""
    expanded: dict[str, Any] = {}
    for key, value in table.items():
        expanded = merge(expanded, nest(tuple(key.split(".")), value))
    return expanded


def merge(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Lay ``upper`` over ``lower``, tables into tables; neither is changed.

    A table whose ``name`` differs replaces the lower one whole: sgd's momentum does not leak into adam.
    """
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and not _has_other_name(key, below, value):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def merge_config(lower: dict[str, Any], upper: dict[str, Any], *, is_axis: bool = False) -> dict[str, Any]:
    """As ``merge``, for configurations of a run: of the two batch sizes the nearer wins.

    Another model or dataset drops the arguments given below it for the other; not so for an axis (``is_axis``), whose
    models share the arguments that the experiment gives.
    """
    dropped = set()
    given = [key for key in _BATCH_KEYS if key in upper]
    if len(given) == 1:
        dropped = set(_BATCH_KEYS) - set(given)
    for key, arguments in _OWN_ARGUMENTS.items():
        if not is_axis and key in upper and key in lower and upper[key] != lower[key]:
            dropped.add(arguments)
    return merge({key: value for key, value in lower.items() if key not in dropped}, upper)


def _has_other_name(key: str, below: dict[str, Any], value: dict[str, Any]) -> bool:
    default = _DEFAULT_NAMES.get(key)
    return "name" in value and value["name"] != below.get("name", default)


def value_at(table: Any, path: Path) -> Any:
    """The value at ``path`` of nested tables, or None."""
    for part in path:
        if not isinstance(table, dict):
            return None
        table = table.get(part)
    return table


def leaf_paths(table: dict[str, Any]) -> list[Path]:
    """The paths of all values in ``table`` that are not themselves tables; empty tables count as values."""
    return [
        path
        for path, value in nested_values(table)
        if not (isinstance(value, dict) and value) and all(isinstance(part, str) for part in path)
    ]


def source_of(layers: Sequence[Layer], path: Path) -> Source:
    """The source of the nearest layer that gives ``path``, or the longest beginning of it; else the first layer's."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if _gives(layer.values, path[:length]):
                return layer.source
    return layers[0].source


def _gives(table: Any, path: Path) -> bool:
    for part in path:
        is_key = isinstance(table, dict) and part in table
        is_index = isinstance(table, list) and isinstance(part, int) and part < len(table)
        if not (is_key or is_index):
            return False
        table = table[part]
    return True


def parse_sets(arguments: Sequence[str]) -> tuple[list[Layer], list[Problem]]:
    """Read ``a.b=c`` arguments of ``--set``; values are TOML, or text where they are not.

    Returns:
        A layer for each argument, and what is wrong with those that cannot be read.
    """
    layers, problems = [], []
    for argument in arguments:
        label = f"--set {argument}"
        key, equals, value = argument.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        message = ""
        if not equals or not all(path):
            message = "write it as key=value, for example --set optimizer.lr=0.1"
        elif path[0] in ("name", "extends"):
            message = f"{path[0]} belongs to one experiment and cannot be set for all"
        else:
            table = nest(path, _toml_value(value.strip()))
            message = next(filter(None, (unusable_value(*item) for item in nested_values(table))), "")
        if message:
            problems.append(Problem(message=message, key=label))
        else:
            layers.append(Layer(values=table, source=Source(label=label)))
    return layers, problems


def _toml_value(text: str) -> Any:
    try:
        table = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
