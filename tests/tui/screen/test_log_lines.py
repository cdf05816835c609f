from __future__ import annotations

import json

import pytest

from tui.view.log_json import pretty_event
from tui.view.log_lines import Level, Matcher, event_text, level_of, shown_text
from tui.view.log_rows import Row, rows_from, rows_to_end


@pytest.mark.parametrize(
    ("stream", "text", "level"),
    [
        ("out", "step 12 loss 0.3", Level.PLAIN),
        ("out", "validation error 0.12", Level.PLAIN),
        ("out", "error: 0.03", Level.PLAIN),
        ("out", "2026-11-21 12:00:00 ERROR no such file", Level.ERROR),
        ("out", "WARNING:root:slow", Level.WARNING),
        ("err", "Traceback (most recent call last):", Level.ERROR),
        ("err", "[rank3]: Traceback (most recent call last):", Level.ERROR),
        ("err", "[rank3]: ValueError: no", Level.ERROR),
        ("err", "torch.distributed.DistBackendError: NCCL error in: x.cpp", Level.ERROR),
        ("err", "KeyboardInterrupt", Level.ERROR),
        ("err", "Exception: peer is gone", Level.ERROR),
        ("err", '  File "train.py", line 3, in <module>', Level.ERROR),
        ("err", "    ~~~^^^~~", Level.ERROR),
        ("err", "/x/y.py:62: UserWarning: deprecated", Level.WARNING),
        ("err", "error: something", Level.ERROR),
        ("err", "INFO all is well", Level.PLAIN),
        ("err", "\x1b[31mERROR\x1b[0m red", Level.ERROR),
        ("node", "W1121 12:00:00.123000 4711 torch/run.py:766] Setting OMP", Level.WARNING),
        ("node", "E1121 12:00:00.123000 4711 torch/api.py:984] failed", Level.ERROR),
        ("event", '{"kind":"error","type":"ValueError"}', Level.ERROR),
        ("event", '{"kind":"message","level":"warning","text":"x"}', Level.WARNING),
        ("event", '{"kind":"message","level":"info","text":"an \\"error\\" it is not"}', Level.PLAIN),
        ("event", "garbage", Level.PLAIN),
    ],
)
def test_how_bad_a_line_is(stream: str, text: str, level: Level) -> None:
    assert level_of(stream, text) is level


def test_the_source_line_below_a_frame_belongs_to_the_traceback() -> None:
    frame = '[rank1]:   File "train.py", line 3, in main'
    assert level_of("err", "[rank1]:     loss = model(x)", frame) is Level.ERROR
    assert level_of("err", "    loss = model(x)", "loss is fine") is Level.PLAIN


def test_what_steers_the_terminal_is_not_shown() -> None:
    assert shown_text("out", "\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m\x07\x9b31m") == "red"
    assert shown_text("event", '{"kind":"message","text":"a\\u001b[2Jb"}') == "message     ab"
    assert shown_text("out", "a\tb") == "a       b"


def test_an_event_is_shown_in_words() -> None:
    step = {"kind": "step", "time_s": 1.0, "seq": 1, "rank": 0, "attempt": 1, "epoch": 2, "step": 127,
            "loss": float("nan"), "phases": {"data": 0.25}, "cores": [0, 1], "lr": None}  # fmt: skip
    assert event_text(json.dumps(step)) == "step 127    epoch 2  loss nan  lr null  phases {data=0.25}  cores [0 1]"
    error = {"kind": "error", "type": "ValueError", "message": "two\nlines"}
    assert event_text(json.dumps(error)) == "error       ValueError: two lines"
    assert event_text('{"half": ') == '{"half": '


@pytest.mark.parametrize(
    ("wanted", "text", "is_match"),
    [
        ("loss", "Loss 0.3", True),
        ("Loss", "loss 0.3", False),
        (r"loss 0\.\d", "loss 0.3", True),
        (r"loss 0\.\d", "loss 1", False),
        ("loss (", "loss (mean)", True),  # no pattern: plain words
        ("(a+)+b", "x (a+)+b", True),  # would take for ever as a pattern
        ("[", "a [b]", True),
        ("red", "\x1b[31mr\x1b[0med", True),
    ],
)
def test_what_is_looked_for_is_words_or_a_pattern(wanted: str, text: str, is_match: bool) -> None:
    assert Matcher(wanted).is_match("out", text) is is_match


def test_where_a_match_stands() -> None:
    assert Matcher("ab").spans("ab xAB") == [(0, 2), (4, 6)]
    assert Matcher("x*").spans("aab") == []


def test_an_event_is_laid_out_one_key_a_line() -> None:
    event = {"time_s": 1790000000.0, "kind": "error", "traceback": "one\n  two", "cores": [0, 1], "a": {"b": None}}
    pretty = pretty_event(json.dumps(event))
    assert pretty is not None
    lines = ["".join(text for _, text in line).rstrip() for line in pretty]
    assert lines == [
        "kind       error", "traceback", "  one", "    two", "cores      [0 1]", "a", "  b  null",
        "time_s     1790000000.0",
    ]  # fmt: skip
    assert pretty_event("no event") is None


def test_an_absurdly_nested_event_is_laid_out_as_far_as_one_can_read_it() -> None:
    text = '{"kind":"x","v":' + '{"v":' * 100 + "1" + "}" * 101
    pretty = pretty_event(text)
    assert pretty is not None
    assert len(pretty) < 20


def test_wrapped_lines_take_their_rows() -> None:
    rows = {0: 1, 1: 3, 2: 2}
    assert rows_from(rows.__getitem__, 1, 3, 4) == [Row(1, 0), Row(1, 1), Row(1, 2), Row(2, 0)]
    assert rows_to_end(rows.__getitem__, 3, 4) == [Row(1, 1), Row(1, 2), Row(2, 0), Row(2, 1)]
    assert rows_from(rows.__getitem__, 0, 3, 10)[-1] == Row(2, 1)
    assert rows_to_end(rows.__getitem__, 0, 4) == []
