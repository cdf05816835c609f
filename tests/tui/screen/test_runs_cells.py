from __future__ import annotations

from typing import Any

import pytest
from runs_rows import done_row, live_row, many_rows, run_row, snapshot_of

from tui.theme import STATE_MARKS, state_color
from tui.view.palette import colors_of
from tui.view.run_cells import Look
from tui.view.run_row import RunRow
from tui.view.run_table import SORT_KEYS, RowMaker, arrange, columns_of
from tui.view.table import Column, Row, cell_text, fit_columns

LOOK = Look(marks=STATE_MARKS, color_of=state_color)
PLAIN = Look(marks=STATE_MARKS, color_of=state_color, is_ascii=True)


def make(*rows: RunRow, look: Look = LOOK, marked: tuple[str, ...] = (), **more: Any) -> list[Row]:
    sections = arrange(rows, None, is_inverted=False)
    return RowMaker(look).make(sections, snapshot_of(*rows, **more), marked, colors_of(rows))


def said(row: Row) -> dict[str, str]:
    keys = [column.key for column in columns_of(())]
    return {key: cell_text(cell).strip() for key, cell in zip(keys, row.cells, strict=True)}


def order(rows: tuple[RunRow, ...], key: str | None, *, is_inverted: bool = False) -> list[str]:
    return [row.id[:9] for section in arrange(rows, key, is_inverted=is_inverted) for row in section.rows]


def test_a_running_run_says_how_far_it_is_and_how_long_it_will_take() -> None:
    cells = said(make(live_row("a", "ddp-w2-r0-3fa9c1"))[0])
    assert cells["state"] == "● running"
    assert cells["progress"] == "━━━━┈┈┈  62%"
    assert cells["epoch"] == "13/20"
    assert cells["step"] == "2480/4000"
    assert cells["samples"] == "3,411"
    assert cells["time"] == "~44s"


def test_a_queued_run_says_its_place_and_nothing_that_is_not_so_yet() -> None:
    first, second = make(run_row("a", "ddp-w2-r0-3fa9c1"), run_row("a", "ddp-w2-r1-3fa9c1"))
    assert said(first)["state"] == "○ queued #1"
    assert said(second)["state"] == "○ queued #2"
    assert {said(first)[key] for key in ("progress", "epoch", "loss", "samples", "time")} == {""}


def test_what_is_not_known_of_a_run_that_began_is_na() -> None:
    cells = said(make(run_row("a", "ddp-w2-r0-3fa9c1", "starting"))[0])
    assert {cells[key] for key in ("progress", "epoch", "loss", "accuracy", "samples", "time")} == {"n/a"}


@pytest.mark.parametrize(
    ("loss", "step", "shown"),
    [
        (float("nan"), None, "NaN"), (None, 120, "NaN"), (float("inf"), None, "inf"), (float("-inf"), None, "-inf"),
        (1.234e-7, None, "1.2e-07"), (0.21234, None, "0.2123"), (12345.6, None, "12,346"), (0.0, None, "0"),
    ],
)  # fmt: skip
def test_a_loss_is_said_as_it_is(loss: float | None, step: int | None, shown: str) -> None:
    assert said(make(live_row("a", "ddp-w2-r0-3fa9c1", loss=loss, nonfinite_step=step))[0])["loss"] == shown


def test_a_loss_that_is_not_finite_is_told_as_the_reason_until_there_is_one() -> None:
    assert "not finite from step 120" in said(make(live_row("a", "ddp-w2-r0-3fa9c1", nonfinite_step=120))[0])["reason"]
    row = live_row("a", "ddp-w2-r0-3fa9c1", nonfinite_step=120, reason="loss is NaN", note="mine")
    assert said(make(row)[0])["reason"] == "loss is NaN · mine"


def test_nearly_done_is_not_done() -> None:
    assert said(make(live_row("a", "ddp-w2-r0-3fa9c1", step=3998))[0])["progress"].endswith(" 99%")


def test_every_cell_is_plain_in_ascii() -> None:
    rows = make(*many_rows(), look=PLAIN, marked=("scaling/ddp-w2-r0-3fa9c1",))
    assert all(cell_text(cell).isascii() for row in rows for cell in row.cells)


