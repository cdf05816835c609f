from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rich.text import Text
from screen_driver import screen_lines
from textual.app import App, ComposeResult
from textual.geometry import Region

from tui.view.table import Column, Row
from tui.widgets.live_table import LiveTable

COLUMNS = (
    Column(key="n", label="n", width=5, is_right=True),
    Column(key="name", label="name", width=12, max_width=20),
    Column(key="state", label="state", width=10),
    Column(key="more", label="more", width=10, priority=1),
)


class TableApp(App[None]):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.table = LiveTable(COLUMNS, **options)
        self.messages: list[tuple[str, str | None]] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_live_table_moved(self, message: LiveTable.Moved) -> None:
        self.messages.append((type(message).__name__, message.key))

    on_live_table_opened = on_live_table_moved
    on_live_table_header_clicked = on_live_table_moved


def make_rows(number: int, state: str = "queued") -> list[Row]:
    return [Row(f"k{n}", (str(n), f"run {n}", (state, "primary bold"), "x")) for n in range(number)]


def drive(do: Callable[[TableApp, Any], Awaitable[None]], size: tuple[int, int] = (60, 10), **options: Any) -> None:
    async def run() -> None:
        app = TableApp(**options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await do(app, pilot)

    asyncio.run(run())


async def press(pilot: Any, *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()


def test_header_and_rows_stand_in_their_columns() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows(make_rows(2))
        app.table.set_sort("name", is_descending=True)
        await pilot.pause()
        lines = screen_lines(app)  # type: ignore[arg-type]
        assert lines[0].split() == ["n", "name▼", "state", "more"]
        assert lines[1].startswith("▌    0 run 0")
        assert lines[2].startswith("     1 run 1")

    drive(do)


def test_a_long_name_is_cut_and_wide_characters_keep_the_columns_straight() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        rows = [Row("a", ("1", "名" * 30, "queued", "")), Row("b", ("2", "b", Text("[red]x", style="red"), ""))]
        app.table.set_rows(rows)
        await pilot.pause()
        lines = screen_lines(app)  # type: ignore[arg-type]
        assert "名 …" in lines[1]
        assert "[red]x" in lines[2]
        before = lines[2][: lines[2].index("[red]x")]
        wide = lines[1][: lines[1].index("queued")]
        assert len(before) == len(wide) + wide.count("名")

    drive(do)


def test_escape_sequences_and_newlines_of_a_name_never_reach_the_terminal() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows([Row("a", ("1", "\x1b[31mred\nline\ttab", Text("\x1b[1mok"), "\x9b5mx"))])
        await pilot.pause()
        line = screen_lines(app)[1]  # type: ignore[arg-type]
        assert "red line tab" in line
        assert "ok" in line
        assert "\x1b" not in line
        assert "\x9b" not in line

    drive(do)


def test_keys_move_the_cursor_and_it_stays_in_sight() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows(make_rows(100))
        for key, expected in (
            ("up", 0), ("down", 1), ("j", 2), ("k", 1), ("pagedown", 9), ("pageup", 1), ("end", 99), ("down", 99),
            ("up", 98), ("home", 0), ("G", 99), ("g", 0),
        ):  # fmt: skip
            await press(pilot, key)
            assert app.table.cursor_key == f"k{expected}", key
            line = next(line for line in screen_lines(app) if line.startswith("▌"))  # type: ignore[arg-type]
            assert f"run {expected} " in line

    drive(do)


def test_the_cursor_passes_sections_by_and_shows_the_heading_of_the_first_row() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        rows = make_rows(30)
        rows.insert(15, Row("s2", ("second",), is_section=True))
        rows.insert(0, Row("s1", ("first",), is_section=True))
        app.table.set_rows(rows)
        assert app.table.cursor_key == "k0"
        await press(pilot, "end", "home")
        assert "first" in screen_lines(app)[1]  # type: ignore[arg-type]
        await press(pilot, *["down"] * 15)
        assert app.table.cursor_key == "k15"
        await press(pilot, "up")
        assert app.table.cursor_key == "k14"

    drive(do)


def test_the_cursor_stays_on_its_row_when_rows_are_sorted_filtered_and_changed() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        rows = make_rows(50)
        app.table.set_rows(rows)
        assert app.table.move_to("k30")
        app.table.set_rows(rows[::-1])
        await pilot.pause()
        assert app.table.cursor_key == "k30"
        assert any(line.startswith("▌   30 run 30") for line in screen_lines(app))  # type: ignore[arg-type]
        app.table.set_rows([row for row in rows if row.key.endswith("0")])
        await pilot.pause()
        assert app.table.cursor_key == "k30"
        app.table.set_rows(make_rows(5))
        await pilot.pause()
        assert app.table.cursor_key == "k3", "its row has gone: the nearest place"
        app.table.set_rows([])
        await pilot.pause()
        assert app.table.cursor_key is None
        await press(pilot, "down", "end", "pageup")
        assert not app.table.move_to("k1")
        assert app.messages[-1] == ("Moved", None)

    drive(do)


def test_only_the_cells_that_changed_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        table = app.table
        table.set_rows(make_rows(100))
        await pilot.pause()
        regions: list[Region] = []
        monkeypatch.setattr(table, "refresh", lambda *asked, **_: regions.extend(asked or [table.size.region]))
        table.set_rows(make_rows(100))
        assert regions == [], "equal rows cost nothing"
        rows = make_rows(100)
        rows[2] = Row("k2", ("2", "run 2", ("running", "primary"), "x"))
        rows[60] = Row("k60", ("60", "changed", "out of sight", "x"))
        table.set_rows(rows)
        assert regions == [Region(28, 3, 10, 1)]
        regions.clear()
        table.action_cursor_down()
        assert {region.y for region in regions} == {1, 2}
        assert all(region.height == 1 for region in regions)

    drive(do)


def test_a_changed_cell_is_seen() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows(make_rows(5))
        await pilot.pause()
        app.table.set_rows(make_rows(5, "failed"))
        await pilot.pause()
        assert all("failed" in line for line in screen_lines(app)[1:6])  # type: ignore[arg-type]
        app.table.set_rows(make_rows(3, "failed"))
        await pilot.pause()
        assert "run 3" not in "\n".join(screen_lines(app))  # type: ignore[arg-type]

    drive(do)


def test_the_mouse_selects_opens_and_sorts() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows(make_rows(5))
        await pilot.pause()
        await pilot.click(LiveTable, offset=(10, 3))
        await pilot.pause()
        assert app.table.cursor_key == "k2"
        assert ("Opened", "k2") not in app.messages
        await pilot.click(LiveTable, offset=(10, 4), times=2)
        await pilot.pause()
        assert app.messages[-1] == ("Opened", "k3")
        await pilot.click(LiveTable, offset=(8, 0))
        await pilot.pause()
        assert app.messages[-1] == ("HeaderClicked", "name")
        await pilot.click(LiveTable, offset=(8, 8))
        await pilot.pause()
        assert app.table.cursor_key == "k3", "below the last row there is nothing"

    drive(do)


def test_a_narrow_table_drops_columns_and_scrolls_only_where_none_can_go() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows(make_rows(3))
        assert app.table.shown_columns == ("n", "name", "state", "more")
        await pilot.resize_terminal(36, 8)
        await pilot.pause()
        assert app.table.shown_columns == ("n", "name", "state")
        assert app.table.max_scroll_x == 0
        await pilot.resize_terminal(20, 8)
        await pilot.pause()
        assert "queued" not in screen_lines(app)[1]  # type: ignore[arg-type]
        await press(pilot, "right", "right")
        assert "queued" in screen_lines(app)[1]  # type: ignore[arg-type]
        await press(pilot, "left", "left")
        assert "run 0" in screen_lines(app)[1]  # type: ignore[arg-type]

    drive(do)


def test_ascii_uses_plain_characters_only() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows([Row("a", ("1", "n" * 50, "queued", "x"))])
        app.table.set_sort("n", is_descending=False)
        await pilot.pause()
        assert all(line.isascii() for line in screen_lines(app))  # type: ignore[arg-type]
        assert screen_lines(app)[1].startswith(">")  # type: ignore[arg-type]

    drive(do, is_ascii=True)


def test_a_row_can_be_taken_as_text() -> None:
    async def do(app: TableApp, pilot: Any) -> None:
        app.table.set_rows([Row("a", ("1", (("run", ""), (" one", "error")), Text("queued"), ("x", "error")))])
        assert app.table.text_of("a") == "1\trun one\tqueued\tx"
        assert app.table.text_of("b") == ""

    drive(do)
