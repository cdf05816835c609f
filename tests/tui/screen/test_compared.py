from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from made_points import make_runs, make_scaling

from engine.analysis.published import Published, figure_of, read_reference
from engine.analysis.scaling import PointRow, make_points
from engine.analysis.statistics import Estimate
from tui.view.chart import ChartSpec, Line
from tui.view.compared import device_span, format_figure, make_charts, matching
from tui.view.compared_table import detail_lines, export_columns, export_rows, point_columns, point_rows
from tui.view.comparison import Comparison
from tui.view.table import cell_text, fit_columns


def read(reference: dict[str, Any], points: list[PointRow]) -> Published:
    return read_reference(reference, points, format_figure)


def charts_of(points: list[PointRow], published: Published | None = None, **choices: Any) -> tuple[ChartSpec, ...]:
    comparison = Comparison(revision=1, experiment="digits", points=tuple(points))
    return make_charts(comparison, points, published or Published(), **choices)


def line_of(chart: ChartSpec, label: str) -> Line:
    return next(line for line in chart.lines if line.label == label)


def test_the_three_charts_hold_series_ideal_and_interval() -> None:
    speedup, efficiency, throughput = charts_of(make_scaling())
    assert speedup.title == "throughput_speedup over single"
    assert efficiency.title == "throughput_efficiency"
    ddp = line_of(speedup, "ddp")
    assert list(ddp.x) == [1.0, 2.0, 4.0]
    assert ddp.y[1] == pytest.approx(1.82 * 0.97)
    assert ddp.low is not None
    assert ddp.high is not None
    assert ddp.low[1] < ddp.y[1] < ddp.high[1]
    assert ddp.has_markers
    ideal = line_of(speedup, "ideal")
    assert ideal.is_dashed
    assert list(zip(ideal.x, ideal.y, strict=True)) == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0)]
    assert set(line_of(efficiency, "ideal").y) == {1.0}
    assert efficiency.y_format == "ratio"
    assert line_of(throughput, "ideal").y[-1] == pytest.approx(4000.0)
    assert all(chart.x_ticks == (1.0, 2.0, 4.0) for chart in (speedup, efficiency, throughput))
    assert len({line.color for line in speedup.lines}) == len(speedup.lines)


def test_without_three_repeats_there_is_no_band_and_the_legend_says_how_many_there_were() -> None:
    speedup, *_ = charts_of(make_scaling(repeats=2))
    assert line_of(speedup, "ddp (n=2)").low is None


def test_the_ideal_starts_at_the_baselines_own_size() -> None:
    runs = make_runs("ddp", 2, baseline="ddp-w2") + make_runs("ddp", 8, baseline="ddp-w2")
    speedup, *_ = charts_of(make_points(runs))
    ideal = line_of(speedup, "ideal")
    assert (ideal.x[0], ideal.y[0], ideal.x[-1], ideal.y[-1]) == (2.0, 1.0, 8.0, 4.0)


def test_x_switches_to_total_time_which_needs_equally_many_samples() -> None:
    speedup, efficiency, throughput = charts_of(make_scaling(), source="time")
    assert speedup.title == "time_speedup over single"
    assert throughput.title == "samples/s by world size"
    assert line_of(efficiency, "ddp").y[0] == pytest.approx(0.97)
    unequal = make_points(make_runs("single", 1) + make_runs("ddp", 2, samples_seen=99))
    assert [line.label for line in charts_of(unequal, source="time")[0].lines] == ["ideal", "single"]


def test_without_a_baseline_the_chart_says_so_and_throughput_is_still_drawn() -> None:
    points = make_points(make_runs("ddp", 2, baseline="") + make_runs("ddp", 4, baseline=""))
    speedup, efficiency, throughput = charts_of(points)
    assert speedup.lines == efficiency.lines == ()
    assert speedup.empty_text == "no baseline: n/a"
    assert [line.label for line in throughput.lines] == ["ddp"]


def test_nothing_finished_and_nothing_at_all_are_empty_charts() -> None:
    assert charts_of([])[0].empty_text == "no points"
    waiting = make_points(make_runs("ddp", 2, state="queued"))
    assert charts_of(waiting)[0].empty_text == "no run has succeeded yet"


