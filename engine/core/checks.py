"""What pydantic and the catalog say about values, in words of the file that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.core.document import Path
from engine.core.errors import Problem
from engine.core.layers import Layer, dotted, merge, nest, value_at
from engine.core.plan_catalog import PlanCatalog
from engine.core.schema import allowed_at, closed_keys_at, sample_at
from engine.core.spec import RunConfig
from engine.core.wording import did_you_mean, list_names, show

__all__ = [
    "CheckedLayer",
    "Mistake",
    "check_layer",
    "fill_missing",
    "find_mistakes",
    "is_own_name",
    "mentioned_path",
]


_MAX_HINTS = 200
"""Looking for near misses is slow: a file of thousands of unknown keys gets hints for the first ones only."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something wrong at ``path`` of a configuration; ``at_key`` where the key itself is wrong."""

    path: Path
    message: str
    at_key: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckedLayer:
    """A layer with every wrong value replaced by an allowed one, so that the other checks can go on.

    Attributes:
        layer: fit to be merged and validated.
        problems: of the original.
        repaired: the paths of the values that were replaced.
    """

    layer: Layer
    problems: list[Problem]
    repaired: frozenset[Path]


def check_layer(layer: Layer, catalog: PlanCatalog, *, extra_keys: Iterable[str] = ()) -> CheckedLayer:
    """Check every value of ``layer`` by itself: keys, types, bounds, names. What is missing is not looked at.

    Args:
        layer: some keys of a configuration.
        catalog: the known names.
        extra_keys: keys beside those of ``RunConfig`` that could have been meant at the root.
    """
    mistakes, _ = find_mistakes(RunConfig, layer.values, extra_keys=extra_keys)
    wrong = {mistake.path for mistake in mistakes}
    mistakes += [mistake for mistake in _name_mistakes(layer.values, catalog) if mistake.path not in wrong]
    return CheckedLayer(
        layer=Layer(values=_repair(layer.values, mistakes), source=layer.source),
        problems=[layer.source.problem(m.path, m.message, at_key=m.at_key) for m in mistakes],
        repaired=frozenset(mistake.path for mistake in mistakes if not mistake.at_key),
    )


def find_mistakes(
    model: type[BaseModel], values: dict[str, Any], *, extra_keys: Iterable[str] = ()
) -> tuple[list[Mistake], list[Mistake]]:
    """Validate ``values``.

    Returns:
        The mistakes of single keys, and those of keys together: missing ones and broken rules.
    """
    try:
        model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        return [], []
    single: dict[Path, Mistake] = {}
    together = []
    for detail in details:
        path = _clean_path(detail, values)
        if detail["type"] == "missing":
            together.append(Mistake(path=path, message=f"is missing; allowed: {allowed_at(model, path)}"))
        elif detail["type"] == "value_error":
            together.append(Mistake(path=path, message=detail["msg"].removeprefix("Value error, ")))
        elif path not in single:
            has_hint = len(single) < _MAX_HINTS
            single[path] = _single_mistake(model, detail, path, values, extra_keys if has_hint else None)
    # Of the alternatives of a value, the one that went deepest is what was meant.
    tables = {path[:length] for path in single for length in range(len(path))}
    tables |= {mistake.path[:length] for mistake in together for length in range(len(mistake.path) + 1)}
    deepest = [mistake for path, mistake in single.items() if path not in tables]
    return deepest, together


def _single_mistake(
    model: type[BaseModel], detail: ErrorDetails, path: Path, values: dict[str, Any], extra_keys: Iterable[str] | None
) -> Mistake:
    if detail["type"] == "extra_forbidden":
        if extra_keys is None:
            return Mistake(path=path, message="unknown key", at_key=True)
        near = closed_keys_at(model, path[:-1]) + (list(extra_keys) if len(path) == 1 else [])
        hint = did_you_mean(path[-1], near) or (f"; allowed: {list_names(near)}" if len(path) > 1 else "")
        return Mistake(path=path, message=f"unknown key{hint}", at_key=True)
    came = _given_at(values, path)
    message = f"got {show(came)}; allowed: {allowed_at(model, path)}"
    return Mistake(path=path, message=message + _near_choice(model, path, came))


