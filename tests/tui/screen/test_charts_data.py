from __future__ import annotations

import math
from typing import Any

from charts_driver import METRICS, TWO, Seen, tell, two_runs
from made_curves import MadeCurves, make_row, make_snapshot
from made_results import MadeResults
from textual import events

from engine.replay import RunReplay
from tui.view.charts_words import empty_words
from tui.view.run_words import why_empty


def test_plus_zooms_to_the_end_of_what_grows_and_goes_on_with_it() -> None:
    runs = two_runs(101)

    async def story(seen: Seen) -> None:
        await seen.press("plus")
        assert "live from 50 " in seen.header
        runs[1][TWO[1]].grow("loss", [1.0] * 20)
        seen.feed.show_curves()
        await seen.settle()
        assert seen.session.x_range == (70, 120)
        assert "live from 70 " in seen.header

    tell(story, runs=runs)


def test_a_zoom_that_was_moved_away_from_the_end_stays_while_data_grows() -> None:
    runs = two_runs(101)

    async def story(seen: Seen) -> None:
        await seen.press("plus", "left", "left")
        assert "frozen at 25..75 " in seen.header
        runs[1][TWO[1]].grow("loss", [1.0] * 500)
        seen.feed.show_curves()
        await seen.settle()
        assert "frozen at 25..75 " in seen.header
        await seen.press("right")
        assert seen.session.x_range == (37.5, 87.5)
        assert "· live " in await seen.press("0")
        assert seen.session.x_range is None

    tell(story, runs=runs)


def test_minus_zooms_out_until_all_is_seen() -> None:
    async def story(seen: Seen) -> None:
        await seen.press("equals_sign", "plus", "minus")
        assert seen.session.x_range == (49.5, 99)
        await seen.press("minus")
        assert seen.session.x_range is None
        assert "· live " in seen.header

    tell(story)


def test_esc_takes_the_zoom_back() -> None:
    async def story(seen: Seen) -> None:
        await seen.press("plus", "escape")
        assert seen.session.x_range is None

    tell(story)


def test_v_puts_a_cursor_on_all_charts_and_the_arrows_move_it() -> None:
    runs = two_runs(101)
    for row in runs[0]:
        runs[1][row.tag] = MadeCurves(loss=[float(step) for step in range(101)])

    async def story(seen: Seen) -> None:
        await seen.press("v")
        assert "inspect step 100" in seen.header
        await seen.press("left", "left", "left", "right")
        assert 97 < (seen.session.cursor_x or 0) < 100, "by two columns of dots"
        assert seen.session.x_range is None, "the arrows move the cursor, not the view"
        seen.session.cursor_x = 42.0
        text = await seen.press("left", "right")
        assert "inspect step 42" in seen.header
        assert text.count("42") >= 3, "each line says its value"
        await seen.press("escape")
        assert "inspect" not in seen.header

    tell(story, runs=runs)


def test_a_click_puts_the_cursor_there_and_the_wheel_zooms_all_charts() -> None:
    async def story(seen: Seen) -> None:
        await seen.pilot.click(offset=(40, 10))
        await seen.settle()
        assert "inspect step " in seen.header
        assert 0 < (seen.session.cursor_x or 0) < 99
        await seen.press("v")
        chart: Any = seen.app.screen.focused
        chart.post_message(events.MouseScrollUp(chart, 30, 8, 0, -1, 0, False, False, False, 30, 10))
        await seen.settle()
        assert "frozen at " in seen.header
        assert all(spec.x_range == seen.session.x_range for spec in seen.screen.grid.specs)

    tell(story)


def test_the_values_under_the_cursor_are_copied_else_the_last() -> None:
    rows, _ = two_runs()
    runs = rows, {TWO[0]: MadeCurves(loss=[3, 2, 1]), TWO[1]: MadeCurves(loss=[3, 2.5, math.nan])}

    async def story(seen: Seen) -> None:
        assert seen.screen.copied().splitlines() == [
            "loss",
            "single-w1-r0    1  at step 2",
            "ddp-w2-r0     n/a  at step 2",
        ]
        await seen.press("v")
        seen.session.cursor_x = 0.2
        assert seen.screen.copied().splitlines()[1] == "single-w1-r0  3  at step 0"

    tell(story, runs=runs)


def test_what_is_seen_is_exported_with_every_raw_point() -> None:
    async def story(seen: Seen) -> None:
        exported = seen.screen.exported()
        assert exported.columns == ("run", "metric", "step", "time_s", "samples", "value")
        assert len(exported.rows) == 4 * 2 * 100
        assert exported.rows[0] == (TWO[0], "loss", 0, 0.0, 64, 3.0)
        assert [spec.title for spec in exported.charts] == list(METRICS[:4])
        await seen.press("z", "plus")
        exported = seen.screen.exported()
        assert exported.name == "charts-loss"
        assert len(exported.rows) == 2 * 50

    tell(story)


def test_what_is_being_read_is_not_said_to_be_without_data() -> None:
    ended = make_row("a", state="succeeded", step=9)
    assert why_empty([ended], is_read=False) == "reading"
    assert why_empty([ended]) == "nothing was recorded"
    assert why_empty([make_row("a", state="running", step=None)], is_read=False) == "no data yet"
    assert empty_words([ended], num_metrics=0, filter_text="", is_read=False)[0] == "reading"