def test_nan_is_n_a_and_no_point_of_a_line() -> None:
    points = make_scaling()
    broken = Estimate(value=math.nan, low=None, high=None, n=3)
    points[2] = replace(points[2], throughput_speedup=broken, samples_per_s=broken)
    assert figure_of(points[2], "throughput_speedup") is None
    assert list(line_of(charts_of(points)[0], "ddp").x) == [1.0, 4.0]


def test_colours_stay_when_points_are_filtered() -> None:
    points = make_scaling()
    comparison = Comparison(revision=1, experiment="digits", points=tuple(points))
    some = make_charts(comparison, matching(points, "ddp"), Published())[0]
    assert line_of(some, "ddp").color == line_of(charts_of(points)[0], "ddp").color


def test_words_choose_points() -> None:
    points = make_scaling()
    assert [point.point for point in matching(points, "ddp -4")] == ["ddp-w1", "ddp-w2"]
    assert [point.point for point in matching(points, "WORLD_SIZE:4")] == ["ddp-w4"]
    assert matching(points, "  ") == points
    assert matching(points, "nothing") == []


def test_y_begins_at_zero_unless_it_is_logarithmic_or_zoomed() -> None:
    assert (charts_of(make_scaling())[0].y_range or (1.0,))[0] == 0.0
    assert charts_of(make_scaling(), is_log=True)[0].y_range is None
    zoomed = charts_of(make_scaling(), x_range=(1.0, 2.0))[0]
    assert (zoomed.x_range, zoomed.y_range) == ((1.0, 2.0), None)


FORMS: list[tuple[str, dict[str, Any]]] = [
    ("a figure by point", {"throughput_speedup": {"ddp-w2": 1.8, "ddp, 4 ranks": 3.1}}),
    ("a point's figures", {"points": {"ddp-w2": {"throughput_speedup": 1.8}, "ddp-w4": {"speedup": 3.1}}}),
    ("a figure by world size", {"speedup": {"2": 1.8, "4": 3.1}}),
    ("lists", {"world_size": [2, 4], "speedup": [1.8, 3.1]}),
]


@pytest.mark.parametrize(("form", "reference"), FORMS, ids=[form for form, _ in FORMS])
def test_every_form_of_published_figures_finds_our_points(form: str, reference: dict[str, Any]) -> None:
    points = make_scaling()
    published = read({"source": "Smith 2024"} | reference, points)
    assert published.value("ddp-w2", "throughput_speedup") == 1.8
    assert published.value("ddp-w4", "throughput_speedup") == 3.1
    assert published.value("ddp-w1", "throughput_speedup") is None
    assert published.curves["throughput_speedup"] == ((2.0, 1.8), (4.0, 3.1))
    assert published.lines == ("source: Smith 2024",)
    beside = line_of(charts_of(points, published)[0], "published")
    assert beside.is_dashed
    assert list(beside.y) == [1.8, 3.1]


def test_a_point_is_found_by_its_name_on_an_axis_where_no_other_has_it() -> None:
    points = [replace(point, axes={"case": name}) for point, name in zip(make_scaling(), "abbc", strict=True)]
    published = read({"points": {"c": {"total_s": 302}, "b": {"total_s": 5}}}, points)
    assert published.value(points[3].point, "total_s") == 302
    assert published.lines == ("total_s of b: 5s (several points have it: name one)",)


def test_what_is_not_recognised_is_kept_as_text() -> None:
    reference = {
        "speedup_at_8": 5.1,
        "notes": ["a", 2],
        "throughput_speedup": {"fsdp-w2": 1.5, "why": "unclear", "2": 1.8},
        "points": {"ddp-w2": {"machine": "V100", "total_s": 302}, "odd": 3},
        "setup": {"gpu": {"name": "V100"}},
        "efficiency": [1.0, 0.8],
        "time_speedup": 4.0,
    }
    published = read(reference, make_scaling())
    assert published.lines == (
        "speedup_at_8: 5.1",
        "notes: a, 2",
        "throughput_speedup of fsdp-w2: 1.50",
        "throughput_speedup of why: unclear",
        "ddp-w2: machine: V100",
        "points.odd: 3",
        "setup.gpu.name: V100",
        "efficiency: 1, 0.8",
        "time_speedup: 4",
    )
    assert published.value("ddp-w2", "total_s") == 302


