"""From layers and axes to the points of an experiment: each validated, its ranks settled, duplicates collapsed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from engine.core.checks import fill_missing, find_mistakes, mentioned_path
from engine.core.document import Path
from engine.core.errors import Problem
from engine.core.experiments import Experiment
from engine.core.layers import Layer, leaf_paths, merge_config, source_of, value_at
from engine.core.matrix import Axis, AxisValue
from engine.core.own_script import TRAINING_KEYS
from engine.core.partial import PartialPoint, config_value
from engine.core.plan_catalog import PlanCatalog, StrategyTraits
from engine.core.result_config import result_of
from engine.core.spec import PartitionArgs, RunConfig
from engine.core.topology import Topology, make_topology
from engine.core.wording import count, plain

__all__ = ["DraftPoint", "PointMaker"]

SMOKE_STEPS = 5

_TOPOLOGY_KEYS = frozenset({"strategy", "world_size", "nodes", "dp", "rpc_pipeline", "pipeline", "slow"}) | {
    "global_batch_size",
    "local_batch_size",
    "gradient_accumulation_steps",
}


@dataclass(frozen=True, kw_only=True)
class DraftPoint:
    """One point of the matrix before it has a name and a baseline.

    Attributes:
        axes: its label on each axis; None where the axis has no meaning for its strategy.
        config: with the base seed.
        topology: its sizes.
        identity: canonical JSON of all that alters its result.
    """

    axes: dict[str, Any]
    config: RunConfig
    topology: Topology
    identity: str


@dataclass(kw_only=True)
class PointMaker:
    """Makes the points of one experiment and collects what is said about them.

    Attributes:
        experiment: its layers.
        axes: of its matrix.
        catalog: the known names.
        is_smoke: every point for five steps.
        problems: errors so far, each once.
        notes: what was left out, one line a reason.
    """

    experiment: Experiment
    axes: Sequence[Axis]
    catalog: PlanCatalog
    is_smoke: bool = False
    problems: dict[Problem, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _left_out: dict[str, list[str]] = field(default_factory=dict)
    _topology_problems: dict[Problem, list[str]] = field(default_factory=dict)

    def make(self, excludes: Sequence[PartialPoint]) -> list[DraftPoint]:
        """Make every point of the matrix but the excluded, the impossible and the doubled ones."""
        base: dict[str, Any] = {}
        for layer in self.experiment.layers:
            base = merge_config(base, layer.values)
        num_fits = [0] * len(excludes)
        points: dict[str, DraftPoint] = {}
        for combination in itertools.product(*(axis.values for axis in self.axes)):
            values = self._for_script(self._lay_over(base, combination), combination)
            config = self._validate(values, combination)
            labels = {axis.name: value.label for axis, value in zip(self.axes, combination, strict=True)}
            if config is None or config.strategy not in self.catalog.traits:
                continue
            config, reason = self._settle_ranks(config, values, combination)
            fits = [exclude.fits(config, labels) for exclude in excludes]
            num_fits = [number + fit for number, fit in zip(num_fits, fits, strict=True)]
            if any(fits):
                continue
            if reason:
                self._left_out.setdefault(reason, []).append(_describe(labels))
                continue
            topology = self._topology(config, labels, combination)
            if topology is not None:
                self._add(points, config, labels, topology)
        self._say_left_out()
        for exclude, number in zip(excludes, num_fits, strict=True):
            if not number:
                self.notes.append(f"exclude {exclude} matches no point")
        return list(points.values())

    def _lay_over(self, base: dict[str, Any], combination: Sequence[AxisValue]) -> dict[str, Any]:
        # Whole tables (optimizer) go under single keys of theirs (optimizer.lr), whatever their order in the file.
        order = sorted(range(len(combination)), key=lambda index: len(self.axes[index].path))
        for index in order:
            base = merge_config(base, combination[index].layer.values, is_axis=True)
        for layer in self.experiment.sets:
            base = merge_config(base, layer.values)
        return base

    def _for_script(self, values: dict[str, Any], combination: Sequence[AxisValue]) -> dict[str, Any]:
        """Leave out what ``[defaults]`` say of models and data where the experiment runs a script."""
        if values.get("script") is None:
            return values
        defaults, *others = self._layers(combination)[1:]
        nearer = {key for layer in others for key in layer.values}
        shared = [key for key in values if key in TRAINING_KEYS and key in defaults.values and key not in nearer]
        if shared:
            note = f"{', '.join(sorted(shared))} of [defaults]: not used, the script decides that itself"
            self.notes += [note] if note not in self.notes else []
        return {key: value for key, value in values.items() if key not in shared}

    def _layers(self, combination: Sequence[AxisValue]) -> list[Layer]:
        own = Layer(values={}, source=self.experiment.source)
        return [own, *self.experiment.layers, *(value.layer for value in combination), *self.experiment.sets]

    def _report(
        self, path: Path, message: str, combination: Sequence[AxisValue], *, is_missing: bool = False
    ) -> Problem:
        # What is missing is missing in its table: a layer below may give it to a table that was replaced.
        at = path[:-1] if is_missing else path
        source = source_of(self._layers(combination), at) if at else self.experiment.source
        return source.problem(path, message)

    def _validate(self, values: dict[str, Any], combination: Sequence[AxisValue]) -> RunConfig | None:
        try:
            return RunConfig.model_validate(values)
        except ValidationError:
            pass
        single, together = find_mistakes(RunConfig, values)
        _, rules = find_mistakes(RunConfig, fill_missing(values, together))
        for mistake in dict.fromkeys((*single, *together, *rules)):
            spoiled = any(mistake.path and path[: len(mistake.path)] == mistake.path for path in self._repaired())
            if spoiled:
                continue
            path = mistake.path or mentioned_path(mistake.message, among=leaf_paths(values))
            is_missing = value_at(values, path) is None
            self.problems[self._report(path, mistake.message, combination, is_missing=is_missing)] = None
        return None

    def _repaired(self) -> frozenset[Path]:
        return self.experiment.repaired.union(*(axis.repaired for axis in self.axes))

    def _settle_ranks(
        self, config: RunConfig, values: dict[str, Any], combination: Sequence[AxisValue]
    ) -> tuple[RunConfig, str]:
        """Give rpc_pipeline its world size or stages; say why the point cannot be where a matrix value rules it out."""
        traits = self.catalog.traits[config.strategy]
        if traits.is_one_process:
            wrong = [key for key in ("world_size", "nodes") if getattr(config, key) != 1]
            given = [f"{key} = {plain(getattr(config, key))}" for key in wrong]
            if wrong and self._differ([("strategy",)], [(key,) for key in wrong], combination):
                return config, f"strategy {config.strategy} is one process, not {' and '.join(given)}"
        world_size = config.world_size
        if isinstance(world_size, int) and world_size < traits.min_ranks:
            if "world_size" not in values:
                return config.model_copy(update={"world_size": traits.min_ranks}), ""
            if self._differ([("strategy",)], [("world_size",)], combination):
                return config, f"strategy {config.strategy} needs world_size >= {traits.min_ranks}"
        if traits.num_driver_ranks and traits.devices_from:
            return self._settle_driver(config, traits, values, combination)
        return config, ""

    def _settle_driver(
        self, config: RunConfig, traits: StrategyTraits, values: dict[str, Any], combination: Sequence[AxisValue]
    ) -> tuple[RunConfig, str]:
        table_name, _, stages_key = traits.devices_from.partition(".")
        stages_path = (table_name, stages_key)
        num_stages = config_value(config, stages_path)
        drivers, world_size = traits.num_driver_ranks, config.world_size
        if "world_size" not in values:
            return config.model_copy(update={"world_size": num_stages + drivers}), ""
        has_stages = value_at(values, stages_path) is not None
        if not has_stages and isinstance(world_size, int) and world_size - drivers >= 2:
            table = getattr(config, table_name).model_copy(update={stages_key: world_size - drivers})
            return config.model_copy(update={table_name: table}), ""
        is_left_out = self._differ([("world_size",)], [stages_path], combination)
        if world_size == num_stages + drivers or not is_left_out:
            return config, ""
        if not has_stages:
            return (
                config,
                f"strategy {config.strategy} needs 2 stages and {drivers} driver, not world_size {world_size}",
            )
        needed = f"with {num_stages} stages needs world_size {num_stages + drivers}"
        return config, f"strategy {config.strategy} {needed}, not {plain(world_size)}"

    def _differ(self, ones: Sequence[Path], others: Sequence[Path], combination: Sequence[AxisValue]) -> bool:
        """Whether a matrix value is at odds with a key that was written elsewhere: a point to leave out, no mistake."""
        layers = self._layers(combination)
        by_axis = {value.layer.source for value in combination}
        one = {source_of(layers, path) for path in ones if any(_has(layer, path) for layer in layers)}
        other = {source_of(layers, path) for path in others if any(_has(layer, path) for layer in layers)}
        return bool((one | other) & by_axis) and one != other

    def _topology(self, config: RunConfig, labels: dict[str, Any], combination: Sequence[AxisValue]) -> Topology | None:
        if any(path[0] in _TOPOLOGY_KEYS for path in self._repaired()):
            return None
        traits = self.catalog.traits[config.strategy]
        given = [path for layer in self._layers(combination) for path in leaf_paths(layer.values)]
        try:
            if traits.num_driver_ranks and config.world_size == "gpu":
                raise ValueError(f'world_size = "gpu" does not fit strategy {config.strategy}: its ranks are counted')
            if traits.is_one_process and config.world_size == "gpu":
                raise ValueError(f'strategy {config.strategy} is one process: world_size must be 1, not "gpu"')
            return make_topology(config, traits)
        except ValueError as error:
            path = mentioned_path(str(error), among=given)
            problem = self._report(path, str(error), combination)
            self._topology_problems.setdefault(problem, []).append(_describe(labels))
            return None

    def _add(
        self, points: dict[str, DraftPoint], config: RunConfig, labels: dict[str, Any], topology: Topology
    ) -> None:
        strategies = set(self.catalog.strategies)
        others = (strategies & set(RunConfig.model_fields)) - {config.strategy}
        reset = {table: RunConfig.model_fields[table].default for table in others}
        update: dict[str, Any] = {
            table: default for table, default in reset.items() if getattr(config, table) != default
        }
        arguments = config.partition_args
        if config.partition != "dirichlet" and arguments.alpha != PartitionArgs().alpha:
            update["partition_args"] = PartitionArgs(reshuffle=arguments.reshuffle)
        if self.is_smoke:
            steps = min(config.stop.steps or SMOKE_STEPS, SMOKE_STEPS)
            update["stop"] = config.stop.model_copy(update={"steps": steps})
        config = config.model_copy(update=update) if update else config
        own = {axis.name: axis.path[0] for axis in self.axes if axis.path and axis.path[0] in others}
        axes = {name: None if name in own else label for name, label in labels.items()}
        identity = _identity(config, keep={str(axis.path[0]) for axis in self.axes if axis.path})
        if identity not in points:
            points[identity] = DraftPoint(axes=axes, config=config, topology=topology, identity=identity)
            return
        tables = sorted(own[name] for name in own)
        why = f"the keys of {', '.join(f'[{table}]' for table in dict.fromkeys(map(str, tables)))} mean nothing to "
        reason = f"{why}strategy {config.strategy}" if tables else "equal to another point"
        self._left_out.setdefault(f"a double, {reason}", []).append(_describe(labels))

    def _say_left_out(self) -> None:
        for reason, points in self._left_out.items():
            self.notes.append(f"{count(len(points), 'point')} left out: {reason} ({_few(points)})")
        for problem, points in self._topology_problems.items():
            where = f" (point {_few(points)})" if any(points) else ""
            self.problems[replace(problem, message=problem.message + where)] = None


def _has(layer: Layer, path: Path) -> bool:
    return value_at(layer.values, path) is not None


def _identity(config: RunConfig, keep: Iterable[str]) -> str:
    return json.dumps(result_of(config, keep), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _describe(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={plain(label)}" for name, label in labels.items())


def _few(points: Sequence[str]) -> str:
    rest = f" and {len(points) - 2:,} more" if len(points) > 2 else ""
    return "; ".join(points[:2]) + rest
