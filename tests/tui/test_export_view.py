from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from engine.core.errors import DdptuiError, InputError
from tui.export_view import write_view
from tui.view.chart import ChartSpec, Line
from tui.view.config_diff import diff_configs
from tui.view.exported import Exported

TABLE = Exported(name="runs", columns=("run", "loss"), rows=(("a,b", 0.125), ("c", None), ("d", math.nan)))


def test_a_table_is_written_as_csv_with_unknown_values_empty(tmp_path: Path) -> None:
    path = write_view(TABLE, tmp_path / "x.csv")
    with path.open() as file:
        assert list(csv.reader(file)) == [["run", "loss"], ["a,b", "0.125"], ["c", ""], ["d", ""]]


def test_the_same_table_as_text_says_na(tmp_path: Path) -> None:
    lines = write_view(TABLE, tmp_path / "x.txt").read_text().splitlines()
    assert lines[0].split() == ["run", "loss"]
    assert lines[2].split() == ["c", "n/a"]


def test_a_view_with_text_of_its_own_is_written_as_it_is(tmp_path: Path) -> None:
    path = write_view(Exported(name="logs", text="one\ntwo"), tmp_path / "x.txt")
    assert path.read_text() == "one\ntwo\n"


def test_the_charts_become_a_png(tmp_path: Path) -> None:
    line = Line(label="a", color="#56B4E9", x=[0.0, 1.0, 2.0], y=[1.0, math.nan, 3.0], num_points=3)
    spec = ChartSpec(key="loss", title="loss", x_label="step", lines=(line,))
    path = write_view(Exported(name="charts", charts=(spec,)), tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("x.png", "no chart"),
        ("x.csv", "no table"),
        ("x.txt", "no text"),
        ("x.pdf", "ends in none of"),
        ("x", "ends in none"),
    ],
)
def test_what_a_view_has_not_is_said(name: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        write_view(Exported(name="empty"), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DdptuiError, match="cannot be written"):
        write_view(TABLE, blocked / "x.csv")


def test_a_diff_holds_every_key_that_differs_or_is_missing() -> None:
    left = {"config": {"seed": 1, "optimizer": {"lr": 0.1, "name": "sgd"}, "only": True}, "repeat": 0}
    right = {"config": {"seed": 1, "optimizer": {"lr": 0.2, "name": "sgd"}}, "repeat": 1}
    found = diff_configs(left, right)
    assert found.rows == (("optimizer.lr", "0.1", "0.2"), ("only", "true", "-"), ("repeat", "0", "1"))
    assert found.num_equal == 3


def test_a_run_without_a_config_is_all_unknown() -> None:
    found = diff_configs({}, {"config": {"a": 1}})
    assert found.rows == (("a", "-", "1"),)
