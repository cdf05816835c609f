from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from tui.charts.painter import Painter
from tui.theme import DARK, LIGHT
from tui.view.chart import ChartSpec, Line
from tui.view.session import Session
from tui.widgets.chart import Chart

X, Y = array("d", range(5000)), array("d", (2 + math.cos(i / 300) for i in range(5000)))


class CountingPainter(Painter):
    num_painted = 0

    def paint(self, key: object, draw: Callable[[], Any], deliver: Callable[[Any], None]) -> None:
        self.num_painted += 1
        super().paint(key, draw, deliver)


class ChartApp(App[None]):
    CSS = "Screen { background: $background; }"

    def __init__(self, *, is_ascii: bool = False) -> None:
        super().__init__()
        self.session = Session(results="results", host="box-01", is_ascii=is_ascii)
        self.problems: list[Exception] = []
        self.painter = CountingPainter(lambda deliver: self.call_later(deliver), self.problems.append)
        self.zoomed: list[Any] = []
        self.pointed: list[float] = []
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def compose(self) -> ComposeResult:
        yield Chart(id="first")
        yield Chart(id="second")

    def on_mount(self) -> None:
        self.painter.start()

    def on_unmount(self) -> None:
        self.painter.close()

    def on_chart_zoomed(self, message: Chart.Zoomed) -> None:
        self.zoomed.append(message.range)

    def on_chart_pointed(self, message: Chart.Pointed) -> None:
        self.pointed.append(message.x)


def make_spec(num_points: int = 3900, **options: Any) -> ChartSpec:
    line = Line(label="run", color="#56B4E9", x=X, y=Y, num_points=num_points)
    return ChartSpec(**{"key": "loss", "title": "loss", "x_label": "step", "lines": (line,), **options})


