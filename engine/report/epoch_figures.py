"""Curves over epochs and over wall time: the mean of the repeats with the band of their least and greatest."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from engine.core.fields import number, sequence, text, whole
from engine.report.collect import ExperimentData, RunData
from engine.report.figures import Drawn, looks_of, short_text, subtitle, titled
from engine.report.style import Look, finish, new_figure

__all__ = ["draw_loss_vs_epoch", "draw_loss_vs_time", "draw_test_accuracy", "draw_test_loss"]

Curve = list[tuple[float, float]]

_NO_DATA = "no run has finished an epoch with a known value"


def draw_test_accuracy(data: ExperimentData, folder: Path) -> Drawn:
    """Test accuracy of every point against epoch."""
    return _draw(
        data, folder, "test_accuracy_vs_epoch", "Test accuracy", [("test_accuracy", "test accuracy (%)", 100.0)]
    )


def draw_test_loss(data: ExperimentData, folder: Path) -> Drawn:
    """Test loss of every point against epoch."""
    return _draw(data, folder, "test_loss_vs_epoch", "Test loss", [("test_loss", "test loss", 1.0)])


_LOSSES = [("train_loss", "training loss", 1.0), ("validation_loss", "validation loss", 1.0)]


def draw_loss_vs_epoch(data: ExperimentData, folder: Path) -> Drawn:
    """Training and validation loss side by side against epoch."""
    return _draw(data, folder, "loss_vs_epoch", "Loss", _LOSSES)


def draw_loss_vs_time(data: ExperimentData, folder: Path) -> Drawn:
    """Training and validation loss side by side against wall time (training and evaluation, start-up apart)."""
    return _draw(data, folder, "loss_vs_time", "Loss", _LOSSES, by_time=True)


def _draw(
    data: ExperimentData,
    folder: Path,
    name: str,
    word: str,
    figures: Sequence[tuple[str, str, float]],
    *,
    by_time: bool = False,
) -> Drawn:
    x_label = "wall time of training and evaluation (s)" if by_time else "epoch"
    caption = f"{word} against {'wall time' if by_time else 'epoch'}"
    panels = [(key, label, factor, _curves_by_point(data, key, by_time=by_time)) for key, label, factor in figures]
    panels = [panel for panel in panels if panel[3]]
    if not panels:
        return Drawn(name=name, caption=caption, path=None, reason=_NO_DATA)
    figure, axes = new_figure(len(panels), width=8.0 if len(panels) == 1 else 11.5)
    looks = looks_of([point.label for point in data.points])
    for panel, (_, y_label, factor, curves) in zip(axes, panels, strict=True):
        for point in data.points:
            if point.point in curves:
                label = short_text(point.label) + ("" if point.n else " (unfinished)")
                _draw_curve(panel, curves[point.point], looks[point.label], label, factor)
        panel.set_xlabel(x_label)
        panel.set_ylabel(y_label)
        if not by_time:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    path = folder / f"{name}.png"
    about = "mean of the repeats, band from the least to the greatest"
    details = "  |  ".join(part for part in (subtitle(data, with_baseline=False), about) if part)
    finish(figure, path, title=titled(data, word), subtitle=details, legend_from=axes)
    return Drawn(name=name, caption=caption, path=path)


def _curves_by_point(data: ExperimentData, key: str, *, by_time: bool) -> dict[str, list[Curve]]:
    result = {}
    for point in data.points:
        curves = [curve for run in data.runs_of(point.point) if (curve := list(_curve(run, key, by_time=by_time)))]
        if curves:
            result[point.point] = curves
    return result


def _curve(run: RunData, key: str, *, by_time: bool) -> Iterator[tuple[float, float]]:
    """(epoch counted from 1, or seconds at its end; value) of each epoch that has a value."""
    elapsed_s = 0.0
    for row in _epochs(run):
        epoch, value, epoch_s = whole(row, "epoch"), number(row, key), number(row, "epoch_s")
        if by_time and epoch_s is None:
            return  # without it the times of all later epochs are unknown
        elapsed_s += epoch_s or 0.0
        if epoch is not None and value is not None:
            yield (elapsed_s if by_time else float(epoch + 1)), value


def _epochs(run: RunData) -> list[dict[str, Any]]:
    return [row for row in sequence(run.summary, "epochs") if isinstance(row, dict) and text(run.summary, "state")]


def _draw_curve(panel: Axes, curves: list[Curve], look: Look, label: str, factor: float) -> None:
    num_epochs = max(len(curve) for curve in curves)
    columns = [[curve[index] for curve in curves if index < len(curve)] for index in range(num_epochs)]
    x = [statistics.fmean(item[0] for item in column) for column in columns]
    values = [[factor * item[1] for item in column] for column in columns]
    mean = [statistics.fmean(column) for column in values]
    panel.plot(
        x, mean, color=look.color, marker=look.marker, markersize=6, markeredgecolor="white", markeredgewidth=0.6,
        markevery=max(num_epochs // 10, 1), linestyle=look.dashes if num_epochs > 1 else "none", linewidth=1.8,
        label=label,
    )  # fmt: skip
    if len(curves) > 1:
        low, high = [min(column) for column in values], [max(column) for column in values]
        panel.fill_between(x, low, high, color=look.color, alpha=0.15, linewidth=0)
