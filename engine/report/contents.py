"""What the report says, section by section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.analysis.fairness import merge_alike
from engine.analysis.published import figure_of
from engine.analysis.scaling import PointRow
from engine.analysis.statistics import MIN_BOOTSTRAP, MIN_REPEATS, Estimate
from engine.core.fields import mapping, number, sequence, text, whole
from engine.report.blocks import Block, Bullets, Figures, Paragraph, Picture, Section, Table
from engine.report.collect import ExperimentData, RunData, environments
from engine.report.configuration import configuration_blocks
from engine.report.figures import Drawn
from engine.report.latency_tables import latency_blocks
from engine.report.loss_tables import loss_blocks
from engine.report.metric_tables import metric_blocks
from engine.report.partition_tables import partition_blocks
from engine.report.wording import (
    NOT_AVAILABLE,
    show_bytes,
    show_estimate,
    show_figure,
    show_number,
    show_percent,
    show_seconds,
)

__all__ = ["headline", "make_sections"]


def make_sections(data: ExperimentData, figures: Sequence[Drawn]) -> list[Section]:
    """Return the sections in their order; empty ones are left out."""
    sections = [
        Section(title="Results", blocks=_results(data)),
        Section(title="Where the efficiency went", blocks=loss_blocks(data)),
        Section(title="Further metrics", blocks=metric_blocks(data)),
        Section(title="Latency of a small all-reduce and of a barrier", blocks=latency_blocks(data)),
        Section(title="Figures", blocks=_figures(figures)),
        Section(title="Runs that did not succeed, or not yet", blocks=_failures(data)),
        Section(title="How it was measured", blocks=_method(data)),
        Section(title="What may have spoiled the times and figures", blocks=_confounds(data)),
        Section(title="What the ranks saw of the data", blocks=partition_blocks(data)),
        Section(title="Published figures", blocks=_reference(data)),
        Section(title="Runs", blocks=_runs(data)),
        Section(title="Machine and versions", blocks=_machine(data)),
        Section(title="Configuration", blocks=configuration_blocks(data)),
    ]
    return [section for section in sections if section.blocks]


def headline(data: ExperimentData) -> str:
    """The result in a sentence: the greatest speedup, with its baseline, or where the experiment stands."""
    best = max((p for p in data.points if p.throughput_speedup and not p.is_baseline), key=_speedup, default=None)
    states = Counter(run.state for run in data.runs)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items(), key=lambda item: -item[1]))
    if best is None or best.throughput_speedup is None:
        return f"{len(data.runs)} runs: {counts}." if data.runs else "No run has been made yet."
    speedup = show_estimate(best.throughput_speedup)
    efficiency = show_percent(best.throughput_efficiency.value if best.throughput_efficiency else None)
    interval = (
        "95 % interval in brackets" if best.throughput_speedup.low is not None else "no interval: too few repeats"
    )
    low, high = best.throughput_speedup.low, best.throughput_speedup.high
    doubt = ""
    if low is not None and high is not None and low <= 1 <= high:
        doubt = " The interval holds 1: by these runs it cannot be told from the baseline."
    return (
        f"{best.label} trains {speedup} times as many samples per second as {best.baseline_label} ({interval}): "
        f"an efficiency of {efficiency}.{doubt} {len(data.runs)} runs: {counts}."
    )


def _speedup(point: PointRow) -> float:
    return point.throughput_speedup.value if point.throughput_speedup else 0.0


def _results(data: ExperimentData) -> list[Block]:
    if not data.points:
        return [Paragraph(text="There are no runs yet.")]
    strong = frozenset(index for index, point in enumerate(data.points) if point.is_baseline)
    blocks: list[Block] = [
        Table(
            header=[
                "point",
                "n",
                "devices",
                "samples/s",
                "throughput speedup",
                "throughput efficiency",
                "step, median",
            ],
            rows=[_throughput_row(point) for point in data.points],
            numeric=frozenset(range(1, 7)),
            strong_rows=strong,
        ),
        Table(
            header=[
                "point",
                "epoch",
                "without evaluation",
                "total time",
                "time speedup",
                "time efficiency",
                "time saved",
                "test accuracy, final",
                "best",
                "test loss, final",
            ],
            rows=[_time_row(point) for point in data.points],
            numeric=frozenset(range(1, 10)),
            strong_rows=strong,
        ),
        Paragraph(
            text="".join(f"{note[:1].upper()}{note[1:]}. " for note in data.data_notes)
            + "Medians over the n succeeded repeats, their 95 % interval in brackets from three repeats on. "
            "The baseline is set in bold. Efficiency is the speedup over the number of devices (as a multiple of the "
            "baseline's). Times are of training, evaluation and snapshots; start-up is apart. n/a: not known or not "
            "comparable, for the reason below."
        ),
    ]
    notes = [f"{point.label}: {note}" for point in data.points for note in point.notes]
    return [*blocks, Bullets(lines=notes)] if notes else blocks


def _throughput_row(point: PointRow) -> list[str]:
    return [
        point.label,
        str(point.n) if point.n == point.num_runs else f"{point.n} of {point.num_runs}",
        str(point.num_devices) if point.num_devices is not None else NOT_AVAILABLE,
        show_estimate(point.samples_per_s),
        show_estimate(point.throughput_speedup),
        show_estimate(point.throughput_efficiency, percent=True),
        show_estimate(point.step_s.scaled(1000) if point.step_s is not None else None, suffix=" ms"),
    ]


def _time_row(point: PointRow) -> list[str]:
    return [
        point.label,
        show_estimate(point.epoch_s, suffix=" s"),
        show_estimate(point.epoch_train_s, suffix=" s"),
        show_estimate(point.total_s, suffix=" s"),
        show_estimate(point.time_speedup),
        show_estimate(point.time_efficiency, percent=True),
        show_estimate(point.time_saved_ratio, percent=True),
        show_percent(_value(point.final.get("test_accuracy"))),
        show_percent(_value(point.best.get("test_accuracy"))),
        show_number(_value(point.final.get("test_loss"))),
    ]


def _value(estimate: Estimate | None) -> float | None:
    return estimate.value if estimate is not None else None


def _figures(figures: Sequence[Drawn]) -> list[Block]:
    pictures = [Picture(path=figure.path, caption=figure.caption) for figure in figures if figure.path is not None]
    blocks: list[Block] = [Figures(pictures=pictures)] if pictures else []
    missing = [f"{figure.name}: not drawn, {figure.reason}" for figure in figures if figure.path is None]
    return [*blocks, Bullets(lines=missing)] if missing else blocks


def _failures(data: ExperimentData) -> list[Block]:
    rows = [[run.run_id, run.state, run.reason or "-"] for run in data.runs if run.state != "succeeded"]
    return [Table(header=["run", "state", "reason"], rows=rows)] if rows else []


def _method(data: ExperimentData) -> list[Block]:
    rules = Counter(
        text(mapping(run.summary, "throughput"), "rule")
        for run in data.runs
        if number(mapping(run.summary, "throughput"), "samples_per_s") is not None
    )
    lines = [f"Throughput and phases count the {rule} ({count} runs)." for rule, count in rules.most_common(5)]
    lines.append("Samples of all ranks over the mean of the ranks' wall time; evaluation and snapshots are outside.")
    repeats = sorted({point.n for point in data.points})
    lines.append(f"Repeats that count per point: {', '.join(map(str, repeats)) or 'none'}.")
    if repeats and repeats[0] < MIN_REPEATS:
        lines.append("Points with fewer than three repeats have no interval: their differences may be chance.")
    lines.append(
        f"Intervals: Student's t on the logarithms for {MIN_REPEATS} to {MIN_BOOTSTRAP - 1} repeats, bootstrap of the "
        "median from six; ratios carry the spread of both sides."
    )
    compared: dict[tuple[str, str], list[str]] = {}
    for point in data.points:
        if not point.is_baseline:
            compared.setdefault((point.baseline_label, point.baseline_reason), []).append(point.label)
    for (baseline, reason), points in compared.items():
        why = f" ({reason})" if reason else ""
        lines.append(f"Baseline: {baseline or 'none'}{why}, of {'; '.join(points)}.")
    lines += [f"Plan: {note}" for note in sequence(data.plan, "notes") if isinstance(note, str)]
    return [Bullets(lines=lines)]


def _confounds(data: ExperimentData) -> list[Block]:
    found = [(str(line), run.run_id) for run in data.runs for line in sequence(run.summary, "confounds")]
    lines = [f"{line} ({_some(runs, len(data.runs))})" for line, runs in merge_alike(found)]
    lines += list(data.notes)
    return [Bullets(lines=lines)] if lines else [Paragraph(text="Nothing was found in the runs' own data.")]


def _some(runs: Sequence[str], num_all: int) -> str:
    if len(runs) == num_all:
        return "all runs"
    return ", ".join(runs[:4]) + (f" and {len(runs) - 4} more" if len(runs) > 4 else "")


def _reference(data: ExperimentData) -> list[Block]:
    """What others have published, row by row beside ours; what is no figure of ours is listed."""
    published = data.published
    rows = [
        [point.label, figure, show_figure(figure, theirs), *_beside(figure, theirs, figure_of(point, figure))]
        for point in data.points
        for figure in published.figures
        if (theirs := published.value(point.point, figure)) is not None
    ]
    ours = "ours (synthetic data)" if data.is_made_up else "ours"
    header = ["point", "figure", "published", ours, "ours over published"]
    blocks: list[Block] = [Table(header=header, rows=rows, numeric=frozenset({2, 3, 4}))] if rows else []
    return [*blocks, Bullets(lines=list(published.lines))] if published.lines else blocks


def _beside(figure: str, theirs: float, ours: Estimate | None) -> tuple[str, str]:
    if ours is None:
        return NOT_AVAILABLE, NOT_AVAILABLE
    return show_figure(figure, ours.value), show_number(ours.value / theirs if theirs else None)


def _runs(data: ExperimentData) -> list[Block]:
    header = ["run", "state", "samples/s", "step, median", "epochs", "total time", "real time", "final test accuracy"]
    rows = [_run_row(run) for run in data.runs]
    return [Table(header=header, rows=rows, numeric=frozenset(range(2, len(header))))] if rows else []


def _run_row(run: RunData) -> list[str]:
    times, rate = mapping(run.summary, "time"), mapping(run.summary, "throughput")
    step_s = number(rate, "step_s_median")
    epochs = whole(run.summary, "epochs_done")
    return [
        run.run_id,
        run.state,
        show_number(number(rate, "samples_per_s")),
        f"{show_number(1000 * step_s)} ms" if step_s is not None else NOT_AVAILABLE,
        str(epochs) if epochs is not None else NOT_AVAILABLE,
        show_seconds(number(times, "total_s")),
        show_seconds(number(times, "real_s")),
        show_percent(number(mapping(run.summary, "final"), "test_accuracy")),
    ]


def _machine(data: ExperimentData) -> list[Block]:
    envs = environments(data.runs)
    rows: list[list[str]] = []
    for env in envs:
        gpus = [text(gpu, "name") or "GPU" for gpu in sequence(env, "gpus") if isinstance(gpu, dict)]
        commit = text(env, "git_commit")
        dirty = " with changes" if env.get("git_dirty") else ""
        rows += [
            ["host", text(env, "host") or NOT_AVAILABLE],
            ["system", text(env, "os") or NOT_AVAILABLE],
            ["CPU", text(env, "cpu_model") or NOT_AVAILABLE],
            [
                "cores, of them allowed",
                f"{whole(env, 'num_cores') or NOT_AVAILABLE}, {len(sequence(env, 'allowed_cores'))}",
            ],
            ["memory", show_bytes(number(env, "memory_total_bytes"))],
            ["GPUs", ", ".join(f"{count} x {name}" for name, count in Counter(gpus).items()) or "none"],
            ["Python", text(env, "python") or NOT_AVAILABLE],
            ["commit", f"{commit}{dirty}" if commit else NOT_AVAILABLE],
        ]
    for label, key in (("torch", "torch"), ("device of the ranks", "device"), ("backend", "backend")):
        found = list(dict.fromkeys(value for run in data.runs if (value := text(run.summary, key)) is not None))
        rows.append([label, ", ".join(found) or NOT_AVAILABLE])
    lines = list(dict.fromkeys(line for run in data.runs if (line := text(run.summary, "description")) is not None))
    blocks: list[Block] = [Table(header=["", ""], rows=rows)]
    return [*blocks, Bullets(lines=lines)] if lines else blocks