def test_large_counts_stay_in_their_columns() -> None:
    row = live_row(
        "a", "ddp-w2-r0-3fa9c1", 1_234_567, num_steps=20_000_000, samples_per_s=123456789.0, epoch=3, num_epochs=None
    )  # fmt: skip
    cells = said(make(row)[0])
    widths = {column.key: column.width for column in columns_of((row,))}
    assert cells["step"] == "1.2M/20M"
    assert cells["epoch"] == "4"
    assert all(len(cells[key]) <= widths[key] for key in ("step", "samples", "epoch"))


def test_the_order_is_the_plans_with_pinned_runs_first() -> None:
    rows = (
        done_row("b", "x-w1-r0-000000", 1.0), done_row("a", "y-w1-r0-000000", 2.0),
        done_row("b", "z-w1-r0-000000", 3.0, is_pinned=True),
    )  # fmt: skip
    sections = arrange(rows, None, is_inverted=False)
    assert [section.name for section in sections] == ["", "b", "a"]
    assert [row.id[0] for section in sections for row in section.rows] == ["z", "x", "y"]


@pytest.mark.parametrize(
    ("key", "expected", "inverted"),
    [("samples", "cab", "acb"), ("loss", "acb", "cab"), ("run", "abc", "cba"), (None, "abc", "cba")],
)
def test_sorting_begins_with_the_best_and_ends_with_the_unknown(key: str | None, expected: str, inverted: str) -> None:
    rows = (
        done_row("e", "a-w1-r0-000000", 5.0, loss=0.1),
        done_row("e", "b-w1-r0-000000", None, loss=float("nan")),
        done_row("e", "c-w1-r0-000000", 9.0, loss=0.2),
    )
    assert "".join(name[0] for name in order(rows, key)) == expected
    assert "".join(name[0] for name in order(rows, key, is_inverted=True)) == inverted


def test_every_sort_key_but_the_plan_is_a_column() -> None:
    columns = {column.key for column in columns_of(())}
    assert set(SORT_KEYS) - {None} <= columns
    for key in SORT_KEYS:
        assert sorted(order(many_rows(), key)) == sorted(row.id[:9] for row in many_rows())


def test_a_line_is_made_anew_only_where_its_run_changed() -> None:
    before = (done_row("a", "x-w1-r0-000000", 1.0), live_row("a", "y-w1-r0-000000", step=10))
    after = (before[0], live_row("a", "y-w1-r0-000000", step=11))
    maker = RowMaker(LOOK)
    first = maker.make(arrange(before, None, is_inverted=False), snapshot_of(*before), (), {})
    second = maker.make(arrange(after, None, is_inverted=False), snapshot_of(*after), (), {})
    assert first[0] is second[0]
    assert first[1] != second[1]
    marked = maker.make(arrange(after, None, is_inverted=False), snapshot_of(*after), ("a/x-w1-r0-000000",), {})
    assert marked[0] != second[0]


COLUMNS = (
    Column(key="a", label="a", width=4),
    Column(key="b", label="b", width=6, max_width=10, priority=1),
    Column(key="c", label="c", width=5, priority=2),
    Column(key="d", label="d", width=3, max_width=6, is_filler=True),
)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (40, ((0, 4), (1, 10), (2, 5), (3, 18))),
        (26, ((0, 4), (1, 10), (2, 5), (3, 4))),
        (21, ((0, 4), (1, 6), (2, 5), (3, 3))),
        (20, ((0, 4), (1, 10), (3, 4))),
        (15, ((0, 4), (1, 6), (3, 3))),
        (14, ((0, 4), (3, 9))),
        (3, ((0, 4), (3, 3))),
    ],
)
def test_less_important_columns_give_way(width: int, expected: tuple[tuple[int, int], ...]) -> None:
    assert fit_columns(COLUMNS, width) == expected


def test_eighty_columns_keep_what_matters_and_a_hundred_and_twenty_show_all() -> None:
    columns = columns_of(many_rows())
    narrow = [columns[place].key for place, _ in fit_columns(columns, 76)]
    wide = [columns[place].key for place, _ in fit_columns(columns, 116)]
    assert narrow == ["mark", "run", "state", "progress", "loss", "accuracy", "samples", "time"]
    assert wide == [column.key for column in columns]


def test_runs_that_only_their_hash_tells_apart_show_it_in_eighty_columns() -> None:
    rows = [done_row("lr", f"rpc_pipeline-w2-r0-{letter * 6}", 1.0) for letter in "abc"]
    widths = {columns_of(rows)[place].key: width for place, width in fit_columns(columns_of(rows), 76)}
    assert widths["run"] >= len(rows[0].id)
    assert {"state", "progress", "loss", "samples", "time"} <= widths.keys()
