"""What ``ddptui data`` asks and prints: the interpreter is a small script."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ddptui = Callable[..., int]

SPLIT = {"samples": 30, "class_counts": [20, 10], "mean": [0.25], "std": [0.5], "num_counted": 30}

ANSWER: dict[str, Any] = {
    "problem": "",
    "note": "synthetic data",
    "messages": ["thinned out"],
    "num_classes": 2,
    "input_shape": [1, 2, 2],
    "dtype": "uint8",
    "splits": {"train": SPLIT, "test": {**SPLIT, "samples": 1234, "class_counts": [1234, 0]}},
    "pictures": [{"label": 0, "values": [[0, 255], [255, 0]]}, {"label": 1, "values": [[255, 255], [0, 0]]}],
    "partitions": [],
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Let the interpreter of plain runs be one that gives an answer; return what it was asked."""
    python = tmp_path / "fake-python"
    python.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/calls\ncat >{tmp_path}/asked\ncat {tmp_path}/answer\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    (tmp_path / "answer").write_text(json.dumps(ANSWER) + "\n")

    def read(**answer: Any) -> dict[str, Any]:
        if answer:
            (tmp_path / "answer").write_text(json.dumps({**ANSWER, **answer}) + "\n")
            return {}
        assert (tmp_path / "calls").read_text() == "-m engine.worker --data\n"
        found: dict[str, Any] = json.loads((tmp_path / "asked").read_text())
        return found

    return read


def test_samples_counts_and_shapes_are_drawn(
    ddptui: Ddptui, asked: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ddptui("data", "digits", "--samples", 2, "--set", "validation=0.1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "digits: 2 classes, samples of 1 x 2 x 2, uint8",
        "synthetic data",
        "thinned out",
        "",
        "split  samples  mean  std",
        "train       30  0.25  0.5",
        "test     1,234  0.25  0.5",
        "",
        "0     1",
        "  @@  @@@@",
        "@@",
        "",
        "training samples of each class",
        "    0         20  " + 40 * "#",
        "    1         10  " + 20 * "#",
    ]
    request = asked()
    config = request["run"]["config"]
    assert (config["dataset"], config["validation"], request["num_pictures"]) == ("digits", 0.1, 2)
    assert request["partitions"] == [{"partition": "disjoint", **config["partition_args"], "world_size": 2}]


def test_on_a_terminal_it_is_drawn_in_colours_unless_they_are_refused(
    ddptui: Ddptui,
    asked: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ddptui("data", "digits") == 0
    out = capsys.readouterr().out
    assert "\N{UPPER HALF BLOCK}" in out
    assert "\N{FULL BLOCK}" in out
    assert ddptui("data", "digits", "--ascii") == 0
    assert capsys.readouterr().out.isascii()
    monkeypatch.setenv("NO_COLOR", "1")
    assert ddptui("data", "digits") == 0
    assert capsys.readouterr().out.isascii()


def test_json_is_the_whole_answer(
    ddptui: Ddptui, asked: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ddptui("data", "digits", "--json", "--partition", "all", "--world-size", 2, "--world-size", 4) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER
    partitions = asked()["partitions"]
    assert {item["world_size"] for item in partitions} == {2, 4}
    assert {"disjoint", "random", "dirichlet"} < {item["partition"] for item in partitions}


def test_many_classes_are_cut_short_and_too_many_not_counted(
    ddptui: Ddptui, asked: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked(splits={"train": {**SPLIT, "class_counts": [3] * 45}})
    assert ddptui("data", "digits", "--samples", 0) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  ...  and 5 more classes"
    asked(splits={"train": {**SPLIT, "class_counts": None}})
    assert ddptui("data", "digits") == 0
    assert "class counts: n/a, there are too many classes" in capsys.readouterr().out


def test_what_cannot_be_shown_is_one_line(
    ddptui: Ddptui,
    asked: Callable[..., dict[str, Any]],
    experiment_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked(problem="not in /data: put cifar-10-python.tar.gz there")
    for arguments, words in [
        (("cifar10",), "dataset cifar10: not in /data: put cifar-10-python.tar.gz there"),
        (("digitz",), "unknown data set 'digitz'; known: "),
        (("digits", "--partition", "disjoin"), "--partition 'disjoin': no such partition; known: "),
        (("cifar10", "--experiment", experiment_file), "no run uses data set cifar10; used: digits"),
    ]:
        assert ddptui("data", *arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert words in line
    assert ddptui("data", "digitz") == 2
    assert "did you mean digits?" in capsys.readouterr().err
    assert ddptui("data", "digits", "--partition", "disjoin") == 2
    assert "did you mean disjoint?" in capsys.readouterr().err
