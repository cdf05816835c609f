from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from made_curves import MadeCurves, make_row

from engine.core.curves import RunCurves
from tui.view.chart import ChartSpec
from tui.view.chart_pages import fit_grid, next_grid, page_of
from tui.view.chart_text import PointRows, describe, last_readings
from tui.view.palette import colors_of
from tui.view.repeat_band import MAX_POINTS
from tui.view.run_charts import legend_of, make_chart, match_metrics, metric_names, x_extent
from tui.view.run_labels import labels_of, line_color
from tui.view.run_row import RunRow
from tui.view.session import Session

NAN = math.nan


@pytest.fixture
def choices() -> Session:
    return Session(results="results", host="box-01")


@pytest.fixture
def draw(choices: Session) -> Callable[..., ChartSpec]:
    def draw_runs(metric: str, *runs: tuple[RunRow, RunCurves]) -> ChartSpec:
        return make_chart(metric, runs, choices, colors_of([row for row, _ in runs]))

    return draw_runs


def test_metrics_stand_in_the_order_in_which_one_asks_for_them() -> None:
    curves = MadeCurves(
        **dict.fromkeys(
            ("cpu_percent", "gpu0_util_percent", "net_sent_bytes_per_s", "perplexity", "lr", "comm_s", "data_s",
             "step_s", "samples_per_s", "test_accuracy", "accuracy", "test_loss", "loss"),
            (1.0,),
        )
    )  # fmt: skip
    assert metric_names({"a": curves}) == [
        "loss", "test_loss", "accuracy", "test_accuracy", "samples_per_s", "step_s", "data_s", "comm_s", "lr",
        "perplexity", "cpu_percent", "gpu0_util_percent", "net_sent_bytes_per_s",
    ]  # fmt: skip


def test_metrics_of_all_runs_are_there_once() -> None:
    assert metric_names({"a": MadeCurves(loss=[1], own=[1]), "b": MadeCurves(loss=[1], lr=[1])}) == [
        "loss",
        "lr",
        "own",
    ]


def test_every_word_of_a_filter_must_be_found() -> None:
    names = ["loss", "test_loss", "test_accuracy"]
    assert match_metrics(names, "test LOSS") == ["test_loss"]
    assert match_metrics(names, "") == names


def test_a_filter_is_a_pattern_and_a_bad_pattern_is_plain_text() -> None:
    assert match_metrics(["loss", "test_loss", "a[b"], "^loss") == ["loss"]
    assert match_metrics(["loss", "test_loss", "a[b"], "[b") == ["a[b"]


def test_each_run_is_a_line_with_its_short_name(draw: Callable[..., ChartSpec]) -> None:
    spec = draw(
        "loss",
        (make_row("single-w1-r0-aaaaaa", point="a"), MadeCurves(loss=[3, 2, 1])),
        (make_row("ddp-w2-r0-bbbbbb", point="b"), MadeCurves(loss=[3, 2])),
    )
    assert [line.label for line in spec.lines] == ["single-w1-r0", "ddp-w2-r0"]
    assert [line.num_points for line in spec.lines] == [3, 2]
    assert len({line.color for line in spec.lines}) == 2


def test_namesakes_are_told_apart_by_their_settings_then_by_hash_then_by_experiment() -> None:
    by_lr = [make_row(f"ddp-w2-r0-{digit * 6}", axes={"optimizer.lr": lr}) for digit, lr in (("a", 0.1), ("b", 0.5))]
    assert list(labels_of(by_lr).values()) == ["ddp-w2-r0 lr=0.1", "ddp-w2-r0 lr=0.5"]
    by_hash = [make_row(f"ddp-w2-r0-{digit * 6}") for digit in "ab"]
    assert list(labels_of(by_hash).values()) == ["ddp-w2-r0-aaaaaa", "ddp-w2-r0-bbbbbb"]
    by_experiment = [make_row("ddp-w2-r0-aaaaaa", experiment=name) for name in ("one", "two")]
    assert list(labels_of(by_experiment).values()) == ["one/ddp-w2-r0", "two/ddp-w2-r0"]


def test_names_from_files_cannot_steer_the_terminal() -> None:
    (label,) = labels_of([make_row("a\x1b[31mb")]).values()
    assert label == "ab"


def test_repeats_of_a_point_have_shades_of_one_colour_that_do_not_depend_on_what_is_drawn() -> None:
    rows = [make_row(f"ddp-w2-r{repeat}", point="p", repeat=repeat) for repeat in range(3)]
    colors = colors_of(rows)
    shades = [line_color(row, colors) for row in rows]
    assert len(set(shades)) == 3
    assert shades[0].lower() == colors[rows[0].tag].lower()


def test_the_best_loss_is_the_least_and_the_best_throughput_the_greatest(draw: Callable[..., ChartSpec]) -> None:
    run = (make_row("a"), MadeCurves(loss=[NAN, 3, 1, 2, NAN], samples_per_s=[1, 9, 2], cpu_percent=[1, 2]))
    assert draw("loss", run).lines[0].best == 2
    assert draw("samples_per_s", run).lines[0].best == 1
    assert draw("cpu_percent", run).lines[0].best is None


