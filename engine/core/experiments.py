"""The experiments of a file: their settings, and the layers of configuration that each is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.checks import check_layer, find_mistakes
from engine.core.document import Document, Path
from engine.core.errors import Problem
from engine.core.layers import Layer, Source, merge
from engine.core.plan_catalog import PlanCatalog
from engine.core.schema import SHARED_SETTINGS, ExperimentSettings
from engine.core.spec import RunConfig
from engine.core.wording import did_you_mean, list_names, show

__all__ = ["Experiment", "Setting", "read_experiments"]

_SETTINGS = tuple(ExperimentSettings.model_fields)
_MAX_EXTENDS = 50


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One experiment-level key: its value and where it is written (``source`` is the value's own)."""

    value: Any
    source: Source


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One ``[[experiment]]`` with all that it takes over.

    Attributes:
        name: as given; "" where it cannot be used.
        source: of its own table.
        settings: the settings that are given, nearest first.
        matrices: tables of axes, each over the ones before it.
        layers: configurations from the farthest (defaults) to the nearest; wrong values repaired.
        own_keys: paths that the experiment itself gives beside its matrix.
        sets: the layers of ``--set``.
        repaired: paths that had wrong values.
    """

    name: str
    source: Source
    settings: dict[str, Setting]
    matrices: list[Setting]
    layers: list[Layer]
    own_keys: frozenset[Path]
    sets: list[Layer]
    repaired: frozenset[Path]

    def setting(self, key: str) -> Any:
        """The value of a setting, or its default."""
        if key in self.settings:
            return self.settings[key].value
        return ExperimentSettings.model_fields[key].default


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One table (defaults, an experiment, a --set) in its two halves."""

    settings: dict[str, Setting]
    layer: Layer
    repaired: frozenset[Path]


def read_experiments(
    document: Document, sets: Sequence[Layer], catalog: PlanCatalog
) -> tuple[list[Experiment], list[Problem]]:
    """Read ``[defaults]`` and every ``[[experiment]]`` of ``document``.

    Args:
        document: the file.
        sets: of ``--set``, over everything.
        catalog: the known names.

    Returns:
        The experiments, repaired so that they can be checked further, and everything that is wrong with them.
    """
    problems = _root_problems(document)
    root = Source(document=document)
    table = document.data.get("defaults")
    defaults, found = _read_part(
        table if isinstance(table, dict) else {}, root.below("defaults"), catalog, allowed=SHARED_SETTINGS
    )
    problems += found
    set_parts = []
    for layer in sets:
        part, found = _read_part(layer.values, layer.source, catalog, allowed=_SETTINGS)
        set_parts.append(part)
        problems += found
    tables = document.data.get("experiment")
    parts: list[tuple[dict[str, Any], _Part]] = []
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        if not isinstance(table, dict):
            continue
        part, found = _read_part(table, root.below("experiment", index), catalog, allowed=_SETTINGS, is_experiment=True)
        parts.append((table, part))
        problems += found
    problems += _name_problems([part for _, part in parts])
    experiments = []
    for _, part in parts:
        chain, found = _chain(part, [other for _, other in parts])
        problems += found
        experiments.append(_assemble(part, [defaults, *chain], set_parts))
    return experiments, problems


def _root_problems(document: Document) -> list[Problem]:
    data = document.data
    problems = []
    for key in data:
        if key in ("defaults", "experiment"):
            continue
        known_below = key in RunConfig.model_fields or key in _SETTINGS
        hint = "; it belongs under [defaults] or [[experiment]]" if known_below else ""
        hint = hint or did_you_mean(key, ("defaults", "experiment")) or "; allowed: defaults, experiment"
        problems.append(document.problem((key,), f"unknown key{hint}", key=key, at_key=True))
    if "defaults" in data and not isinstance(data["defaults"], dict):
        problems.append(document.problem(("defaults",), "must be a table: [defaults]", key="defaults"))
    experiments = data.get("experiment")
    if not document.text.strip():
        problems.append(document.problem((), "the file is empty; `ddptui init` writes one to begin with"))
    elif "experiment" not in data or experiments == []:
        problems.append(document.problem((), "there is no [[experiment]] in the file"))
    elif not isinstance(experiments, list) or not all(isinstance(table, dict) for table in experiments):
        problems.append(
            document.problem(
                ("experiment",), "must be an array of tables: [[experiment]]", key="experiment", at_key=True
            )
        )
    return problems


