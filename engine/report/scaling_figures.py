"""Speedup, efficiency and throughput against the number of devices; bars for the other axes of the matrix."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from engine.analysis.published import figure_of
from engine.analysis.scaling import SCALE_AXES, PointRow
from engine.analysis.statistics import Estimate
from engine.report.collect import ExperimentData
from engine.report.figures import Drawn, draw_estimates, looks_of, short_text, subtitle, the_devices, titled
from engine.report.style import finish, new_figure

__all__ = ["draw_axis_bars", "draw_efficiency", "draw_speedup", "draw_throughput"]

Choice = Callable[[PointRow], Estimate | None]

MAX_BAR_GROUPS = 8

MAX_TICK_CHARACTERS = 60
"""What fits side by side below a panel of bars; beyond it the words stand upright."""


def draw_speedup(data: ExperimentData, folder: Path) -> Drawn:
    """Throughput speedup against devices, with the ideal line."""
    return _draw_scaling(
        data, folder, "speedup_vs_world_size", "Speedup", "throughput speedup over the baseline",
        "throughput_speedup", _ideal_speedup,
    )  # fmt: skip


def draw_efficiency(data: ExperimentData, folder: Path) -> Drawn:
    """Throughput efficiency against devices; the ideal is 100 %."""
    return _draw_scaling(
        data, folder, "efficiency_vs_world_size", "Efficiency", "throughput efficiency (%)",
        "throughput_efficiency", _ideal_efficiency,
    )  # fmt: skip


def draw_throughput(data: ExperimentData, folder: Path) -> Drawn:
    """Samples per second against devices, with the line of the baseline times the devices."""
    return _draw_scaling(
        data, folder, "throughput_vs_world_size", "Throughput", "samples/s, all devices together",
        "samples_per_s", _ideal_throughput,
    )  # fmt: skip


def _draw_scaling(
    data: ExperimentData,
    folder: Path,
    name: str,
    word: str,
    y_label: str,
    measure: str,
    draw_ideal: Callable[..., None],
) -> Drawn:
    def choose(point: PointRow) -> Estimate | None:
        value = figure_of(point, measure)
        return _percent(value) if measure.endswith("_efficiency") else value

    caption = f"{word} against the number of devices"
    points = [point for point in data.points if choose(point) is not None and point.num_devices is not None]
    if not points:
        return Drawn(name=name, caption=caption, path=None, reason="no run with a known value succeeded")
    figure, (axes,) = new_figure()
    published = data.published.curves.get(measure, ())
    counts = sorted({point.num_devices or 0 for point in points} | {round(size) for size, _ in published})
    x_of = _side_by_side(points, counts)
    for label, look in looks_of([point.series for point in data.points]).items():
        own = sorted((p for p in points if p.series == label), key=lambda p: p.num_devices or 0)
        if not own:
            continue
        x = [x_of[p.point] for p in own]
        draw_estimates(axes, x, [value for p in own if (value := choose(p)) is not None], look, short_text(label))
    _draw_published(axes, published, 100.0 if measure.endswith("_efficiency") else 1.0)
    draw_ideal(axes, points, counts)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(the_devices(points))
    axes.set_ylabel(y_label)
    path = folder / f"{name}.png"
    finish(figure, path, title=titled(data, word), subtitle=subtitle(data), legend_from=[axes])
    return Drawn(name=name, caption=caption, path=path)


def _draw_published(axes: Axes, curve: Sequence[tuple[float, float]], scale: float) -> None:
    """What others have published stands back: grey, dotted, hollow."""
    if curve:
        axes.plot(
            [size for size, _ in curve], [value * scale for _, value in curve],
            color="#666666", linestyle=":", linewidth=1.3, marker="D", markersize=6, markerfacecolor="none",
            label="published", zorder=2,
        )  # fmt: skip


def _side_by_side(points: Sequence[PointRow], counts: Sequence[int]) -> dict[str, float]:
    """Where each point is drawn: points with the same number of devices stand a little apart."""
    gap = min((after - before for before, after in pairwise(counts)), default=1)
    places: dict[str, float] = {}
    for count in counts:
        here = [point.point for point in points if point.num_devices == count]
        # All of them stay so near to their count that nobody takes them for another.
        step = min(0.022 * max(counts[-1] - counts[0], 1), 0.1, 0.4 * gap / len(here))
        for index, point in enumerate(here):
            places[point] = count + (index - (len(here) - 1) / 2) * step
    return places


_IDEAL: dict[str, Any] = {"color": "#999999", "linewidth": 1.2, "linestyle": (0, (2, 2)), "zorder": 1}


def _span(counts: Sequence[int]) -> list[float]:
    return [counts[0], counts[-1]] if len(counts) > 1 else [counts[0] - 0.25, counts[0] + 0.25]


def _ideal_speedup(axes: Axes, points: Sequence[PointRow], counts: Sequence[int]) -> None:
    bases = {p.num_devices for p in points if p.is_baseline and p.num_devices}
    for base in sorted(bases)[:1] or [1]:
        x = _span(counts)
        axes.plot(x, [value / base for value in x], label="ideal (linear)", **_IDEAL)


def _ideal_efficiency(axes: Axes, _points: Sequence[PointRow], counts: Sequence[int]) -> None:
    x = _span(counts)
    axes.plot(x, [100.0] * len(x), label="ideal (100 %)", **_IDEAL)
    axes.set_ylim(top=max(axes.get_ylim()[1], 110.0))


def _ideal_throughput(axes: Axes, points: Sequence[PointRow], counts: Sequence[int]) -> None:
    bases = [p for p in points if p.is_baseline and p.num_devices and p.samples_per_s is not None]
    for base in bases[:3]:
        rate = base.samples_per_s.value if base.samples_per_s is not None else 0.0
        x = _span(counts)
        label = "ideal" if len(bases) == 1 else f"ideal of {short_text(base.label)}"
        axes.plot(x, [rate * value / (base.num_devices or 1) for value in x], label=label, **_IDEAL)


def draw_axis_bars(data: ExperimentData, folder: Path) -> list[Drawn]:
    """For each axis of the matrix that is no scale: throughput, and test accuracy where it is known, for each value."""
    names = list(dict.fromkeys(name for point in data.points for name in point.axes if name not in SCALE_AXES))
    varied = [axis for axis in names if len({str(point.axes.get(axis)) for point in data.points}) > 1]
    return [_draw_bars(data, folder, axis) for axis in varied]


def _draw_bars(data: ExperimentData, folder: Path, axis: str) -> Drawn:
    name = f"bars_{re.sub(r'[^A-Za-z0-9_.]', '_', axis)[:60]}"
    caption = f"Throughput and test accuracy by {short_text(axis)}"
    panels: list[tuple[str, Choice]] = [
        ("samples/s", lambda p: p.samples_per_s),
        ("final test accuracy (%)", lambda p: _percent(p.final.get("test_accuracy"))),
    ]
    panels = [panel for panel in panels if any(panel[1](point) is not None for point in data.points)]
    if not panels:
        return Drawn(name=name, caption=caption, path=None, reason="no run with a known value succeeded")
    values = list(dict.fromkeys(str(point.axes.get(axis)) for point in data.points))
    by_size = sorted(data.points, key=lambda point: point.num_devices or 0)
    groups = list(dict.fromkeys(_others(point, axis) for point in by_size))
    figure, axes = new_figure(len(panels), width=max(8.0, min(4.5 * len(panels) + 0.6 * len(values), 13.0)), height=5.2)
    for panel, (y_label, choose) in zip(axes, panels, strict=True):
        _draw_groups(panel, data.points, axis, values, groups[:MAX_BAR_GROUPS], choose)
        panel.set_ylabel(y_label)
        panel.set_xlabel(short_text(axis))
    left_out = f"  |  the first {MAX_BAR_GROUPS} of {len(groups)} groups" if len(groups) > MAX_BAR_GROUPS else ""
    path = folder / f"{name}.png"
    title = titled(data, short_text(axis))
    finish(figure, path, title=title, subtitle=subtitle(data, with_baseline=False) + left_out, legend_from=axes)
    return Drawn(name=name, caption=caption, path=path)


def _draw_groups(
    panel: Axes, points: Sequence[PointRow], axis: str, values: Sequence[str], groups: Sequence[str], choose: Choice
) -> None:
    looks = looks_of(groups)
    drawn = sorted(
        (p for p in points if choose(p) is not None and _others(p, axis) in looks),
        key=lambda p: list(looks).index(_others(p, axis)),
    )
    by_value = {value: [p for p in drawn if str(p.axes.get(axis)) == value] for value in values}
    width = 0.8 / max(len(here) for here in by_value.values())
    for place, here in enumerate(by_value.values()):
        for index, point in enumerate(here):
            best = choose(point)
            assert best is not None
            has_interval = best.low is not None and best.high is not None
            error = [[best.value - (best.low or 0.0)], [(best.high or 0.0) - best.value]] if has_interval else None
            group = _others(point, axis)
            panel.bar(
                place + (index - (len(here) - 1) / 2) * width, best.value, width * 0.92, color=looks[group].color,
                hatch=looks[group].hatch, edgecolor="white", linewidth=0.5, yerr=error, capsize=3,
                error_kw={"elinewidth": 1.2}, label=group or "all",
            )  # fmt: skip
    shown = [short_text(value) for value in values]
    panel.set_xticks(range(len(values)), shown)
    if sum(len(value) + 2 for value in shown) > MAX_TICK_CHARACTERS:
        panel.tick_params(axis="x", labelrotation=90)
    panel.grid(visible=False, axis="x")


def _others(point: PointRow, axis: str) -> str:
    """The point's place on all other axes, in words; those of scale together as the number of devices."""
    parts = [f"{name} {value}" for name, value in point.axes.items() if name != axis and name not in SCALE_AXES]
    if point.num_devices is not None:
        parts.insert(0, f"{point.num_devices} device{'s' if point.num_devices > 1 else ''}")
    return ", ".join(short_text(part) for part in parts)


def _percent(estimate: Estimate | None) -> Estimate | None:
    return estimate.scaled(100) if estimate is not None else None
