"""Published figures of an experiment beside ours: how ``[experiment.reference]`` of the TOML is read. Pure.

The table is free: what is recognised stands beside our points, everything else is shown as text. Recognised are::

    [experiment.reference]
    source = "Smith et al. 2024, table 3"      # text: shown as it is

    [experiment.reference.throughput_speedup]  # a figure: value by point
    "ddp-w2" = 1.8                             # by id or label of a point, by its name on an axis
    4 = 3.1                                    # (where no other has it), or by world size

    [experiment.reference.points."ddp-w4"]     # a point: value by figure
    throughput_efficiency = 0.65               # ratios, not percent
    total_s = 302

    [experiment.reference]                     # or lists of equal length
    world_size = [1, 2, 4, 8]
    efficiency = [1.0, 0.81, 0.65, 0.46]

Figures are ``samples_per_s``, ``throughput_speedup``, ``throughput_efficiency``, ``time_speedup``, ``time_efficiency``,
``total_s``, ``epoch_s``, ``real_s`` (of the slowest process), ``user_s`` and ``system_s`` (its CPU time, mean of the
ranks), ``steps_per_epoch``, ``epochs_done``, ``test_accuracy``, ``test_loss``, ``best_test_accuracy`` and
``best_validation_loss``; ``throughput``, ``speedup``, ``efficiency`` and ``accuracy`` are taken for ``samples_per_s``,
``throughput_speedup``, ``throughput_efficiency`` and ``test_accuracy``. A world size stands for our
point of that size, the baseline only where there is no other; where there are several, or none, it is drawn, and listed
as text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.analysis.scaling import PointRow
from engine.analysis.statistics import Estimate

__all__ = ["PUBLISHED_FIGURES", "Published", "figure_of", "read_reference"]

PUBLISHED_FIGURES = (
    "samples_per_s",
    "throughput_speedup",
    "throughput_efficiency",
    "time_speedup",
    "time_efficiency",
    "total_s",
    "epoch_s",
    "real_s",
    "user_s",
    "system_s",
    "steps_per_epoch",
    "epochs_done",
    "test_accuracy",
    "test_loss",
    "best_test_accuracy",
    "best_validation_loss",
)

_OTHER_NAMES = {
    "throughput": "samples_per_s",
    "speedup": "throughput_speedup",
    "efficiency": "throughput_efficiency",
    "accuracy": "test_accuracy",
}

_SIZES = ("world_size", "num_devices")

POINTS = "points"

MAX_TEXT = 300


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was found.

    Attributes:
        values: by point id, by figure.
        curves: by figure: number of devices and value, in that order of the devices.
        lines: the rest, a line each.
    """

    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    def value(self, point: str, figure: str) -> float | None:
        """The published figure of a point, or None."""
        return self.values.get(point, {}).get(figure)

    @property
    def figures(self) -> tuple[str, ...]:
        """Those that some point has."""
        found = {name for values in self.values.values() for name in values}
        return tuple(name for name in PUBLISHED_FIGURES if name in found)


@dataclass(kw_only=True)
class _Found:
    points: Sequence[PointRow]
    show: Callable[[str, float], str]
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, dict[float, float]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def take(self, whose: str, figure: str, value: float) -> None:
        """A recognised figure: to our points, or to the text where we have no such point."""
        matched = _matches(whose, self.points)
        for point in matched:
            self.values.setdefault(point.point, {})[figure] = value
        size = next((point.num_devices for point in matched if point.num_devices), None) or _as_number(whose)
        if size is not None:
            self.curves.setdefault(figure, {})[float(size)] = value
        if not matched:
            who = whose if _as_number(whose) is None else f"world size {whose}"
            several = " (several points have it: name one)" if self._several(whose) else ""
            self.lines.append(f"{figure} of {who}: {self.show(figure, value)}{several}")

    def _several(self, whose: str) -> bool:
        return bool(_of_size(whose, self.points) or _on_axis(whose, self.points))