class Driver:
    """The app, its two charts, and what a person sees of it."""

    def __init__(self, app: ChartApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot
        self.chart = app.query_one("#first", Chart)
        self.other = app.query_one("#second", Chart)

    async def settle(self) -> None:
        for _ in range(3):
            await self.pilot.pause()
            self.app.painter.wait_idle(10)
            await self.pilot.pause()
        assert not self.app.problems

    async def show(self, spec: ChartSpec) -> str:
        self.chart.show(spec)
        await self.settle()
        return self.text()

    def lines(self) -> list[str]:
        return ["".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.lines())


Story = Callable[[Driver], Awaitable[None]]


@pytest.fixture
def tell() -> Callable[..., None]:
    def tell_it(story: Story, *, size: tuple[int, int] = (80, 24), **options: Any) -> None:
        async def drive() -> None:
            app = ChartApp(**options)
            async with app.run_test(size=size) as pilot:
                driver = Driver(app, pilot)
                await driver.settle()
                await story(driver)

        asyncio.run(drive())

    return tell_it


def test_what_is_shown_is_seen_with_title_value_and_line(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        text = await d.show(make_spec())
        assert "loss" in text
        assert "● run" in text
        assert sum(0x2800 < ord(character) <= 0x28FF for character in text) > 60
        assert "─ step ─" in text

    tell(story)


def test_nothing_is_drawn_again_while_nothing_is_different(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        await d.show(make_spec())
        num_painted = d.app.painter.num_painted
        await d.show(make_spec())
        assert d.app.painter.num_painted == num_painted
        await d.show(make_spec(3910))
        assert d.app.painter.num_painted == num_painted + 1
        await d.show(make_spec(3910, cursor_x=5.0))
        assert d.app.painter.num_painted == num_painted + 2

    tell(story)


def test_only_the_cells_that_differ_are_painted(tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(d: Driver) -> None:
        await d.show(make_spec())
        painted: list[Region] = []
        whole = d.chart.refresh

        def refresh(*regions: Region, **options: Any) -> Any:
            painted.extend(regions or [d.chart.region])
            return whole(*regions, **options)

        monkeypatch.setattr(d.chart, "refresh", refresh)
        await d.show(make_spec(3930))
        assert 0 < sum(region.width for region in painted) < 40
        painted.clear()
        # what is on the screen is nevertheless what a new picture would be
        seen = d.lines()[:12]
        d.other.show(make_spec(3930))
        await d.settle()
        assert d.lines()[12:] == seen

    tell(story)


def test_a_resize_keeps_the_old_picture_until_the_new_one_is_there(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        await d.show(make_spec())
        await d.pilot.resize_terminal(70, 20)
        assert "loss" in d.text()
        await d.settle()
        assert d.lines()[0].startswith("╭─ loss ─")
        assert d.lines()[0].endswith("─╮")
        assert len(d.lines()[0]) == 70

    tell(story)


def test_a_storm_of_sizes_ends_in_a_whole_picture(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        d.chart.show(make_spec())
        for size in ((1, 1), (300, 80), (20, 5), (2, 40), (19, 3), (80, 2), (3, 3), (80, 24)):
            await d.pilot.resize_terminal(*size)
        await d.settle()
        assert d.lines()[0].startswith("╭─ loss ─")
        assert all(line[0] == line[-1] for line in d.lines()[1:11])

    tell(story)


def test_a_hidden_chart_is_drawn_when_it_comes_into_sight(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        d.chart.display = False
        await d.settle()
        num_painted = d.app.painter.num_painted
        assert "loss" not in await d.show(make_spec())
        assert d.app.painter.num_painted == num_painted
        d.chart.display = True
        await d.settle()
        assert "loss" in d.text()

    tell(story)


def test_another_theme_has_other_colours(tell: Callable[..., None]) -> None:
    def background_of(d: Driver) -> str:
        strip = d.chart.render_line(3)
        return next(segment.style.bgcolor.name for segment in strip if segment.style and segment.style.bgcolor)

    async def story(d: Driver) -> None:
        await d.show(make_spec())
        assert background_of(d) == DARK.background.lower()
        d.app.theme = LIGHT.name
        await d.settle()
        assert background_of(d) == LIGHT.background.lower()

    tell(story)


def test_the_focused_chart_has_another_frame(tell: Callable[..., None]) -> None:
    def frame_of(d: Driver) -> str:
        style = next(iter(d.chart.render_line(0))).style
        assert style is not None
        assert style.color is not None
        return style.color.name

    async def story(d: Driver) -> None:
        await d.show(make_spec())
        d.chart.focus()
        await d.settle()
        focused = frame_of(d)
        assert focused == DARK.primary.lower()
        d.other.focus()
        await d.settle()
        assert frame_of(d) != focused

    tell(story)


def test_with_a_border_of_its_own_it_draws_no_frame(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        d.chart.styles.border = ("round", "red")
        await d.show(make_spec())
        assert d.lines()[0].count("╮") == 1
        assert d.lines()[1].startswith("│loss ")

    tell(story)


def test_plain_characters_only_where_the_session_wants_them(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        d.other.show(make_spec(smoothing=0.9))
        assert (await d.show(make_spec(notes=("NaN at step 3",)))).isascii()

    tell(story, is_ascii=True)


def test_the_linux_console_gets_plain_characters(tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "linux")

    async def story(d: Driver) -> None:
        await d.show(make_spec())
        assert d.lines()[0].isascii()

    tell(story)


def test_readings_are_the_raw_values_of_the_nearest_points(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        short = Line(label="short", color="#E69F00", x=[0.0, 10.0], y=[1.0, math.nan], num_points=2)
        spec = make_spec(smoothing=0.98)
        await d.show(replace(spec, lines=(*spec.lines, short)))
        first, second = d.chart.readings(1234.4)
        assert (first.label, first.x, first.y) == ("run", 1234.0, Y[1234])
        assert (second.label, second.x, second.y) == ("short", None, None)
        assert math.isnan(d.chart.readings(9.0)[1].y or 0.0)

    tell(story)


def test_extent_and_range_are_those_of_the_data_and_of_the_picture(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        assert d.chart.x_extent() is None
        assert d.chart.shown_range() is None
        assert d.chart.readings(1.0) == ()
        await d.show(make_spec())
        assert d.chart.x_extent() == (0.0, 3899.0)
        shown = d.chart.shown_range()
        assert shown is not None
        assert shown[0] == 0.0
        assert 3899.0 <= shown[1] < 4200.0
        await d.show(make_spec(x_range=(10.0, 20.0)))
        assert d.chart.shown_range() == (10.0, 20.0)

    tell(story)


def test_the_wheel_asks_to_zoom_around_the_pointer_and_a_click_points(tell: Callable[..., None]) -> None:
    async def story(d: Driver) -> None:
        await d.show(make_spec(x_range=(1000.0, 2000.0)))
        await d.pilot._post_mouse_events([_wheel_up()], d.chart, offset=(40, 5))
        await d.pilot.pause()
        low, high = d.app.zoomed[-1]
        assert 1000.0 < low < 1500.0 < high < 2000.0
        assert high - low == pytest.approx(800.0)
        await d.pilot.click(d.chart, offset=(40, 5))
        await d.settle()
        assert d.app.pointed[-1] == pytest.approx(1500.0, abs=40.0)
        await d.pilot.click(d.chart, offset=(1, 5))
        assert len(d.app.pointed) == 1

    tell(story)


def _wheel_up() -> Any:
    from textual.events import MouseScrollUp

    return MouseScrollUp
