from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.output import (
    format_bytes,
    format_duration,
    format_number,
    format_ratio,
    format_when,
    strip_escapes,
    table_lines,
)


@given(st.text())
def test_stripped_text_holds_no_control_character_but_tab_and_newline(text: str) -> None:
    kept = strip_escapes(text)
    assert all(character in "\t\n" or not (ord(character) < 32 or 127 <= ord(character) < 160) for character in kept)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc"])))
def test_text_without_control_characters_stays_as_it_is(text: str) -> None:
    assert strip_escapes(text) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "n/a"), (0.0, "0s"), (0.4213, "0.42s"), (9.99, "10s"), (59.4, "59s"), (59.9, "1:00"), (60, "1:00"),
     (187.2, "3:07"), (7383, "2:03:03"), (-1.0, "n/a"), (float("nan"), "n/a"), (float("inf"), "n/a")],
)  # fmt: skip
def test_durations_read_like_a_clock(seconds: float | None, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "n/a"), (12345.6, "12,346"), (0.0312345, "0.03123"), (2.3, "2.3"), (7, "7"), (float("nan"), "n/a"),
     (True, "n/a"), ("1", "n/a")],
)  # fmt: skip
def test_numbers_are_short_and_the_unknown_is_not_available(value: object, words: str) -> None:
    assert format_number(value) == words


def test_every_unknown_is_not_available() -> None:
    assert {format_ratio(None), format_bytes(None), format_when(None), format_when(float("inf"))} == {"n/a"}
    assert (format_ratio(0.914), format_bytes(1536), format_bytes(3 * 2**30)) == ("91.4%", "1.5 KiB", "3.0 GiB")


def test_columns_line_up_and_lines_end_at_the_width() -> None:
    rows = [("long cell", "1"), ("\x1b[31mx", "22")]
    assert table_lines(("a", "number"), rows, right=[1]) == [
        "a          number",
        "long cell       1",
        "x              22",
    ]
    assert table_lines(("a", "number"), rows, right=[1], width=12) == ["a          >", "long cell  >", "x          >"]