def _read_part(
    table: dict[str, Any],
    source: Source,
    catalog: PlanCatalog,
    *,
    allowed: Sequence[str],
    is_experiment: bool = False,
) -> tuple[_Part, list[Problem]]:
    given = {key: value for key, value in table.items() if key in allowed}
    mistakes, together = find_mistakes(ExperimentSettings, given if is_experiment else {"name": "x", **given})
    if is_experiment:
        mistakes += together
    problems = [source.problem(m.path, m.message, at_key=m.at_key) for m in mistakes]
    wrong = {mistake.path[0] for mistake in mistakes}
    config = {key: value for key, value in table.items() if key not in allowed}
    misplaced = [key for key in config if key in _SETTINGS]
    problems += [source.problem((key,), "belongs in an [[experiment]]", at_key=True) for key in misplaced]
    layer = Layer(values={key: value for key, value in config.items() if key not in misplaced}, source=source)
    checked = check_layer(layer, catalog, extra_keys=allowed)
    settings = {key: Setting(value=value, source=source.below(key)) for key, value in given.items() if key not in wrong}
    repaired = checked.repaired | {(key,) for key in wrong if isinstance(key, str)}
    return _Part(settings=settings, layer=checked.layer, repaired=repaired), problems + checked.problems


def _name_problems(parts: Sequence[_Part]) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for part in parts:
        if "name" not in part.settings:
            continue
        name = part.settings["name"].value
        first = seen.get(name.casefold())
        seen.setdefault(name.casefold(), name)
        if first is not None:
            same = (
                "already used"
                if first == name
                else f"the same folder as {show(first)} on file systems that ignore case"
            )
            problems.append(
                part.layer.source.problem(("name",), f"{show(name)} is {same}; give each experiment its own")
            )
    return problems


def _name_of(part: _Part) -> str:
    return part.settings["name"].value if "name" in part.settings else ""


def _chain(part: _Part, parts: Sequence[_Part]) -> tuple[list[_Part], list[Problem]]:
    """The parts that ``part`` extends, farthest first, with itself at the end."""
    known = {_name_of(other): other for other in reversed(parts) if _name_of(other)}
    chain = [part]
    while "extends" in chain[0].settings:
        wanted = chain[0].settings["extends"].value
        source = chain[0].layer.source
        if wanted not in known:
            others = [name for name in known if name != _name_of(chain[0])]
            message = f"there is no experiment {show(wanted)}; there are: {list_names(others) or 'no others'}"
            return chain, [source.problem(("extends",), message + did_you_mean(wanted, others))]
        parent = known[wanted]
        if any(parent is link for link in chain):
            names = " -> ".join(_name_of(link) for link in (*reversed(chain), chain[0]) if link) or wanted
            message = f"{show(wanted)} extends this one in turn ({names})"
            return chain, [source.problem(("extends",), message)]
        if len(chain) == _MAX_EXTENDS:
            return chain, [source.problem(("extends",), f"more than {_MAX_EXTENDS} experiments extend one another")]
        chain.insert(0, parent)
    return chain, []


def _assemble(part: _Part, chain: Sequence[_Part], set_parts: Sequence[_Part]) -> Experiment:
    settings: dict[str, Setting] = {}
    for link in (*chain, *set_parts):
        for key, setting in link.settings.items():
            if key == "reference" and key in settings:
                setting = Setting(value=merge(settings[key].value, setting.value), source=setting.source)
            settings[key] = setting
    # The matrix of the file is replaced as a whole; --set names one axis of it.
    given = [link.settings["matrix"] for link in chain if "matrix" in link.settings][-1:]
    matrices = given + [link.settings["matrix"] for link in set_parts if "matrix" in link.settings]
    every = (*chain, *set_parts)
    own = frozenset((key,) for key in part.layer.values)
    return Experiment(
        name=_name_of(part),
        source=part.layer.source,
        settings=settings,
        matrices=matrices,
        layers=[link.layer for link in chain],
        own_keys=own,
        sets=[link.layer for link in set_parts if link.layer.values],
        repaired=frozenset(path for link in every for path in link.repaired),
    )
