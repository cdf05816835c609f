"""Where the time of an epoch and of a step goes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from engine.analysis.scaling import PointRow
from engine.core.events import PHASES
from engine.core.fields import mapping, number, sequence
from engine.report.collect import ExperimentData, RunData
from engine.report.figures import Drawn, short_text, subtitle, titled
from engine.report.style import finish, new_figure

__all__ = ["draw_epoch_time", "draw_step_time"]

Parts = dict[str, float]

EVALUATION, OUTSIDE = "evaluation", "outside steps"
_DRAWN_PHASES = (*PHASES, EVALUATION, OUTSIDE)

_PHASE_LOOKS = {
    "data": ("#0072B2", ""),
    "forward": ("#E69F00", "///"),
    "backward": ("#009E73", "..."),
    "comm": ("#D55E00", "\\\\\\"),
    "bubble": ("#CC79A7", "xxx"),
    "optimizer": ("#56B4E9", ""),
    "other": ("#BDBDBD", ""),
    EVALUATION: ("#404040", "---"),
    OUTSIDE: ("#E4DCCB", "///"),
}
_OTHER_LOOK = ("#8C6D46", "++")
"""Of a phase that only this strategy has."""


def draw_epoch_time(data: ExperimentData, folder: Path) -> Drawn:
    """Mean whole epoch of each point after the first (the warm-up), stacked by phase, evaluation included."""
    return _draw_stacks(
        data, folder, "epoch_time_by_phase", "Epoch time by phase", "mean time of an epoch after the first (s)",
        [(point, _median_parts([_epoch_parts(run) for run in data.runs_of(point.point)])) for point in data.points],
    )  # fmt: skip


def draw_step_time(data: ExperimentData, folder: Path) -> Drawn:
    """Steady step of each point, stacked by phase."""
    return _draw_stacks(
        data, folder, "step_time_by_phase", "Step time by phase", "mean time of a steady step (ms)",
        [(point, _median_parts([_step_parts(run) for run in data.runs_of(point.point)])) for point in data.points],
    )  # fmt: skip


def _step_parts(run: RunData) -> Parts:
    phases = mapping(run.summary, "phases_mean")
    return {name: 1000 * value for name in phases if (value := number(phases, name)) is not None and value >= 0}


def _epoch_parts(run: RunData) -> Parts:
    """The epochs that the steady phases are of: those times the steps, evaluation, and what is left of the epoch."""
    steps, phases = number(run.summary, "steps_per_epoch"), _step_parts(run)
    rows = [row for row in sequence(run.summary, "epochs") if isinstance(row, dict)]
    whole_epochs = [row for row in rows if (num := number(row, "num_steps")) is None or num >= (steps or 0)]
    counted = whole_epochs[1:] or whole_epochs
    epoch_s = [value for row in counted if (value := number(row, "epoch_s")) is not None]
    if not phases or steps is None or not epoch_s:
        return {}
    parts = {name: value / 1000 * steps for name, value in phases.items()}
    eval_s = [value for row in counted if (value := number(row, "eval_s")) is not None]
    if eval_s:
        parts[EVALUATION] = sum(eval_s) / len(counted)
    parts[OUTSIDE] = max(sum(epoch_s) / len(epoch_s) - sum(parts.values()), 0.0)
    return parts


def _median_parts(repeats: Sequence[Parts]) -> Parts:
    known = [parts for parts in repeats if parts]
    names = list(dict.fromkeys(name for parts in known for name in parts))
    return {name: statistics.median(parts.get(name, 0.0) for parts in known) for name in names}


def _draw_stacks(
    data: ExperimentData, folder: Path, name: str, word: str, y_label: str, stacks: Sequence[tuple[PointRow, Parts]]
) -> Drawn:
    known = [(point, parts) for point, parts in stacks if parts]
    if not known:
        return Drawn(name=name, caption=word, path=None, reason="no run has told the phases of its steps")
    names = {name for _, parts in known for name in parts}
    ordered = [name for name in _DRAWN_PHASES if name in names] + sorted(names - set(_DRAWN_PHASES))
    figure, (axes,) = new_figure(width=9.0, height=2.0 + 0.55 * len(known) if len(known) > 3 else 3.8)
    left = [0.0] * len(known)
    for phase in ordered:
        values = [parts.get(phase, 0.0) for _, parts in known]
        if max(values) < 0.001 * max(sum(parts.values()) for _, parts in known):
            continue
        color, hatch = _PHASE_LOOKS.get(phase, _OTHER_LOOK)
        axes.barh(
            range(len(known)), values, 0.68, left=left, color=color, hatch=hatch, edgecolor="white",
            linewidth=0.6, label=short_text(phase),
        )  # fmt: skip
        left = [start + value for start, value in zip(left, values, strict=True)]
    for place, total in enumerate(left):
        axes.annotate(f"{total:.3g}", (total, place), (5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(known)), [short_text(point.label) for point, _ in known])
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(y_label)
    axes.set_xlim(left=0, right=1.1 * max(left) or 1.0)
    path = folder / f"{name}.png"
    about = "median of the repeats, mean over the ranks that compute"
    details = "  |  ".join(part for part in (subtitle(data, with_baseline=False), about) if part)
    finish(figure, path, title=titled(data, word), subtitle=details, legend_from=[axes])
    return Drawn(name=name, caption=word, path=path)