def test_sizes_that_we_have_not_got_are_drawn_and_listed() -> None:
    published = read({"world_size": [1, 2, 16], "efficiency": [1.0, 0.9, 0.46]}, make_scaling())
    assert published.curves["throughput_efficiency"][-1] == (16.0, 0.46)
    assert published.lines == ("throughput_efficiency of world size 16: 46.0%",)
    points = make_scaling()
    assert charts_of(points, published)[1].x_ticks == (1.0, 2.0, 4.0, 16.0)
    assert device_span(points, published)[1] > 16


def test_a_size_that_several_points_have_stands_beside_none_of_them() -> None:
    points = make_points(make_runs("single", 1) + make_runs("ddp", 1) + make_runs("ddp", 2) + make_runs("dp", 2))
    published = read({"speedup": {"1": 0.99, "2": 1.8, "dp-w2": 1.2}}, points)
    assert published.value("ddp-w1", "throughput_speedup") == 0.99  # the baseline steps back
    assert published.value("single-w1", "throughput_speedup") is None
    assert published.value("ddp-w2", "throughput_speedup") is None
    assert published.value("dp-w2", "throughput_speedup") == 1.2
    assert published.lines == ("throughput_speedup of world size 2: 1.80 (several points have it: name one)",)


def test_odd_references_lose_nothing_and_raise_nothing() -> None:
    odd: dict[str, Any] = {
        "world_size": [1, 2],
        "efficiency": [1, 2, 3],
        "points": [1],
        "x": {},
        "speedup": {"2": math.inf},
    }
    published = read(odd, make_scaling())
    assert len(published.lines) == 5
    assert read({}, []) == Published()
    assert read({"speedup": {"2": 1.0}}, []).lines == ("throughput_speedup of world size 2: 1.00",)


def rows_of(points: list[PointRow], published: Published | None = None, **choices: Any) -> list[list[str]]:
    published = published or Published()
    columns = point_columns(points, "throughput", published, has_intervals=choices.pop("has_intervals", True))
    rows = point_rows(points, "throughput", published, columns, everything=points, **choices)
    return [[column.label for column in columns], *([cell_text(cell) for cell in row.cells] for row in rows)]


def test_the_table_says_what_was_measured_and_what_was_best() -> None:
    header, single, _, _, ddp4 = rows_of(make_scaling())
    assert header == [
        "point",
        "runs",
        "devices",
        "samples/s",
        "speedup",
        "effic.",
        "time",
        "accuracy",
        "against",
        "notes",
    ]
    assert single[:3] == ["● single base", "3/3", "1"]
    assert single[4] == "1.00"
    assert ddp4[0] == "● ddp, 4 ranks"
    assert ddp4[3].startswith("★3,143 ±")
    assert ddp4[4].startswith("★3.14 [3.")
    assert ddp4[6] == "★11s"
    assert ddp4[8] == "single"
    assert rows_of(make_scaling(), is_ascii=True)[-1][3].startswith("*3,143")
    assert rows_of(make_scaling(), has_intervals=False)[-1][3] == "★3,143"


def test_the_baselines_efficiency_is_never_the_best() -> None:
    _, single, ddp1, *_ = rows_of(make_scaling())
    assert (single[5], ddp1[5]) == ("100.0%", "★97.0%")


def test_a_time_at_fewer_samples_is_never_the_best() -> None:
    points = make_points(make_runs("single", 1) + make_runs("ddp", 2) + make_runs("ddp", 4, samples_seen=99))
    assert [row[6] for row in rows_of(points)[1:]] == ["36s", "★20s", "0.031s"]


def test_published_values_stand_beside_ours() -> None:
    published = read({"speedup": {"4": 3.5}, "points": {"ddp-w2": {"total_s": 302}}}, make_scaling())
    header, _, _, ddp2, ddp4 = rows_of(make_scaling(), published)
    assert header[5] == "published"
    assert (ddp2[5], ddp4[5]) == ("-", "3.50")
    assert ddp2[8] == "5:02"


