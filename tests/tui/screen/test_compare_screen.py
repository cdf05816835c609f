from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_points import make_runs, make_scaling
from screen_driver import FakeFeed, screen_lines, screen_text, settle

from engine.analysis.scaling import PointRow, make_points
from tui.app import DdptuiApp
from tui.keys import Mode
from tui.screens.compare import CompareScreen
from tui.view.comparison import Comparison
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import ExperimentView, Snapshot
from tui.widgets.chart import Chart
from tui.widgets.live_table import LiveTable

Drive = Callable[[DdptuiApp, Any], Awaitable[None]]


def make_rows(points: Sequence[PointRow], experiment: str = "digits", *, num_waiting: int = 0) -> tuple[RunRow, ...]:
    """The runs of these points, the last ones of them still waiting."""
    names = [(point.point, repeat) for point in points for repeat in range(point.num_runs)]
    return tuple(
        RunRow(
            experiment=experiment, id=f"{point}-r{repeat}", point=point, repeat=repeat,
            state="queued" if place >= len(names) - num_waiting else "succeeded", reason="", attempt=1,
            strategy="ddp", world_size=4, num_devices=4, progress=1.0, epoch=1, num_epochs=2, step=479, num_steps=480,
            loss=0.5, samples_per_s=100.0, test_accuracy=None, elapsed_s=10.0, eta_s=None, queued_s=1.0, started_s=1.0,
            ended_s=None, folder="",
        )
        for place, (point, repeat) in enumerate(names)
    )  # fmt: skip


def drive(
    steps: Drive,
    *,
    points: Sequence[PointRow] | None = None,
    rows: tuple[RunRow, ...] | None = None,
    size: tuple[int, int] = (120, 40),
    comparison: dict[str, Any] | None = None,
    **choices: Any,
) -> None:
    """Show a comparison of these points, then take the steps."""
    points = make_scaling() if points is None else points
    feed = FakeFeed()
    rows = make_rows(points) if rows is None else rows
    feed.snapshot = Snapshot(revision=1, read_s=1.0, rows=rows)
    said = {"revision": 1, "experiment": "digits", "points": tuple(points), **(comparison or {})}
    feed.the_comparison = Comparison(**said) if said["experiment"] else None
    session = Session(**{"results": "results", "host": "box-01", "current": None, **choices})
    app = DdptuiApp(feed, session, mode=Mode.COMPARE)  # type: ignore[arg-type]

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await settle(app, pilot)
            await steps(app, pilot)

    asyncio.run(go())


