from __future__ import annotations

from charts_driver import METRICS, TWO, Seen, tell
from made_curves import MadeCurves, make_row


def test_the_first_page_shows_the_first_metrics_of_the_marked_runs() -> None:
    async def story(seen: Seen) -> None:
        text = seen.text
        assert "1-4 of 8" in seen.header
        assert "single-w1-r0" in seen.header
        assert "ddp-w2-r0" in seen.header
        assert "step · live" in seen.header
        for metric in METRICS[:4]:
            assert metric in text
        assert "cpu_percent" not in text
        assert seen.feed.watched == TWO

    tell(story)


def test_brackets_turn_the_pages_round() -> None:
    async def story(seen: Seen) -> None:
        assert "cpu_percent" in await seen.press("]")
        assert "5-8 of 8" in seen.header
        assert "1-4 of 8" in await seen.press("]")
        assert "5-8 of 8" in await seen.press("[")

    tell(story)


def test_c_goes_through_the_grids() -> None:
    async def story(seen: Seen) -> None:
        for grid in ("3x2", "3x3", "1x1", "2x1", "2x2"):
            await seen.press("c")
            assert f" {grid} · step" in seen.header

    tell(story)


def test_enter_and_z_show_the_focused_chart_alone_and_esc_or_z_go_back() -> None:
    async def story(seen: Seen) -> None:
        text = await seen.press("tab", "tab", "enter")
        assert "3 of 8" in seen.header
        assert "alone" in seen.header
        assert "accuracy" in text
        assert "samples_per_s" not in text
        await seen.press("]")
        assert "4 of 8" in seen.header, "the next page is the next chart"
        await seen.press("escape")
        assert "1-4 of 8" in seen.header
        assert "alone" not in seen.header
        await seen.press("z")
        assert "4 of 8" in seen.header
        await seen.press("z")
        assert "1-4 of 8" in seen.header

    tell(story)


def test_a_filter_works_while_one_types_and_enter_keeps_it() -> None:
    async def story(seen: Seen) -> None:
        text = await seen.press("slash", *"loss")
        assert "1-2 of 2" in seen.header
        assert "samples_per_s" not in text
        await seen.press("enter", "x")
        assert "/loss · time" in seen.header, "x went to the charts again"
        assert "1-4 of 8" in await seen.press("escape")

    tell(story)


def test_esc_restores_the_filter_that_held_before() -> None:
    async def story(seen: Seen) -> None:
        await seen.press("slash", *"loss", "enter", "slash", *" xyz")
        assert "no metric matches loss xyz" in seen.text
        await seen.press("escape")
        assert "/loss " in seen.header
        assert "1-2 of 2" in seen.header

    tell(story)


def test_a_bad_pattern_is_plain_text() -> None:
    async def story(seen: Seen) -> None:
        assert "no metric matches loss(" in await seen.press("slash", *"loss(")
        assert "1-4 of 5" in await seen.press("backspace", *"|_s$", "enter")

    tell(story)


def test_x_goes_through_step_time_and_samples() -> None:
    async def story(seen: Seen) -> None:
        for axis in ("time", "samples", "step"):
            await seen.press("x")
            assert f"· {axis} · live" in seen.header

    tell(story)


def test_a_choice_stands_in_the_header_as_long_as_it_holds() -> None:
    async def story(seen: Seen) -> None:
        before = seen.text
        for key, word, num_values in (("L", "log", 2), ("m", "mean", 2), ("S", "smooth 0.6", 4)):
            await seen.press(key)
            assert f"{word} ·" in seen.header
            assert await seen.press(*[key] * (num_values - 1)) == before

    tell(story)


def test_repeats_become_one_line_with_their_number() -> None:
    rows = tuple(make_row(f"ddp-w2-r{n}-aaaaaa", point="ddp-w2-aaaaaa", repeat=n) for n in range(3))
    runs = rows, {row.tag: MadeCurves(loss=[3.0 + row.repeat, 2.0, 1.0]) for row in rows}  # type: ignore[operator]

    async def story(seen: Seen) -> None:
        assert "ddp-w2-r2" in seen.text
        text = await seen.press("m")
        assert "ddp-w2 x3" in seen.header
        assert "mean of 3" in text
        assert "ddp-w2-r2" not in text

    tell(story, runs=runs)


def test_nothing_to_draw_says_how_to_mark_a_run() -> None:
    async def story(seen: Seen) -> None:
        text = seen.text
        assert "no run to draw" in text
        assert "mark runs" in text

    tell(story, runs=((), {}))


def test_the_current_run_is_drawn_where_none_is_marked() -> None:
    async def story(seen: Seen) -> None:
        assert seen.feed.watched == TWO[1:]
        assert "ddp-w2-r0" in seen.header
        assert "single-w1-r0" not in seen.header

    tell(story, marked=(), current=TWO[1])


def test_opening_an_unmarked_run_draws_it_alone_and_esc_leads_back_step_by_step() -> None:
    async def story(seen: Seen) -> None:
        seen.app.go("charts", TWO[1])
        await seen.settle()
        assert "this run only" in seen.header
        assert seen.feed.watched == TWO[1:]
        await seen.press("escape")
        assert "this run only" not in seen.header
        assert seen.feed.watched == TWO[:1]
        await seen.press("escape")
        assert "1 Runs" in seen.lines[0]
        assert type(seen.app.screen).__name__ == "RunsScreen"

    tell(story, marked=TWO[:1])


def test_eight_tens_by_twenty_four_hold_two_by_two_charts() -> None:
    async def story(seen: Seen) -> None:
        text = seen.text
        for metric in METRICS[:4]:
            assert metric in text
        assert "live" in seen.header
        assert "1-4 of 8" in seen.header

    tell(story, size=(80, 24))


def test_any_size_is_survived_and_a_tiny_one_shows_one_chart() -> None:
    async def story(seen: Seen) -> None:
        for size in ((1, 1), (3, 40), (40, 2), (20, 5)):
            await seen.pilot.resize_terminal(*size)
            await seen.press("c", "z", "v", "left", "slash", "a", "escape", "escape", "escape")
        assert "1 of 8" in seen.text
        await seen.pilot.resize_terminal(120, 40)
        await seen.settle()
        assert "of 8" in seen.header

    tell(story, size=(20, 5))


def test_plain_characters_are_enough() -> None:
    async def story(seen: Seen) -> None:
        assert "* single-w1-r0" in seen.header
        assert seen.header.isascii()

    tell(story, is_ascii=True)


def test_names_from_files_are_not_markup() -> None:
    row = make_row("a[bold]b")

    async def story(seen: Seen) -> None:
        text = seen.text
        assert "a[bold]b" in text
        assert "x[/red]y" in text

    tell(story, runs=((row,), {row.tag: MadeCurves(**{"x[/red]y": [1.0, 2.0]})}))
