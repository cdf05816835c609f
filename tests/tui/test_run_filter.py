from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui.view.run_filter import FILTER_KEYS, parse
from tui.view.run_row import RunRow

AXES = ("strategy", "world_size", "optimizer.lr", "node_speed")


def make_row(**values: Any) -> RunRow:
    fields: dict[str, Any] = dict.fromkeys(RunRow.__dataclass_fields__)
    fields |= {
        "experiment": "digits", "id": "ddp-w2-r0-3fa9c1", "point": "ddp-w2", "state": "running", "reason": "",
        "strategy": "ddp", "world_size": 2, "loss": 0.25, "samples_per_s": 1200.0, "test_accuracy": 0.97,
        "folder": "results/digits", "axes": {"optimizer.lr": 0.05, "node_speed": "fast"}, "is_pinned": False,
        "note": "",
    }  # fmt: skip
    return RunRow(**{**fields, **values})


def is_found(text: str, **values: Any) -> bool:
    return parse(text, AXES).matches(make_row(**values))


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "ddp", "DDP", "digits running", "strategy:ddp", "strategy:DD", "name:^ddp", "id:w[12]", "run:3fa9c1",
        "exp:digits", "world_size>=2", "w=2", "w!=3", "loss<0.5", "loss<=.25", "acc>=97%", "acc=0.97", "sps>1k",
        "throughput<=1.2k", "state=running", "state!=failed", "lr=0.05", "optimizer.lr<0.1", "node_speed:fas", "-fsdp",
        "!state:failed", "-loss>0.5", "-pinned", "repeat!=3 ddp -repeat:1", "lr=5e-2", "exp:digits -name:old w>1",
    ],
)  # fmt: skip
def test_a_filter_finds_the_run_it_describes(text: str) -> None:
    if "repeat" in text:
        assert is_found(text, repeat=0)
    else:
        assert is_found(text)


@pytest.mark.parametrize(
    "text",
    [
        "fsdp", "strategy:single", "name:^w2", "world_size>=3", "w=4", "w!=2", "loss>0.5", "state:failed", "acc>98%",
        "state=run", "-ddp", "!digits", "pinned", "ddp failed", "lr>0.1", '"digits ddp"', "name:ddp -state:running",
    ],
)  # fmt: skip
def test_a_filter_leaves_out_the_run_it_does_not_describe(text: str) -> None:
    assert not is_found(text)


@pytest.mark.parametrize("text", ["loss>0", "loss<1", "loss=0", "loss!=0", "loss:0", "loss<=0", "loss>=0"])
def test_what_is_not_known_matches_no_comparison(text: str) -> None:
    assert not is_found(text, loss=None)


def test_a_loss_that_is_not_a_number_matches_no_order_but_is_found_by_its_name() -> None:
    assert not is_found("loss>0", loss=float("nan"))
    assert not is_found("loss<=0", loss=float("nan"))
    assert is_found("loss:nan", loss=float("nan"))


def test_quotes_keep_words_together() -> None:
    assert is_found('note:"slow net"', note="the slow net again")
    assert not is_found('note:"slow net"', note="net slow")
    assert is_found('"slow net"', note="the slow net again")
    assert is_found('-"slow net"', note="net slow")
    assert is_found('note:"slow ne', note="the slow net again"), "a quote that is not closed yet"


def test_pinned_is_a_word_of_its_own() -> None:
    assert is_found("pinned", is_pinned=True)
    assert not is_found("-pinned", is_pinned=True)


def test_reason_and_note_are_searched_too() -> None:
    assert is_found("memory", state="failed", reason="rank 3: CUDA out of memory")
    assert is_found("baseline", note="the new baseline")


@pytest.mark.parametrize(
    ("text", "note", "notice"),
    [
        ("note:*.py", "uses *.py here", "no valid expression"),
        ("note:[", "a [ alone", "no valid expression"),
        ("colour:red", "colour:red", "no run has"),
        ("loss<abc", "loss<abc", "no number"),
        ("note:(a+)+b", "(a+)+b", "too long"),
    ],
)
def test_what_cannot_be_understood_is_looked_for_as_text_and_said(text: str, note: str, notice: str) -> None:
    found = parse(text, AXES)
    assert found.matches(make_row(note=note))
    assert not found.matches(make_row(note="something else"))
    assert notice in found.notices[0]


@pytest.mark.parametrize("text", ["loss<", "loss>=", "state:", "w!=", "-", "!", '"', '-"'])
def test_half_a_term_hides_nothing_while_it_is_typed(text: str) -> None:
    assert is_found(text)
    assert is_found(text, loss=None)


def test_a_filter_says_what_it_understood() -> None:
    assert parse("ddp w>=2 -state:failed").describe() == '"ddp", world_size >= 2, not state has failed'


def test_an_axis_that_no_run_has_is_text() -> None:
    assert parse("lr=0.05").notices
    assert not parse("lr=0.05", AXES).notices


_words = st.one_of(
    st.text(max_size=12),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "-", "!", "--", '"']),
        st.sampled_from([*FILTER_KEYS, *AXES, "unknown", "a.b"]),
        st.sampled_from([":", "=", "!=", "<", ">", "<=", ">=", "::", "=<", ""]),
        st.one_of(
            st.text(max_size=8), st.floats().map(str), st.sampled_from(["(", "[a", "*", "1e999", "5%", "a{2", "(?"])
        ),
    ),
)
_values = st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=6))


@settings(max_examples=300)
@given(
    text=st.one_of(st.text(max_size=40), st.lists(_words, max_size=4).map(" ".join)),
    loss=st.one_of(st.none(), st.floats()),
    size=st.one_of(st.none(), st.integers(), st.sampled_from(["auto", ""])),
    axis=_values,
    note=st.text(max_size=20),
)
def test_no_text_whatever_makes_the_filter_raise(
    text: str, loss: float | None, size: int | str | None, axis: Any, note: str
) -> None:
    found = parse(text, AXES)
    row = make_row(loss=loss, world_size=size, note=note, axes={"optimizer.lr": axis})
    assert found.matches(row) in (True, False)
    assert isinstance(found.describe(), str)
    assert all(isinstance(notice, str) for notice in found.notices)


@settings(max_examples=100)
@given(word=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10).filter(lambda w: w != "pinned"))
def test_a_word_and_its_negation_divide_the_runs(word: str) -> None:
    row = make_row(note="ab12")
    assert parse(word).matches(row) is not parse(f"-{word}").matches(row)