def test_a_run_that_waits_and_one_that_failed_before_its_first_step_say_so() -> None:
    async def story(seen: Seen) -> None:
        assert "waiting in the queue" in seen.text
        seen.feed.show(make_snapshot(make_row("a", state="failed", reason="rank 1: out of memory"), revision=2))
        await seen.settle()
        assert "nothing was recorded" in seen.text
        assert "a failed: rank 1: out of memory" in seen.text

    tell(story, runs=((make_row("a", state="queued"),), {}), marked=("digits/a",))


def test_a_run_that_crashed_is_drawn_as_far_as_it_came_and_its_state_stands_beside_it() -> None:
    row = make_row("ddp-w2-r0-bbbbbb", state="failed", reason="rank 1: killed")

    async def story(seen: Seen) -> None:
        assert "ddp-w2-r0 ✗ failed" in seen.header
        assert "· all " in seen.header
        assert "loss" in seen.text

    tell(story, runs=((row,), {row.tag: MadeCurves(loss=[3, 2])}))


def test_few_constant_and_nan_values_are_no_trouble() -> None:
    columns = {
        "loss": [2.0], "none": [math.nan], "nones": [math.nan] * 30, "gap": [1.0, math.nan, 3.0], "flat": [5.0] * 9,
        "below": [0.0, -1.0], "huge": [1e300, -1e300], "tiny": [1e-320, 2e-320],
    }  # fmt: skip
    rows, _ = two_runs()
    runs = rows, {tag: MadeCurves(**columns) for tag in TWO}
    runs[1][TWO[1]].notices.append("loss is NaN at step 0")

    async def story(seen: Seen) -> None:
        await seen.press("c", "c")
        for key in ("0", "L", "S", "v", "left", "m", "plus", "minus", "x"):
            text = await seen.press(key)
            assert "loss is NaN" in text
            assert "1-8 of 8" in text

    tell(story, runs=runs)


def test_the_loss_comes_first_though_the_machine_was_drawn_before_it_until_a_chart_is_chosen() -> None:
    row = make_row("ddp-w2-r0", state="running")
    system = {"cpu_percent": [1.0], "net_sent_bytes_per_s": [1.0], "gpu_percent": [1.0], "memory_used_bytes": [1.0]}
    training = {name: [1.0, 2.0] for name in ("loss", "accuracy", "samples_per_s", "step_s")}

    async def story(seen: Seen) -> None:
        assert "1-4 of 4" in seen.header
        seen.feed.show_curves(**{row.tag: MadeCurves(**system, **training)})
        await seen.settle()
        assert "1-4 of 8" in seen.header
        assert "loss" in seen.text
        await seen.press("tab")
        chosen = seen.screen.copied().split()[0]
        seen.feed.show_curves(**{row.tag: MadeCurves(**system, **training, test_loss=[1.0])})
        await seen.settle()
        assert seen.screen.copied().split()[0] == chosen

    tell(story, runs=((row,), {row.tag: MadeCurves(**system)}), marked=(row.tag,))


def test_charts_that_are_not_seen_are_not_drawn_and_unchanged_ones_not_again() -> None:
    runs = two_runs()

    async def story(seen: Seen) -> None:
        shown: list[str] = []
        paint = seen.app.painter.paint
        seen.app.painter.paint = lambda chart, *rest: (shown.append(chart.spec.title), paint(chart, *rest))  # type: ignore[assignment, func-returns-value]
        seen.feed.show_curves()
        await seen.settle()
        assert shown == []
        runs[1][TWO[0]].grow("lr", [1.0])
        runs[1][TWO[0]].grow("test_loss", [1.0])
        seen.feed.show_curves()
        await seen.settle()
        assert shown == ["test_loss"]

    tell(story, runs=runs)


def test_a_run_folder_that_grows_is_drawn_as_it_is_read(results: MadeResults) -> None:
    run = results.run("ddp-w2-r0", world_size=2, state="running").begin().steps(20)
    replay = RunReplay(run.paths, run.spec, cache_dir=None)

    def read() -> None:
        while replay.poll():
            pass

    async def story(seen: Seen) -> None:
        read()
        seen.feed.show_curves(**{run.tag: replay.curves})
        await seen.settle()
        assert "loss" in seen.text
        await seen.press("v")
        assert "inspect step 159" in seen.header
        run.steps(20).evaluate(0, 0.5)
        run.steps(1, loss=lambda step: math.nan)
        read()
        seen.feed.show_curves()
        await seen.press("v", "v")
        assert seen.session.cursor_x == 159
        assert "NaN" in seen.text
        assert "test_loss" in seen.text

    tell(story, runs=((make_row("ddp-w2-r0"),), {}), marked=(run.tag,))


def test_the_inspection_cursor_begins_at_the_last_value_and_not_at_an_empty_edge() -> None:
    rows, curves = two_runs()
    for made in curves.values():
        made.grow("loss", [math.nan] * 20)  # the loss is not finite any more
        made.grow("cpu_percent", [90.0] * 60)  # and another metric goes on for longer still

    async def story(seen: Seen) -> None:
        await seen.press("x", "v")
        assert seen.session.x_axis == "time"
        assert seen.session.cursor_x == 99 * 0.5
        assert f"{2 + math.cos(99 / 9):.2f}" in seen.screen.copied()
        assert "n/a" not in seen.screen.copied()

    tell(story, runs=(rows, curves))