def read_reference(
    reference: Mapping[str, Any], points: Sequence[PointRow], show: Callable[[str, float], str]
) -> Published:
    """Match published figures to our points; nothing that stands in ``reference`` is lost.

    Args:
        reference: the table as it stands in the file.
        points: ours.
        show: writes the value of a figure, for what is listed as text.
    """
    found = _Found(points=points, show=show)
    sizes = next((reference[name] for name in _SIZES if _is_list_of_numbers(reference.get(name))), None)
    for key, value in reference.items():
        name, figure = str(key), _figure(str(key))
        if sizes is not None and name in _SIZES:
            continue
        if name == POINTS and isinstance(value, Mapping):
            _read_points(value, found)
        elif figure and isinstance(value, Mapping):
            _read_figure(figure, value, found)
        elif figure and sizes is not None and _is_list_of_numbers(value) and len(value) == len(sizes):
            for size, item in zip(sizes, value, strict=True):
                found.take(_plain(size), figure, float(item))
        else:
            found.lines += _as_text(name, value)
    if sizes is not None and not found.curves:
        found.lines.insert(0, f"world_size: {_plain(sizes)}")
    curves = {figure: tuple(sorted(curve.items())) for figure, curve in found.curves.items()}
    return Published(values=found.values, curves=curves, lines=tuple(found.lines))


def figure_of(point: PointRow, figure: str) -> Estimate | None:
    """Our own value of a figure of a point, or None."""
    if figure in ("test_accuracy", "test_loss"):
        found: object = point.final.get(figure)
    elif figure.startswith("best_"):
        found = point.best.get(figure.removeprefix("best_"))
    else:
        found = getattr(point, figure)
    if isinstance(found, int | float):
        found = Estimate(value=float(found), low=None, high=None, n=point.n)
    return found if isinstance(found, Estimate) and math.isfinite(found.value) else None


def _read_points(tables: Mapping[str, Any], found: _Found) -> None:
    for whose, table in tables.items():
        if not isinstance(table, Mapping):
            found.lines += _as_text(f"{POINTS}.{whose}", table)
            continue
        for key, value in table.items():
            figure, number = _figure(str(key)), _as_finite(value)
            if figure and number is not None:
                found.take(str(whose), figure, number)
            else:
                found.lines += _as_text(f"{whose}: {key}", value)


def _read_figure(figure: str, table: Mapping[str, Any], found: _Found) -> None:
    for whose, value in table.items():
        number = _as_finite(value)
        if number is not None:
            found.take(str(whose), figure, number)
        else:
            found.lines += _as_text(f"{figure} of {whose}", value)


def _figure(name: str) -> str:
    name = _OTHER_NAMES.get(name, name)
    return name if name in PUBLISHED_FIGURES else ""


def _matches(whose: str, points: Sequence[PointRow]) -> list[PointRow]:
    named = [point for point in points if whose in (point.point, point.label)]
    on_axis = _on_axis(whose, points)
    if not named and len(on_axis) == 1:
        return on_axis
    same_size = _of_size(whose, points)
    others = [point for point in same_size if not point.is_baseline] or same_size
    return named or (others if len(others) == 1 else [])


def _on_axis(whose: str, points: Sequence[PointRow]) -> list[PointRow]:
    return [point for point in points if whose in point.axes.values()]


def _of_size(whose: str, points: Sequence[PointRow]) -> list[PointRow]:
    number = _as_number(whose)
    return [point for point in points if number is not None and point.world_size == number]


def _as_number(text: str) -> float | None:
    """A world size that was written as a key."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _as_finite(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(_as_finite(item) is not None for item in value)


def _as_text(name: str, value: Any) -> Iterator[str]:
    """Lines for what is not recognised: tables key by key, everything else as it is written."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _as_text(f"{name}.{key}", item)
    else:
        yield f"{name}: {_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(_plain(item) for item in value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        text = str(int(value))
    else:
        text = str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
