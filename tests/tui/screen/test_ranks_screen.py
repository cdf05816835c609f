from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from made_ranks import T0_S, MadeCurves, add_line, grow, make_node, make_run, make_track
from rich.color import ColorSystem
from screen_driver import FakeFeed, screen_lines, screen_text, settle

from tui.app import DdptuiApp
from tui.keys import Mode
from tui.screens.ranks import RanksScreen
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import Snapshot
from tui.widgets.heat_map import HeatMap
from tui.widgets.live_table import LiveTable

Drive = Callable[[DdptuiApp, Any], Awaitable[None]]


def make_row(run_id: str = "ddp-w4-r0", state: str = "succeeded", experiment: str = "digits") -> RunRow:
    return RunRow(
        experiment=experiment, id=run_id, point="ddp-w4", repeat=0, state=state, reason="", attempt=1, strategy="ddp",
        world_size=4, num_devices=4, progress=1.0, epoch=1, num_epochs=2, step=479, num_steps=480, loss=0.5,
        samples_per_s=100.0, test_accuracy=None, elapsed_s=10.0, eta_s=None, queued_s=T0_S, started_s=T0_S,
        ended_s=None, folder="",
    )  # fmt: skip


def drive(
    steps: Drive,
    *,
    curves: MadeCurves | None = None,
    rows: tuple[RunRow, ...] = (make_row(), make_row("ddp-w4-r1")),
    size: tuple[int, int] = (120, 40),
    colors: ColorSystem = ColorSystem.TRUECOLOR,
    **choices: Any,
) -> DdptuiApp:
    """Show the first row's run in Ranks, then take the steps."""
    feed = FakeFeed()
    feed.snapshot = Snapshot(revision=1, read_s=T0_S, rows=rows)
    if curves is not None:
        feed.curves_by_tag[rows[0].tag] = curves  # type: ignore[assignment]
    current = rows[0].tag if rows else None
    session = Session(**{"results": "results", "host": "box-01", "current": current, **choices})
    app = DdptuiApp(feed, session, mode=Mode.RANKS)  # type: ignore[arg-type]
    app.console._color_system = colors

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await settle(app, pilot)
            await steps(app, pilot)

    asyncio.run(go())
    return app


