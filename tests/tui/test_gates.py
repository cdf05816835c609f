from __future__ import annotations

import pytest

from engine.core.errors import InputError
from tui.gates import Gate, check_gates, judge, parse_gate

ROWS = {
    ("first", "single-w1-000000"): {"throughput_efficiency": 1.0},
    ("first", "ddp-w1-111111"): {"throughput_efficiency": None},
    ("first", "ddp-w16-222222"): {"throughput_efficiency": 0.7},
}


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("throughput_efficiency<0.8@ddp-w4", ("throughput_efficiency", "<", 0.8, "ddp-w4")),
        (" final_test_accuracy <= 91.5% ", ("final_test_accuracy", "<=", 0.915, "")),
        ("n!=3@first/ddp", ("n", "!=", 3.0, "first/ddp")),
        ("total_s>1e3", ("total_s", ">", 1000.0, "")),
    ],
)
def test_a_gate_is_a_column_a_limit_and_perhaps_a_point(text: str, gate: tuple[str, str, float, str]) -> None:
    parsed = parse_gate(text)
    assert (parsed.column, parsed.compare, pytest.approx(parsed.limit), parsed.point) == gate


@pytest.mark.parametrize("text", ["", "n", "n<", "<3", "n<x", "n=3", "n<3@", "n < 3 @ a b", "n<3<4"])
def test_what_is_no_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"throughput_efficiency<0\.8@ddp-w4"):
        parse_gate(text)


def test_a_gate_without_a_point_judges_all_that_are_known() -> None:
    (breach,) = judge([parse_gate("throughput_efficiency<80%")], ROWS)
    assert str(breach) == "first/ddp-w16-222222: throughput_efficiency = 0.7, and --fail-if says < 0.8"


def test_a_named_point_that_is_not_known_breaks_its_gate() -> None:
    (breach,) = judge([parse_gate("throughput_efficiency<0.8@ddp-w1")], ROWS)
    assert breach.point == "ddp-w1-111111"
    assert "n/a" in str(breach)


def test_a_gate_of_which_nothing_is_known_breaks() -> None:
    assert len(judge([parse_gate("throughput_efficiency<0")], {("a", "b"): {}, ("a", "c"): {}})) == 2


def test_a_gate_that_holds_says_nothing() -> None:
    assert judge([parse_gate("throughput_efficiency<0.5"), parse_gate("throughput_efficiency<0.6@ddp-w16")], ROWS) == []


@pytest.mark.parametrize(
    ("point", "is_meant"), [("", True), ("ddp-w1", True), ("first/ddp-w1", True), ("other/ddp", False), ("dd", False)]
)
def test_a_point_is_meant_by_whole_parts_of_its_name(point: str, is_meant: bool) -> None:
    gate = Gate(text="", column="n", compare="<", limit=1.0, point=point)
    assert gate.applies_to("first", "ddp-w1-3fa9c1") is is_meant


def test_a_short_world_size_does_not_mean_a_longer_one() -> None:
    assert not Gate(text="", column="n", compare="<", limit=1.0, point="ddp-w1").applies_to("first", "ddp-w16-3fa9c1")


def test_unknown_columns_and_points_are_all_named_before_the_start() -> None:
    gates = [parse_gate("samples_per_sec<1"), parse_gate("n<1@dpd"), parse_gate("n<1@ddp-w1")]
    with pytest.raises(InputError) as caught:
        check_gates(gates, ["n", "samples_per_s"], [("first", "ddp-w1-111111")])
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "did you mean samples_per_s?" in lines[0]
    assert "no point 'dpd'; points: ddp-w1-111111" in lines[1]