def _near_choice(model: type[BaseModel], path: Path, came: object) -> str:
    node = allowed_at(model, path, as_choices=True)
    return did_you_mean(came, node)


def _clean_path(detail: ErrorDetails, values: Any) -> Path:
    """The error's place without pydantic's names of union members, which are no keys of the file."""
    path: list[str | int] = []
    for number, part in enumerate(detail["loc"]):
        is_last = number == len(detail["loc"]) - 1
        if isinstance(values, dict) and (part in values or (is_last and detail["type"] == "missing")):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _given_at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def fill_missing(values: dict[str, Any], mistakes: Iterable[Mistake]) -> dict[str, Any]:
    """Give every missing key some allowed value, so that the rules over several keys can be checked."""
    for mistake in mistakes:
        parent = value_at(values, mistake.path[:-1])
        if mistake.path and isinstance(parent, dict) and mistake.path[-1] not in parent:
            values = merge(values, nest(mistake.path, sample_at(RunConfig, mistake.path)))
    return values


def _repair(values: dict[str, Any], mistakes: Iterable[Mistake]) -> dict[str, Any]:
    """Replace every wrong value by an allowed one, a list with a wrong element as a whole; unknown keys go."""
    removed, replaced = set[tuple[str, ...]](), set[tuple[str, ...]]()
    for mistake in mistakes:
        keys = tuple(part for part in mistake.path if isinstance(part, str))
        (removed if mistake.at_key else replaced).add(keys)

    def repair(table: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        repaired = {}
        for key, child in table.items():
            below = (*path, key)
            if below in replaced:
                child = sample_at(RunConfig, below)
            elif isinstance(child, dict):
                child = repair(child, below)
            if below not in removed:
                repaired[key] = child
        return repaired

    return repair(values, ())


def is_own_name(name: str) -> bool:
    """Whether ``name`` has the shape of a user's own ``package.module:attribute``."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def _name_mistakes(values: dict[str, Any], catalog: PlanCatalog) -> list[Mistake]:
    tables: list[tuple[str, str, Mapping[str, str]]] = [
        ("model", "model", catalog.models),
        ("dataset", "dataset", catalog.datasets),
        ("loss", "loss", catalog.losses),
    ]
    mistakes = []
    strategy = values.get("strategy")
    if isinstance(strategy, str) and strategy not in catalog.strategies:
        message = f"unknown strategy {show(strategy)}; known: {list_names(catalog.strategies)}"
        mistakes.append(Mistake(path=("strategy",), message=message + did_you_mean(strategy, catalog.strategies)))
    for key, noun, known in tables:
        mistakes += _name_mistake((key,), noun, value_at(values, (key,)), known)
    metrics = values.get("metrics")
    for index, metric in enumerate(metrics if isinstance(metrics, list) else []):
        mistakes += _name_mistake(("metrics", index), "metric", metric, catalog.metrics)
    return mistakes


def _name_mistake(path: Path, noun: str, name: object, known: Mapping[str, str]) -> list[Mistake]:
    if not isinstance(name, str) or name in known or is_own_name(name):
        return []
    if ":" in name:
        message = f'{show(name)} is not of the form "package.module:attribute"'
    else:
        own = 'or your own "package.module:attribute"'
        message = f"unknown {noun} {show(name)}; known: {list_names(known)}, {own}{did_you_mean(name, known)}"
    return [Mistake(path=path, message=message)]


def mentioned_path(message: str, *, among: Iterable[Path]) -> Path:
    """The first key that ``message`` mentions and that is given (``among``), or (); ``strategy`` comes last."""
    given = {dotted(path): path for path in among}
    words = [word.strip(",:;()") for word in message.split()]
    found = [given[word] for word in words if word in given]
    return next((path for path in found if path != ("strategy",)), found[0] if found else ())
