"""Which point every point is compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.document import Path
from engine.core.layers import dotted
from engine.core.matrix import Axis
from engine.core.partial import PartialPoint, config_value
from engine.core.points import DraftPoint
from engine.core.wording import list_names, plain

__all__ = ["BaselineChoice", "choose_baselines", "default_baseline"]

_SCALE_KEYS = ("world_size", "nodes")
_SCALE_TABLES = ("dp", "ddp", "rpc_pipeline", "fsdp", "pipeline")


@dataclass(frozen=True, kw_only=True)
class BaselineChoice:
    """The baseline of one point.

    Attributes:
        index: of the baseline in the list of points, or None.
        reason: one line: how it was chosen, or why there is none.
    """

    index: int | None
    reason: str


def default_baseline(points: Sequence[DraftPoint]) -> PartialPoint:
    """``strategy = "single"`` where some point is that, ``world_size = 1`` for a script that has such a point.

    Else nothing: the fewest devices of the same strategy.
    """
    scripts = [point for point in points if point.config.script is not None]
    if len(scripts) == len(points) and any(point.config.world_size == 1 for point in scripts):
        return PartialPoint(keys={("world_size",): 1}, labels={})
    has_single = any(point.config.strategy == "single" for point in points)
    return PartialPoint(keys={("strategy",): "single"} if has_single else {}, labels={})


def choose_baselines(points: Sequence[DraftPoint], partial: PartialPoint, axes: Sequence[Axis]) -> list[BaselineChoice]:
    """Choose for each point, among the points that fit ``partial``, the one that equals it on all other axes.

    Axes of scale (``world_size``, ``nodes``, ``dp.*``, ``ddp.*`` and the like) need not be equal. Of several the
    one with the fewest devices is taken, and of those the one that is equal on the axes of scale too.
    """
    compared = _compared_paths(partial, axes)
    scale = sorted({path for axis in axes for path in axis.paths if _is_scale(path)}, key=dotted)
    fitting = [index for index, point in enumerate(points) if partial.fits(point.config, point.axes)]
    by_key: dict[str, list[int]] = {}
    for index in fitting:
        by_key.setdefault(_key(points[index], compared), []).append(index)
    choices = []
    for point in points:
        candidates = by_key.get(_key(point, compared), [])
        if candidates:
            choices.append(_smallest(point, points, candidates, partial, scale))
        else:
            choices.append(BaselineChoice(index=None, reason=_why_none(point, points, fitting, partial, compared)))
    return choices


def _compared_paths(partial: PartialPoint, axes: Sequence[Axis]) -> list[Path]:
    named = {path for axis in axes if axis.name in partial.labels for path in axis.paths}
    paths = {path for axis in axes for path in axis.paths} | {("strategy",)}
    left = {path for path in paths if path not in partial.keys and path not in named and not _is_scale(path)}
    return sorted(left, key=dotted)


def _is_scale(path: Path) -> bool:
    return path[0] in _SCALE_TABLES or path[0] in _SCALE_KEYS


def _key(point: DraftPoint, paths: Sequence[Path]) -> str:
    return json.dumps([config_value(point.config, path) for path in paths], sort_keys=True)


def _num_devices(point: DraftPoint) -> tuple[bool, int]:
    """Devices; "gpu" is not counted yet and may be many: it comes after every known number."""
    is_unknown = point.config.world_size == "gpu" or (
        point.config.strategy == "dp" and point.config.dp.num_replicas == "gpu"
    )
    return is_unknown, point.topology.num_devices


def _smallest(
    point: DraftPoint,
    points: Sequence[DraftPoint],
    candidates: Sequence[int],
    partial: PartialPoint,
    scale: Sequence[Path],
) -> BaselineChoice:
    fewest = min(_num_devices(points[index]) for index in candidates)
    smallest = [index for index in candidates if _num_devices(points[index]) == fewest]
    own = [path for path in scale if path[0] in _SCALE_TABLES]
    alike = [index for index in smallest if _key(points[index], own) == _key(point, own)]
    fits = str(partial) or f"strategy={point.config.strategy}"
    if len(smallest) == 1 or len(alike) == 1:
        chosen = smallest[0] if len(smallest) == 1 else alike[0]
        return BaselineChoice(index=chosen, reason=f"{fits}, equal on all other axes, the fewest devices")
    first, second = (_labels(points[index]) for index in smallest[:2])
    reason = f"no baseline: {len(smallest)} points fit {fits} equally ({first}; {second}); name one with more keys"
    return BaselineChoice(index=None, reason=reason)


def _why_none(
    point: DraftPoint,
    points: Sequence[DraftPoint],
    fitting: Sequence[int],
    partial: PartialPoint,
    paths: Sequence[Path],
) -> str:
    differing: list[list[Path]] = [
        [path for path in paths if config_value(points[index].config, path) != config_value(point.config, path)]
        for index in fitting[:50]
    ]
    nearest = min(differing, key=len, default=[])
    wanted = list_names(f"{dotted(path)}={plain(config_value(point.config, path))}" for path in nearest)
    return f"no baseline: no point with {partial} has {wanted}"


def _labels(point: DraftPoint) -> str:
    return ", ".join(f"{name}={plain(label)}" for name, label in point.axes.items() if label is not None)
