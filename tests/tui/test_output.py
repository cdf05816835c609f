from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.output import (
    break_line,
    format_bytes,
    format_duration,
    format_number,
    format_ratio,
    format_when,
    strip_escapes,
    table_lines,
)

TURNING = "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(alphabet=st.characters()))
def test_stripped_text_holds_no_control_character_but_tab_and_newline(text: str) -> None:
    kept = strip_escapes(text)
    assert all(character in "\t\n" or not (ord(character) < 32 or 127 <= ord(character) < 160) for character in kept)
    assert not set(kept) & set(TURNING)
    kept.encode()  # half characters, which no stream takes, are gone


def test_what_turns_the_direction_or_is_half_a_character_goes() -> None:
    assert strip_escapes("a\u202egpj\u2066.exe\ud800 b") == "agpj.exe\N{REPLACEMENT CHARACTER} b"


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=TURNING)))
def test_text_without_control_characters_stays_as_it_is(text: str) -> None:
    assert strip_escapes(text) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "n/a"), (0.0, "0s"), (0.4213, "0.42s"), (9.99, "10s"), (59.4, "59s"), (59.9, "1:00"), (60, "1:00"),
     (187.2, "3:07"), (86400 * 4.5, "4.5 days"),
     (1e20, "3.17e+12 years"), (7383, "2:03:03"), (-1.0, "n/a"), (float("nan"), "n/a"), (float("inf"), "n/a")],
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


def test_large_sizes_keep_their_unit() -> None:
    assert (format_bytes(5 * 2**40), format_bytes(3 * 2**50)) == ("5.0 TiB", "3 PiB")


def test_a_time_of_today_needs_no_date() -> None:
    noon = datetime(2026, 11, 20, 12, 0, 0).astimezone().timestamp()
    assert format_when(noon, noon + 60) == "12:00:00"
    assert format_when(noon, noon + 86400) == "2026-11-20 12:00:00"


def test_a_line_is_broken_between_words_and_paths_stay_whole() -> None:
    text = "  ddp: logs are in /a/path-that/is/longer/than/any/line and so on"
    assert break_line(text, 24) == "  ddp: logs are in\n    /a/path-that/is/longer/than/any/line\n    and so on"


def test_a_header_may_have_two_lines() -> None:
    assert table_lines(("a", "per\nsecond"), [("x", "1")], right=[1]) == ["      per", "a  second", "x       1"]


def test_columns_line_up_and_lines_end_at_the_width() -> None:
    rows = [("long cell", "1"), ("\x1b[31mx", "22")]
    assert table_lines(("a", "number"), rows, right=[1]) == [
        "a          number",
        "long cell       1",
        "x              22",
    ]
    assert table_lines(("a", "number"), rows, right=[1], width=12) == ["a          >", "long cell  >", "x          >"]
