"""Where the efficiency of each point went, drawn: a bar per point from what is left to the ideal."""

from __future__ import annotations

from pathlib import Path

from engine.analysis.losses import Lost
from engine.report.collect import ExperimentData
from engine.report.figures import Drawn, short_text, subtitle, titled
from engine.report.loss_tables import CAUSE_WORDS, known_causes
from engine.report.style import finish, new_figure

__all__ = ["draw_losses"]

_LEFT_LOOK = ("#E8E8E8", "")
_LOOKS = {
    "data": ("#0072B2", ""),
    "computation": ("#009E73", "..."),
    "communication": ("#D55E00", "\\\\\\"),
    "waiting": ("#F0E442", "xxx"),
    "bubble": ("#CC79A7", "xxx"),
    "evaluation": ("#404040", "---"),
    "snapshots": ("#56B4E9", "++"),
    "rest": ("#BDBDBD", "///"),
}


def draw_losses(data: ExperimentData, folder: Path) -> Drawn:
    """The efficiency that is left, and upon it what each cause took; gains stand left of zero."""
    name, caption = "lost_efficiency", "Where the efficiency went"
    points = [point for point in data.points if point.lost is not None]
    known = [(point.label, point.lost) for point in points if point.lost is not None]
    if not known:
        reason = "no point has both a baseline and runs that told the phases of their steps"
        return Drawn(name=name, caption=caption, path=None, reason=reason)
    figure, (axes,) = new_figure(width=9.0, height=2.0 + 0.55 * len(known) if len(known) > 3 else 3.8)
    ends, gains = [0.0] * len(known), [0.0] * len(known)
    series = [("efficiency left", *_LEFT_LOOK, [100 * lost.efficiency for _, lost in known])]
    series += [
        (CAUSE_WORDS[cause], *_LOOKS[cause], [100 * (lost.shares[cause] or 0.0) for _, lost in known])
        for cause in known_causes(points)
    ]
    for words, color, hatch, values in series:
        starts = [end if value >= 0 else gain + value for value, end, gain in zip(values, ends, gains, strict=True)]
        axes.barh(
            range(len(known)), [abs(value) for value in values], 0.68, left=starts, color=color, hatch=hatch,
            edgecolor="white", linewidth=0.6, label=words,
        )  # fmt: skip
        ends = [end + max(value, 0.0) for value, end in zip(values, ends, strict=True)]
        gains = [gain + min(value, 0.0) for value, gain in zip(values, gains, strict=True)]
    for place, (_, lost) in enumerate(known):
        text = f"{100 * lost.efficiency:.0f} %"
        axes.annotate(text, (0.0, place), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.axvline(100.0, color="#999999", linewidth=1.2, linestyle=(0, (2, 2)), label="ideal (100 %)")
    axes.axvline(0.0, color="#888888", linewidth=0.8)
    axes.set_yticks(range(len(known)), [_label(label, lost) for label, lost in known])
    axes.set_ylim(len(known) - 0.4, -0.6)
    if min(gains) < 0.0:  # bars that end at the frame look cut off
        axes.set_xlim(left=min(gains) - 0.02 * (max(ends) - min(gains)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("% of the device time; left of 0: gained")
    path = folder / f"{name}.png"
    finish(figure, path, title=titled(data, caption), subtitle=subtitle(data), legend_from=[axes])
    return Drawn(name=name, caption=caption, path=path)


def _label(label: str, lost: Lost) -> str:
    return short_text(label if lost.basis == "total time" else f"{label} ({lost.basis})")