def test_points_without_a_finished_run_are_n_a_for_a_reason() -> None:
    points = make_points(make_runs("single", 1) + make_runs("ddp", 2, state="failed"))
    row = rows_of(points)[-1]
    assert row[1] == "0/3"
    assert row[3:7] == ["n/a", "n/a", "n/a", "n/a"]
    said = detail_lines(points[1], "throughput", Published(), Comparison(revision=1, experiment="digits"))
    assert said[0] == ("ddp, 2 ranks", "0 of 3 runs succeeded; against single")
    assert ("note", "no run of this point succeeded") in said


def test_the_detail_tells_intervals_notes_reasons_and_what_was_published() -> None:
    points = make_points(
        make_runs("single", 1) + make_runs("ddp", 2, baseline_reason="nearest of two", repeats=2, accuracy=None)
    )
    published = read({"source": "Smith 2024"}, points)
    comparison = Comparison(revision=1, experiment="digits", data_notes=("the data is synthetic",))
    said = detail_lines(points[1], "throughput", published, comparison)
    assert said[0][1] == "2 of 2 runs succeeded: fewer than 3, so no intervals; against single"
    assert ("n/a", "test_accuracy: its runs did not measure it") in said
    assert ("baseline", "nearest of two") in said
    assert said[-2:] == [("published", "source: Smith 2024"), ("data", "the data is synthetic")]
    three = detail_lines(make_scaling()[2], "throughput", Published(), comparison)
    assert any(head == "throughput_speedup" and "95 % interval" in words for head, words in three)


def test_the_export_has_raw_values_and_blanks_for_n_a() -> None:
    points = make_scaling(repeats=2)
    published = read({"speedup": {"4": 3.5}}, points)
    row = dict(zip(export_columns(published), export_rows(points, published)[-1], strict=True))
    assert row["samples_per_s"] == pytest.approx(3240 * 0.97 * 1.005)
    assert row["throughput_speedup_low"] is None
    assert row["published_throughput_speedup"] == 3.5
    assert row["baseline"] == "single-w1"


def test_beside_one_size_the_ideal_says_the_value_of_that_size() -> None:
    speedup = charts_of(make_points(make_runs("single", 1)))[0]
    ideal = next(line for line in speedup.lines if line.label == "ideal")
    assert (ideal.x[-1], ideal.y[-1]) == (1.0, 1.0)
    assert ideal.x[0] < 1.0, "it is still a line"


def test_a_point_says_the_latency_that_its_runs_measured():
    runs = make_runs("single", 1) + make_runs("ddp", 2)
    for _, summary in runs[3:]:
        summary["latency"] = {"all_reduce": {"median_s": 0.000412}, "barrier": {"median_s": 0.0013}}
    single, ddp = make_points(runs)
    comparison = Comparison(revision=1, experiment="digits")
    said = [
        [words for name, words in detail_lines(point, "throughput", Published(), comparison) if name == "latency"]
        for point in (single, ddp)
    ]
    assert said == [[], ["all-reduce of 4 bytes 412 µs, barrier 1,300 µs"]]
    row = dict(zip(export_columns(Published()), export_rows([ddp], Published())[0], strict=True))
    assert row["all_reduce_s"] == pytest.approx(0.000412)


def test_names_that_differ_late_are_not_cut_to_the_same() -> None:
    points = make_scaling()
    launches = ("torchrun", "torch.distributed.launch")
    alike = [replace(points[0], label=f"script, 1 rank, launch {name}") for name in launches]
    columns = point_columns(alike, "throughput", Published(), has_intervals=False)
    widths = {columns[place].key: width for place, width in fit_columns(columns, 76)}
    room = widths["point"] - len("● ") - len("…")
    assert alike[0].label[:room] != alike[1].label[:room]
    assert {"samples_per_s", "throughput_speedup", "throughput_efficiency"} <= widths.keys()
    assert point_columns(points, "throughput", Published(), has_intervals=False)[0].width <= 24