def test_the_best_is_found_again_as_the_curve_grows_without_reading_old_points(
    draw: Callable[..., ChartSpec],
) -> None:
    curves = MadeCurves(loss=[3, 2])
    row = make_row("a")
    assert draw("loss", (row, curves)).lines[0].best == 1
    curves.grow("loss", [2, 1, NAN, 4])
    curve = curves.curve("loss")
    assert curve is not None
    curve.value[0] = -100.0  # never to be read again
    assert draw("loss", (row, curves)).lines[0].best == 3
    curves.grow("loss", [1.0])
    assert draw("loss", (row, curves)).lines[0].best == 3


def test_a_curve_of_nothing_but_nan_has_no_best(draw: Callable[..., ChartSpec]) -> None:
    assert draw("loss", (make_row("a"), MadeCurves(loss=[NAN, NAN]))).lines[0].best is None


def test_evaluations_are_not_smoothed(draw: Callable[..., ChartSpec], choices: Session) -> None:
    choices.smoothing = 0.9
    run = (make_row("a"), MadeCurves(loss=[2, 1], test_loss=[2, 1]))
    assert draw("loss", run).smoothing == 0.9
    assert draw("test_loss", run).smoothing == 0.0


def test_a_single_point_is_drawn_as_a_mark(draw: Callable[..., ChartSpec]) -> None:
    assert draw("loss", (make_row("a"), MadeCurves(loss=[2]))).lines[0].has_markers
    assert not draw("loss", (make_row("a"), MadeCurves(loss=[2, 1]))).lines[0].has_markers
    assert draw("test_loss", (make_row("a"), MadeCurves(test_loss=[2, 1]))).lines[0].has_markers


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("samples_per_s", "number"), ("step_s", "duration"), ("comm_s", "duration"), ("accuracy", "ratio"),
        ("test_accuracy", "ratio"), ("memory_used_bytes", "bytes"), ("net_sent_bytes_per_s", "bytes"),
        ("cpu_percent", "number"), ("loss", "number"), ("lr", "number"),
    ],
)  # fmt: skip
def test_the_suffix_of_a_metric_is_its_unit(draw: Callable[..., ChartSpec], metric: str, shown: str) -> None:
    assert draw(metric, (make_row("a"), MadeCurves(**{metric: [1.0]}))).y_format == shown


@pytest.mark.parametrize(("axis", "last"), [("step", 2), ("time", 1), ("samples", 192)])
def test_the_x_axis_is_the_chosen_column(
    draw: Callable[..., ChartSpec], choices: Session, axis: str, last: float
) -> None:
    choices.x_axis = axis
    spec = draw("loss", (make_row("a"), MadeCurves(loss=[3, 2, 1])))
    assert spec.x_label == axis
    assert spec.lines[0].x[2] == last
    assert x_extent([(make_row("a"), MadeCurves(loss=[3, 2, 1]))], axis)[1] == last  # type: ignore[index]


def test_notices_name_their_run_and_stand_with_their_curve(draw: Callable[..., ChartSpec]) -> None:
    curves = MadeCurves(loss=[1], lr=[1])
    curves.notices += ["loss is NaN at step 120", "3 lines could not be read"]
    row = make_row("ddp-w2-r0-aaaaaa")
    assert draw("loss", (row, curves)).notes == (
        "ddp-w2-r0: loss is NaN at step 120",
        "ddp-w2-r0: 3 lines could not be read",
    )
    assert draw("lr", (row, curves)).notes == ()


def repeats(*columns: list[float], stride: tuple[int, ...] = ()) -> list[tuple[RunRow, MadeCurves]]:
    runs = []
    for place, column in enumerate(columns):
        curves = MadeCurves()
        curves.grow("loss", column, stride=stride[place] if stride else 1)
        runs.append((make_row(f"ddp-w2-r{place}-aaaaaa", point="ddp-w2-aaaaaa", repeat=place), curves))
    return runs


def test_repeats_become_their_mean_and_their_range(draw: Callable[..., ChartSpec], choices: Session) -> None:
    choices.is_banded = True
    (line,) = draw("loss", *repeats([4, 2], [6, 3], [5, 7])).lines
    assert line.label == "ddp-w2 (mean of 3)"
    assert list(line.y) == [5, 4]
    assert (list(line.low or ()), list(line.high or ())) == ([4, 2], [6, 7])
    assert line.best == 1


def test_repeats_that_report_at_other_steps_meet_on_the_union_of_their_steps(
    draw: Callable[..., ChartSpec], choices: Session
) -> None:
    choices.is_banded = True
    (line,) = draw("loss", *repeats([1, 2, 3, 4], [2, 4], stride=(1, 2))).lines
    assert list(line.x) == [0, 1, 2, 3]
    assert list(line.y) == [1, 2, 3, 4]