async def press(app: DdptuiApp, pilot: Any, *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
        await settle(app, pilot, rounds=1)
    return screen_text(app)


def feed_of(app: DdptuiApp) -> FakeFeed:
    return app.feed  # type: ignore[return-value]


def line_with(app: DdptuiApp, *words: str) -> str:
    found = [line for line in screen_lines(app) if all(word in line for word in words)]
    assert found, f"no line with {words} in\n{screen_text(app)}"
    return found[0]


def test_the_slow_rank_is_marked_with_the_reason_in_words() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        text = screen_text(app)
        assert "ddp-w4-r0  ✓ succeeded" in text
        assert "rank 1 is slowest: forward 12 ms, others 9 ms; they wait 3 ms in comm" in text
        assert "◀ slowest" in line_with(app, " 1 ", "98%")
        assert "9.00" in line_with(app, " 2 ", "97%")
        assert "box-01   CPU" in text
        assert "memory 4.7 of 16.0 GiB" in text
        assert "net ↑ 1000 B/s ↓ 2.0 KiB/s" in text

    drive(steps, curves=make_run())


def test_c_cycles_over_the_step_and_its_phases_and_comes_back() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        seen = []
        for _ in range(6):
            legend = line_with(app, "5..95 % of all")
            seen.append(
                next(w for w in ("step time", "data", "forward", "backward", "comm", "optimizer") if w in legend)
            )
            await press(app, pilot, "c")
        assert seen == ["step time", "data", "forward", "backward", "comm", "optimizer"]
        assert "step time" in line_with(app, "5..95 % of all")

    drive(steps, curves=make_run())


def test_the_map_shows_who_was_slow_and_when() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        await press(app, pilot, "c", "c")
        rows = [line for line in screen_lines(app) if "@" in line]
        assert rows, screen_text(app)
        assert all(line[1:5].split() in (["1"], []) for line in rows)
        (named,) = [line for line in rows if line[1:5].strip() == "1"]
        cells = named[6:-1]
        number = len(cells)
        assert set(cells[: number // 4]) == {"."}
        assert set(cells[number * 2 // 5 : number * 3 // 5]) == {"@"}
        assert set(cells[number * 3 // 4 :]) == {"."}

    drive(steps, curves=make_run(), is_ascii=True)


def test_v_puts_the_values_of_one_moment_into_the_table_and_the_arrows_move_it() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "mean over all 12.5s" in screen_text(app)
        text = await press(app, pilot, "v")
        assert "▲ at 6.2s" in text
        assert "per step in ms, at 6.2s" in text
        assert "forward 18 ms, others 9 ms" in text
        assert "per step in ms, at 6.0s" in await press(app, pilot, "left", "left")
        assert "per step in ms, at 6.1s" in await press(app, pilot, "right")
        assert "mean over all" in await press(app, pilot, "v")

    drive(steps, curves=make_run())


def test_zoom_and_pan_show_a_part_and_reset_shows_all() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "3.1s to 9.4s of 12.5s" in await press(app, pilot, "plus")
        assert "1.6s to 7.8s of 12.5s" in await press(app, pilot, "left")
        assert "4.7s to 10.9s of 12.5s" in await press(app, pilot, "right", "right")
        assert "6.2s to 9.4s of 12.5s" in await press(app, pilot, "equals_sign")
        assert "4.7s to 10.9s of 12.5s" in await press(app, pilot, "minus")
        assert "all 12.5s" in await press(app, pilot, "0")
        assert "all 12.5s" in await press(app, pilot, "plus", "minus")
        assert "all 12.5s" in await press(app, pilot, "left")

    drive(steps, curves=make_run())


def test_brackets_go_to_the_other_runs_of_the_experiment() -> None:
    rows = (make_row(), make_row("ddp-w4-r1", "queued"), make_row("other", experiment="else"))

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "ddp-w4-r1 is queued: its ranks have not started." in await press(app, pilot, "right_square_bracket")
        assert app.session.current == "digits/ddp-w4-r1"
        assert set(feed_of(app).watched) == {"digits/ddp-w4-r1"}
        assert "ddp-w4-r0  ✓ succeeded" in await press(app, pilot, "right_square_bracket")
        assert "ddp-w4-r1 is queued" in await press(app, pilot, "left_square_bracket")

    drive(steps, curves=make_run(), rows=rows)


def test_enter_opens_the_log_of_the_rank_under_the_cursor() -> None:
    gone: list[Any] = []

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        app.go = lambda *where: gone.append(where)  # type: ignore[method-assign,misc]
        await press(app, pilot, "down", "down", "enter")

    drive(steps, curves=make_run())
    assert gone == [("logs", "digits/ddp-w4-r0", 2)]


def test_z_gives_the_screen_to_the_map_and_esc_takes_it_back() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        app.screen.query_one(HeatMap).focus()
        text = await press(app, pilot, "z")
        assert "backward" not in text
        assert "5..95 % of all" in text
        assert "backward" in await press(app, pilot, "escape")
        app.screen.query_one(LiveTable).focus()
        assert "5..95 %" not in await press(app, pilot, "z")
        assert "5..95 %" in await press(app, pilot, "z")

    drive(steps, curves=make_run())


def test_esc_leaves_the_inspection_then_the_zoom() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        text = await press(app, pilot, "plus", "v")
        assert "▲ at" in text
        assert "of 12.5s" in text
        text = await press(app, pilot, "escape")
        assert "▲ at" not in text
        assert "of 12.5s" in text
        assert "of 12.5s" not in await press(app, pilot, "escape")

    drive(steps, curves=make_run())


def test_new_lines_are_shown_and_repaint_only_what_changed() -> None:
    curves = make_run(num_windows=25, slow_rank=None)

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "199" in line_with(app, " 2 ", "97%")
        heat_map = app.screen.query_one(HeatMap)
        regions: list[Any] = []
        refresh = heat_map.refresh
        heat_map.refresh = lambda *args, **kwargs: regions.append(args) or refresh(*args, **kwargs)  # type: ignore
        grow(curves.ranks[2], 3)
        curves.revision += 1
        feed_of(app).show_curves()
        await settle(app, pilot)
        assert "223" in line_with(app, " 2 ", "97%")
        assert "199" in line_with(app, " 1 ", "98%")
        areas = [region for args in regions for region in args]
        assert areas
        assert () not in regions, "the whole map was repainted"
        assert len({region.y for region in areas}) <= 6
        assert max(region.width for region in areas) < 20

    drive(steps, curves=curves, rows=(make_row(state="running"),))


def test_nothing_is_repainted_when_nothing_is_new() -> None:
    curves = make_run()

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        regions: list[Any] = []
        for widget in app.screen.query("*"):
            widget.refresh = lambda *args, **_: regions.append(args)  # type: ignore[method-assign]
        curves.revision += 1
        feed_of(app).show_curves()
        await settle(app, pilot)
        assert regions == []

    drive(steps, curves=curves)


def test_the_view_is_made_only_for_what_is_new() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        painted: list[object] = []
        paint = app.painter.paint
        app.painter.paint = lambda key, *job: painted.append(key) or paint(key, *job)  # type: ignore
        snapshot = app.feed.snapshot
        feed_of(app).show(replace(snapshot, revision=2))
        feed_of(app).show_curves()
        await settle(app, pilot)
        assert painted == []
        await press(app, pilot, "c")
        assert painted == ["ranks"]

    drive(steps, curves=make_run())


def test_nan_lines_missing_phases_and_a_crashed_rank_are_shown_as_what_they_are() -> None:
    curves = make_run(num_windows=30, slow_rank=None)
    add_line(curves.ranks[0], {"forward": math.nan}, step_s=math.nan)
    grow(curves.ranks[1], 400)
    curves.ranks[3] = make_track(3, 5, phases={"forward": 0.01})
    curves.ranks[4] = make_track(4)
    curves.ranks[2].error = {"type": "RuntimeError"}

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        crashed = line_with(app, " 3 ", "96%")
        assert crashed.count("n/a") >= 3
        assert "-1:" in crashed
        assert "✗ error" in line_with(app, " 2 ", "97%")
        assert "n/a, the time that ranks wait for one another was not measured" in screen_text(app)
        assert "nan" not in screen_text(app)
        await press(app, pilot, "c", "v", "left", "plus")
        assert "nan" not in screen_text(app)

    drive(steps, curves=curves, rows=(make_row(state="failed"),))


def test_one_rank_says_that_it_waits_for_nobody() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "one rank: it waits for no other" in screen_text(app)
        assert "slowest" not in screen_text(app)

    drive(steps, curves=make_run(num_ranks=1, slow_rank=None))


def test_64_ranks_share_rows_and_the_one_under_the_cursor_is_in_sight() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "0-1" in screen_text(app)
        assert "62-63" not in screen_text(app)
        text = await press(app, pilot, "end")
        assert "62-63" in text
        assert "of 64" in text
        app.screen.query_one(HeatMap).focus()
        assert "0-1 " in await press(app, pilot, "home")
        assert "62-63" in await press(app, pilot, "end")

    drive(steps, curves=make_run(num_ranks=64, num_windows=20), size=(80, 24))


def test_gpus_and_several_machines_have_a_line_each() -> None:
    curves = make_run()
    for rank in range(4):
        curves.ranks[rank] = make_track(
            rank, 30, device="NVIDIA H100", node_rank=rank // 2, local_rank=rank % 2, host=f"h{rank // 2}"
        )
    curves.nodes = {n: make_node(n, num_gpus=2, num_ranks=4) for n in range(2)}

    async def steps(app: DdptuiApp, pilot: Any) -> None:
        text = screen_text(app)
        assert "node 0 h0" in text
        assert "node 1 h1" in text
        assert "GPU 1  89% 10.0 of 80.0 GiB" in text
        assert "10.0 GiB" in line_with(app, " 3 ", "h1")

    drive(steps, curves=curves)


@pytest.mark.parametrize(
    ("rows", "curves", "words"),
    [
        ((), None, "There is no run to show."),
        ((make_row(state="queued"),), None, "is queued"),
        ((make_row(state="starting"),), MadeCurves(), "no rank has finished a step yet"),
        ((make_row(state="failed"),), MadeCurves(), "its ranks wrote no step lines"),
        ((make_row(),), None, "Reading the lines of ddp-w4-r0"),
    ],
)  # fmt: skip
def test_where_there_is_nothing_it_says_why(rows: tuple[RunRow, ...], curves: MadeCurves | None, words: str) -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert words in screen_text(app)
        await pilot.press("c", "v", "plus", "minus", "left", "right", "0", "z", "escape", "enter")
        await settle(app, pilot)
        assert words in screen_text(app)

    drive(steps, curves=curves, rows=rows)


def test_every_size_is_survived() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        heat_map = app.screen.query_one(HeatMap)
        await pilot.press("v", "plus", "c")
        for size in ((40, 12), (5, 2), (200, 60), (1, 1), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(app, pilot)
        assert "◀ slowest" in screen_text(app)
        assert heat_map._view is not None
        assert heat_map.num_buckets == heat_map._view.grid.num_buckets

    drive(steps, curves=make_run(), size=(20, 5))


def test_without_colours_shades_tell_the_levels_apart() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        assert "████" in await press(app, pilot, "c", "c")

    drive(steps, curves=make_run(), colors=ColorSystem.STANDARD)


def test_another_mode_can_ask_for_a_run_and_a_rank() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        app.go("ranks", "digits/ddp-w4-r0", 3)
        await settle(app, pilot)
        assert app.screen.query_one(LiveTable).cursor_key == "3"
        screen = app.screen
        assert isinstance(screen, RanksScreen)
        assert screen.copied().split("\t")[0] == "3"

    drive(steps, curves=make_run())


def test_the_export_has_raw_values() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        screen = app.screen
        assert isinstance(screen, RanksScreen)
        exported = screen.exported()
        assert exported.name == "ranks-ddp-w4-r0"
        row = dict(zip(exported.columns, exported.rows[1], strict=True))
        assert row["rank"] == 1
        assert row["is_slowest"] is True
        assert row["forward_s"] == pytest.approx(0.012)
        assert row["gpu_util_percent"] is None

    drive(steps, curves=make_run())


def test_a_run_that_ends_stops_the_clock_of_its_last_lines() -> None:
    async def steps(app: DdptuiApp, pilot: Any) -> None:
        screen = app.screen
        assert isinstance(screen, RanksScreen)
        assert screen._timer is not None
        assert screen._timer._active.is_set()
        assert "end" not in line_with(app, " 2 ", "97%").split()
        snapshot = app.feed.snapshot
        ended = tuple(replace(row, state="succeeded") for row in snapshot.rows)
        feed_of(app).show(replace(snapshot, revision=2, rows=ended))
        await settle(app, pilot)
        assert not screen._timer._active.is_set()
        assert "end" in line_with(app, " 2 ", "97%")

    drive(steps, curves=make_run(), rows=(make_row(state="running"),))