async def press(app: DdptuiApp, pilot: Any, *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
        await settle(app, pilot, rounds=1)
    await settle(app, pilot, rounds=1)
    return screen_text(app)


def feed_of(app: DdptuiApp) -> FakeFeed:
    return app.feed  # type: ignore[return-value]


def charts_in_sight(app: DdptuiApp) -> list[str]:
    return [str(chart.id) for chart in app.screen.query(Chart) if chart.display and chart.region.area]


def line_with(app: DdptuiApp, *words: str) -> str:
    found = [line for line in screen_lines(app) if all(word in line for word in words)]
    assert found, f"no line with {words} in\n{screen_text(app)}"
    return found[0]


def test_three_charts_stand_over_the_table_behind_them() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        text = screen_text(app)
        assert feed_of(app).watched_experiment == "digits"
        assert charts_in_sight(app) == ["speedup", "efficiency", "throughput"]
        titles = line_with(app, "throughput_speedup over single")
        assert "throughput_efficiency" in titles
        assert "samples/s" in titles
        assert "digits  12 of 12 runs finished" in text
        assert "★3,143 ±" in line_with(app, "ddp, 4 ranks", "3/3")
        assert "single base" in text
        assert "3 of 3 runs succeeded; the baseline" in text

    drive(steps)


def test_on_a_narrow_screen_one_chart_at_a_time_and_c_shows_the_next() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        seen = [charts_in_sight(app)]
        for _ in range(3):
            await press(app, pilot, "c")
            seen.append(charts_in_sight(app))
        assert seen == [["speedup"], ["efficiency"], ["throughput"], ["speedup"]]
        assert "3.14" in line_with(app, "ddp, 4 ranks", "★")

    drive(steps, size=(80, 24))


def test_on_a_wide_screen_c_shows_one_chart_large_and_all_again_at_the_end() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        await press(app, pilot, "c")
        assert charts_in_sight(app) == ["speedup"]
        await press(app, pilot, "c", "c", "c")
        assert len(charts_in_sight(app)) == 3
        await press(app, pilot, "c", "escape")
        assert len(charts_in_sight(app)) == 3

    drive(steps)


def test_x_takes_speedup_from_total_time_and_back() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        text = await press(app, pilot, "x")
        assert "time_speedup over single" in text
        assert "time_efficiency" in text
        assert "throughput_speedup over single" in await press(app, pilot, "x")

    drive(steps)


def test_zoom_pan_log_and_reset_change_what_the_charts_show() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        shown: list[Any] = []
        chart = app.screen.query_one("#speedup", Chart)
        show = chart.show
        chart.show = lambda spec: shown.append(spec) or show(spec)  # type: ignore[method-assign,func-returns-value]
        before = screen_text(app)
        zoomed = await press(app, pilot, "plus")
        assert zoomed != before
        await press(app, pilot, "left", "right", "minus")
        ranges = [spec.x_range for spec in shown]
        assert ranges[0] == pytest.approx((1.66, 3.34))
        assert ranges[1] == pytest.approx((1.24, 2.92))
        assert ranges[2] == pytest.approx((1.66, 3.34))
        assert ranges[3] == pytest.approx((0.82, 4.18))
        await press(app, pilot, "equals_sign", "0")
        assert shown[-1].x_range == ranges[3]
        assert await press(app, pilot, "L") != before
        assert shown[-1].is_log
        assert await press(app, pilot, "L") == before

    drive(steps)


def test_the_filter_chooses_points_while_one_types_and_esc_brings_them_back() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        await press(app, pilot, "slash")
        text = await press(app, pilot, *"ddp", "space", *"-4")
        assert "2 of 4 points" in text
        assert "ddp, 4 ranks" not in text
        await press(app, pilot, "enter")
        assert "ddp, 4 ranks" not in screen_text(app)
        assert isinstance(app.focused, LiveTable)
        assert "ddp, 4 ranks" in await press(app, pilot, "escape")
        await press(app, pilot, "slash")
        assert "0 of 4 points" in await press(app, pilot, *"zzz")
        assert "single base" in await press(app, pilot, "escape")

    drive(steps)


def test_enter_marks_the_runs_of_the_point_and_goes_to_charts() -> None:
    gone: list[Any] = []

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        app.go = lambda *where: gone.append(where)  # type: ignore[method-assign,misc]
        await press(app, pilot, "down", "down")
        assert app.mode_screen is not None
        assert app.mode_screen.targets() == tuple(f"digits/ddp-w2-r{n}" for n in range(3))
        await press(app, pilot, "enter")
        assert app.session.marked == [f"digits/ddp-w2-r{n}" for n in range(3)]

    drive(steps)
    assert gone == [("charts",)]


def test_brackets_go_to_the_other_experiments_and_the_current_runs_comes_first() -> None:
    points = make_scaling((2,))
    rows = make_rows(points, "first") + make_rows(points, "digits")

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert feed_of(app).watched_experiment == "digits"
        assert "digits (2 of 2)  6 of 6 runs finished" in screen_text(app)
        assert "Reading the runs of first." in await press(app, pilot, "right_square_bracket")
        assert feed_of(app).watched_experiment == "first"
        feed_of(app).show_comparison(Comparison(revision=2, experiment="first", points=tuple(points)))
        await settle(app, pilot)
        assert "first (1 of 2)" in screen_text(app)
        await press(app, pilot, "left_square_bracket")
        assert feed_of(app).watched_experiment == "digits"

    drive(steps, points=points, rows=rows, current="digits/ddp-w2-r0")


def test_z_gives_the_screen_to_one_pane() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        app.screen.query_one(LiveTable).focus()
        assert "throughput_efficiency" not in line_with(app, "single base")
        await press(app, pilot, "z")
        assert charts_in_sight(app) == []
        await press(app, pilot, "escape")
        assert len(charts_in_sight(app)) == 3
        app.screen.query_one("#efficiency", Chart).focus()
        await press(app, pilot, "z")
        assert app.screen.maximized is app.screen.query_one("#efficiency")
        await press(app, pilot, "z")
        assert app.screen.maximized is None

    drive(steps)


def test_published_figures_stand_beside_ours_and_the_rest_is_told() -> None:
    reference = {"source": "Smith 2024, table 3", "speedup": {"2": 1.75, "4": 3.05, "8": 5.5}}

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "published" in line_with(app, "samples/s", "accuracy")
        assert "3.05" in line_with(app, "ddp, 4 ranks", "3/3")
        await press(app, pilot, "down")
        assert "published  source: Smith 2024, table 3" in screen_text(app)
        assert "throughput_speedup of world size 8: 5.50" in screen_text(app)

    drive(steps, comparison={"reference": reference})


def test_what_is_n_a_has_its_reason_below_for_the_point_under_the_cursor() -> None:
    points = make_points(make_runs("single", 1) + make_runs("ddp", 2, samples_seen=100, accuracy=None))

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        text = await press(app, pilot, "x", "down")
        assert "n/a" in line_with(app, "ddp, 2 ranks", "3/3")
        assert "time_speedup is n/a: 100 samples seen, baseline 36,000" in text
        assert "test_accuracy: its runs did not measure it" in text

    drive(steps, points=points)


def test_an_unfinished_experiment_shows_what_there_is_and_grows() -> None:
    runs = make_runs("single", 1)
    waiting = make_points(runs + make_runs("ddp", 2, state="queued"))

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "3 of 6 runs finished" in screen_text(app)
        assert "0/3" in line_with(app, "ddp, 2 ranks")
        finished = make_points(runs + make_runs("ddp", 2))
        feed = feed_of(app)
        feed.snapshot = replace(feed.snapshot, revision=2, rows=make_rows(finished))
        feed.show(feed.snapshot)
        feed.show_comparison(Comparison(revision=2, experiment="digits", points=tuple(finished)))
        await settle(app, pilot)
        assert "6 of 6 runs finished" in screen_text(app)
        assert "1.82" in line_with(app, "ddp, 2 ranks", "3/3")

    drive(steps, points=waiting, rows=make_rows(waiting, num_waiting=3))


NO_PLAN = {"problem": "the plan cannot be read"}
WAITING = make_points(make_runs("ddp", 2, state="queued"))

EMPTY: list[tuple[str, dict[str, Any]]] = [
    ("There is no experiment to compare.", {"points": [], "rows": (), "comparison": {"experiment": ""}}),
    ("Reading the runs of digits.", {"comparison": {"experiment": ""}}),
    ("the plan cannot be read", {"points": [], "rows": make_rows(make_scaling()), "comparison": NO_PLAN}),
    (
        "digits: 0 of 3 runs finished; none has succeeded",
        {"points": WAITING, "rows": make_rows(WAITING, num_waiting=3)},
    ),
]


@pytest.mark.parametrize(("words", "what"), EMPTY, ids=[words for words, _ in EMPTY])
def test_where_there_is_nothing_one_sentence_says_why(words: str, what: dict[str, Any]) -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert words in screen_text(app)
        await pilot.press("c", "x", "L", "plus", "left", "0", "enter", "z", "escape", "right_square_bracket")
        await settle(app, pilot)
        assert words in screen_text(app)

    drive(steps, **what)


def test_without_a_baseline_throughput_is_still_compared() -> None:
    points = make_points(make_runs("ddp", 2, baseline="") + make_runs("ddp", 4, baseline=""))

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "no baseline: n/a" in screen_text(app)
        assert "★3,240" in line_with(app, "ddp, 4 ranks", "3/3")

    drive(steps, points=points)


def test_an_experiment_without_runs_yet_is_known_by_its_plan() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        feed_of(app).show(Snapshot(revision=2, experiments=(ExperimentView(name="planned"),)))
        await settle(app, pilot)
        assert feed_of(app).watched_experiment == "planned"

    drive(steps, points=[], rows=(), comparison={"experiment": ""})


def test_every_size_is_survived() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        await pilot.press("c", "plus")
        for size in ((40, 12), (5, 2), (1, 1), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(app, pilot)
        assert "12 of 12 runs finished" in screen_text(app)

    drive(steps, size=(20, 5))


def test_export_and_copy_give_raw_values_and_the_row() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        await press(app, pilot, "end")
        assert screen.copied().startswith("● ddp, 4 ranks\t3/3\t4\t★3,143")
        exported = screen.exported()
        assert exported.name == "compare-digits"
        assert len(exported.rows) == 4
        assert [chart.key for chart in exported.charts] == [
            "compare-speedup",
            "compare-efficiency",
            "compare-throughput",
        ]

    drive(steps)