def test_a_repeat_that_ended_early_or_is_nan_leaves_the_mean_to_the_others(
    draw: Callable[..., ChartSpec], choices: Session
) -> None:
    choices.is_banded = True
    (line,) = draw("loss", *repeats([1, 1, 1, 1], [3], [5, NAN, 5, 5])).lines
    assert list(line.y) == [3, 1, 3, 3]


def test_the_mean_follows_growing_repeats(draw: Callable[..., ChartSpec], choices: Session) -> None:
    choices.is_banded = True
    runs = repeats([4], [6])
    assert draw("loss", *runs).lines[0].num_points == 1
    first = draw("loss", *runs).lines[0]
    assert first.y is draw("loss", *runs).lines[0].y, "made twice though nothing has changed"
    for _, curves in runs:
        curves.grow("loss", [2])
    assert list(draw("loss", *runs).lines[0].y) == [5, 2]


def test_very_many_points_are_averaged_in_stretches_and_no_spike_is_lost(
    draw: Callable[..., ChartSpec], choices: Session
) -> None:
    choices.is_banded = True
    spiked = [1.0] * 30_000
    spiked[12_345], spiked[20_000] = 100.0, NAN
    (line,) = draw("loss", *repeats(spiked, [3.0] * 30_000)).lines
    assert line.num_points == MAX_POINTS
    assert line.low is not None
    assert line.high is not None
    assert max(line.high) == 100.0
    assert set(line.low) == {1.0}
    assert sorted(line.y)[MAX_POINTS // 2] == 2.0
    assert (line.x[0], line.x[-1]) == (0, 29_999)


def test_one_repeat_alone_stays_a_line_and_other_points_too(draw: Callable[..., ChartSpec], choices: Session) -> None:
    choices.is_banded = True
    other = (make_row("single-w1-r0-bbbbbb", point="single-w1-bbbbbb"), MadeCurves(loss=[1]))
    spec = draw("loss", *repeats([4, 2], [6, 3]), other)
    assert [line.label for line in spec.lines] == ["ddp-w2 (mean of 2)", "single-w1-r0"]
    assert [entry.label for entry in legend_of([row for row, _ in [*repeats([1], [2]), other]], choices, {})] == [
        "ddp-w2 x2",
        "single-w1-r0",
    ]


def test_a_chart_without_its_curve_is_empty(draw: Callable[..., ChartSpec]) -> None:
    assert draw("loss", (make_row("a"), MadeCurves(lr=[1]))).lines == ()
    assert draw("loss").lines == ()
    assert x_extent([], "step") is None


def test_a_chart_can_be_said_in_words(draw: Callable[..., ChartSpec]) -> None:
    spec = draw(
        "test_accuracy",
        (make_row("ddp-w2-r0"), MadeCurves(test_accuracy=[0.5, 0.975])),
        (make_row("a"), MadeCurves(test_accuracy=[NAN])),
    )
    assert describe(spec, last_readings(spec)).splitlines() == [
        "test_accuracy",
        "ddp-w2-r0  97.5%  at step 1",
        "a            n/a  at step 0",
    ]
    in_sight = replace(spec, x_range=(0.0, 0.5))
    assert last_readings(in_sight)[0].y == 0.5
    assert last_readings(replace(spec, x_range=(10.0, 20.0)))[0].y is None


def test_exported_points_are_made_only_when_they_are_asked_for() -> None:
    drawn = [(make_row("a"), MadeCurves(loss=[3, 2, 1], lr=[1])), (make_row("b"), MadeCurves(loss=[9]))]
    rows = PointRows(["loss", "lr"], drawn, axis="step", x_range=None)
    assert len(rows) == 5
    assert next(iter(rows)) == ("digits/a", "loss", 0, 0, 64, 3)
    assert rows[3] == rows[-2] == ("digits/b", "loss", 0, 0, 64, 9)
    assert rows[1:3] == tuple(list(rows)[1:3])
    assert [row[5] for row in PointRows(["loss"], drawn, axis="step", x_range=(1, 2))] == [2, 1]


def test_a_grid_is_clamped_so_that_charts_stay_readable() -> None:
    assert fit_grid((3, 3), (80, 21), 17) == (2, 3)
    assert fit_grid((3, 3), (120, 37), 17) == (3, 3)
    assert fit_grid((3, 3), (20, 2), 17) == (1, 1)
    assert fit_grid((3, 3), (120, 37), 2) == (2, 1)


def test_cycling_goes_on_to_a_grid_that_looks_different() -> None:
    assert next_grid((2, 2), (120, 37), 17) == (3, 2)
    assert next_grid((3, 3), (120, 37), 17) == (1, 1)
    assert next_grid((2, 2), (40, 10), 17) == (2, 2)


def test_a_page_is_the_one_its_chart_stands_on() -> None:
    names = [f"m{place}" for place in range(17)]
    page = page_of(names, (2, 2), "m6")
    assert page.names == ("m4", "m5", "m6", "m7")
    assert page.label == "5-8 of 17"
    assert page_of(names, (2, 2), "m16").label == "17 of 17"
    assert page_of(names, (2, 2), "gone").first == 0
    assert page_of([], (1, 1), None).label == "0 charts"
