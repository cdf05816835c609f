"""The JSON Schema of the experiment file, and what it allows at a key, in words."""

from __future__ import annotations

import copy
from functools import cache
from typing import Annotated, Any, Literal, overload

from pydantic import BaseModel, Field

from engine.core.document import Path
from engine.core.spec import Positive, RunConfig, Strict

__all__ = [
    "SHARED_SETTINGS",
    "ExperimentSettings",
    "allowed_at",
    "closed_keys_at",
    "is_table_at",
    "make_schema",
    "sample_at",
]

Node = dict[str, Any]


class ExperimentSettings(Strict):
    """The keys of an ``[[experiment]]`` that are not of one run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Names the folder of its results: letters, digits, ``.``, ``_`` and ``-``."""
    description: str = ""
    """One line for lists and the report."""
    extends: str | None = None
    """The experiment whose keys this one takes over; ``matrix`` is replaced as a whole if given."""
    baseline: dict[str, Any] | None = None
    """A partial point (``{ strategy = "single" }``): each run is compared with the one equal on all other axes."""
    repeats: Positive = 1
    """Runs of every point, interleaved; three or more give an interval."""
    on_error: Literal["continue", "stop"] = "continue"
    """Whether the other runs of the experiment go on after one fails."""
    matrix: dict[str, Any] = Field(default={})
    """Axis -> list of values: keys of a run (dotted keys too), or named tables that set several keys."""
    exclude: list[dict[str, Any]] = Field(default=[])
    """Partial points to leave out."""
    reference: dict[str, Any] = Field(default={})
    """Published figures, shown beside ours."""


SHARED_SETTINGS = ("repeats", "on_error", "baseline")
"""Settings that may also stand under ``[defaults]``."""


def make_schema() -> Node:
    """Return the JSON Schema (draft 2020-12) of a whole experiment file, for editors."""
    config = _schema_of(RunConfig)
    settings = _schema_of(ExperimentSettings)
    properties = copy.deepcopy(config["properties"])
    own = copy.deepcopy(settings["properties"])
    axis = {"anyOf": [{"type": "array", "minItems": 1}, {"type": "object"}]}
    own["matrix"] = {**own["matrix"], "additionalProperties": axis}
    defaults = {
        "type": "object",
        "description": "Keys for every experiment of the file.",
        "properties": {**properties, **{key: own[key] for key in SHARED_SETTINGS}},
        "additionalProperties": False,
    }
    experiment = {
        "type": "object",
        "description": "A named set of runs that are compared with one another.",
        "properties": {**own, **properties},
        "required": ["name"],
        "additionalProperties": False,
    }
    definitions = copy.deepcopy(config.get("$defs", {}))
    for definition in definitions.values():
        # Each table of the file may give only some keys: lr may come from [defaults], momentum from the experiment.
        definition.pop("required", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ddptui experiment file",
        "type": "object",
        "properties": {
            "defaults": defaults,
            "experiment": {"type": "array", "items": experiment, "minItems": 1},
        },
        "required": ["experiment"],
        "additionalProperties": False,
        "$defs": definitions,
    }


@cache
def _schema_of(model: type[BaseModel]) -> Node:
    return model.model_json_schema()


def _resolve(model: type[BaseModel], node: Node) -> Node:
    while "$ref" in node:
        node = _schema_of(model)["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _options(model: type[BaseModel], node: Node) -> list[Node]:
    """The alternatives of ``node``, without null: a key that is None is one that is not given."""
    node = _resolve(model, node)
    if "anyOf" not in node:
        return [node]
    options = [option for child in node["anyOf"] for option in _options(model, child)]
    return [option for option in options if option.get("type") != "null"]


def _nodes_at(model: type[BaseModel], path: Path) -> list[Node]:
    nodes = [_schema_of(model)]
    for part in path:
        children = []
        for node in nodes:
            if isinstance(part, int):
                child = node.get("items")
            else:
                child = node.get("properties", {}).get(part, node.get("additionalProperties"))
            if isinstance(child, dict):
                children.append(child)
        nodes = [option for child in children for option in _options(model, child)]
    return nodes


@overload
def allowed_at(model: type[BaseModel], path: Path, *, as_choices: Literal[True]) -> list[str]: ...


@overload
def allowed_at(model: type[BaseModel], path: Path, *, as_choices: Literal[False] = False) -> str: ...


def allowed_at(model: type[BaseModel], path: Path, *, as_choices: bool = False) -> str | list[str]:
    """Say what ``model`` allows at ``path``: ``a whole number of at least 1, or "gpu"``.

    Args:
        model: the pydantic model of the root.
        path: keys and indices from there.
        as_choices: return only the fixed words that are allowed there.
    """
    nodes = _nodes_at(model, path)
    if as_choices:
        return [word for node in nodes for word in node.get("enum", [node.get("const")]) if isinstance(word, str)]
    return ", or ".join(dict.fromkeys(_words(model, node) for node in nodes)) or "anything"


def _words(model: type[BaseModel], node: Node) -> str:
    if "const" in node:
        return f'"{node["const"]}"'
    if "enum" in node:
        return ", ".join(f'"{word}"' for word in node["enum"])
    kind = node.get("type")
    if kind == "array":
        items = " or ".join(_words(model, option) for option in _options(model, node.get("items", {})))
        number = (
            f"{node['minItems']} values, each" if node.get("minItems") == node.get("maxItems", 0) else "values, each"
        )
        return f"a list of {number} {items}"
    if kind == "string":
        pattern = "letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 100 characters"
        return f"text of {pattern}" if "pattern" in node else "text in quotes"
    if kind == "object" and node.get("required"):
        return f"a table with {', '.join(node['required'])}"
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "a table"}
    return words.get(str(kind), "any value") + _bounds(node)


def _bounds(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return f" above {node['exclusiveMinimum']:g}" if "exclusiveMinimum" in node else ""


def closed_keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys of the table at ``path``; for the root, the dotted keys of its tables too."""
    keys = [key for node in _nodes_at(model, path) for key in node.get("properties", {})]
    if not path:
        keys += [f"{key}.{child}" for key in keys for child in closed_keys_at(model, (key,))]
    return keys


def sample_at(model: type[BaseModel], path: Path) -> Any:
    """Some allowed value for ``path``, to go on checking the rest with."""
    nodes = _nodes_at(model, path)
    return _sample(model, nodes[0]) if nodes else None


def _sample(model: type[BaseModel], node: Node) -> Any:
    if "const" in node or "enum" in node:
        return node.get("const", node.get("enum", [None])[0])
    kind = node.get("type")
    if kind == "object":
        required = {key: node["properties"][key] for key in node.get("required", [])}
        return {key: _sample(model, _options(model, child)[0]) for key, child in required.items()}
    if kind == "array":
        items = _options(model, node.get("items", {}))
        return [_sample(model, items[0])] * node.get("minItems", 0)
    number = node.get("minimum", 1)
    return {"string": "a:b", "integer": number, "number": float(number), "boolean": False}.get(str(kind))


def is_table_at(model: type[BaseModel], path: Path) -> bool:
    """Whether the value at ``path`` is a table."""
    return any(node.get("type") == "object" for node in _nodes_at(model, path))
