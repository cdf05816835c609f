"""What ``ddptui evaluate`` asks, prints and keeps: the interpreter is a small script."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.store import RunPaths, read_json

Ddptui = Callable[..., int]

RUN = "single-w1-r0-3fa9c1"

ANSWER = {
    "problem": "",
    "device": "cpu",
    "num_threads": 3,
    "torch": "2.13.0",
    "note": "synthetic data",
    "splits": {
        "test": {"samples": 1359, "loss": 0.3215, "accuracy": 0.91, "metrics": {"top5": 0.99, "iou": 2.5}, "eval_s": 2},
    },
}

SUMMARY = {
    "ranks": [{"rank": 0, "num_threads": 3}],
    "epochs": [
        {"epoch": 0, "test_loss": 0.5, "test_accuracy": 0.93},
        {"epoch": 1, "test_loss": 0.3215, "test_accuracy": 0.9, "metrics": {"test_top5": 0.99}},
    ],
}


@pytest.fixture
def saved(make_run: Callable[..., RunPaths], tmp_path: Path) -> RunPaths:
    """A run with both models, whose interpreter notes what it is asked and gives ``ANSWER``."""
    paths = make_run(RUN)
    for path in (paths.model_final, paths.model_best):
        path.write_bytes(b"weights")
    paths.summary.write_text(json.dumps(SUMMARY))
    answer(tmp_path, ANSWER)
    python = tmp_path / "fake-python"
    python.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/calls\ncat >{tmp_path}/asked\ncat {tmp_path}/answer\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    configure(paths, python=str(python))
    return paths


def answer(folder: Path, value: dict[str, Any]) -> None:
    (folder / "answer").write_text(json.dumps(value) + "\n")


def configure(paths: RunPaths, **config: Any) -> None:
    spec = read_json(paths.run) or {}
    paths.run.write_text(json.dumps({**spec, "config": {**spec["config"], **config}}))


def kept(paths: RunPaths) -> list[dict[str, Any]]:
    return (read_json(paths.evaluations) or {})["evaluations"]


def test_what_is_found_stands_beside_what_the_run_said_and_is_kept(
    ddptui: Ddptui, saved: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ddptui("evaluate", "single") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"first/{RUN}: model_final.pt of epoch 2, on cpu, 3 threads, torch 2.13.0",
        "synthetic data",
        "test: 1,359 samples in 2s",
        "",
        "split  figure       now  in the run  difference",
        "test   loss      0.3215      0.3215           0",
        "test   accuracy   91.0%       90.0%       +0.01",
        "test   top5       99.0%       99.0%           0",
        "test   iou          2.5         n/a         n/a",
    ]
    assert said.err == f"evaluating model_final.pt of first/{RUN}\n"
    assert (tmp_path / "calls").read_text() == "-m engine.worker --evaluate\n"
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["run"]["config"]["model"] == "lenet5"
    assert (asked["device"], asked["num_threads"]) == (None, 3)
    assert Path(asked["model"]).is_absolute()
    assert Path(asked["model"]).samefile(saved.model_final)

    assert ddptui("evaluate", RUN, "--model", "best", "--device", "cpu", "--json") == 0
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert (record["run"], record["model"], record["reported"]["epoch"]) == (RUN, "best", 0)
    assert json.loads((tmp_path / "asked").read_text())["device"] == "cpu"
    first, second = kept(saved)
    assert {"run": RUN, "experiment": "first", **second} == record
    assert (first["model"], first["splits"], first["model_bytes"]) == ("final", ANSWER["splits"], 7)

    assert ddptui("show", RUN) == 0
    assert "evaluations.json" in capsys.readouterr().out


def test_what_the_run_never_said_is_not_available(
    ddptui: Ddptui, saved: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    saved.summary.unlink()
    assert ddptui("evaluate", RUN) == 0
    said = capsys.readouterr()
    assert "test   accuracy   91.0%         n/a         n/a" in said.out
    assert "has not evaluated this model, or is not over" in said.err


def test_code_that_has_changed_since_is_named(
    ddptui: Ddptui, saved: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_net.py").write_text("def build(): ...\n")
    configure(saved, model="own_net:build")
    spec = read_json(saved.run) or {}
    saved.run.write_text(json.dumps({**spec, "code_digest": "0123"}))
    assert ddptui("evaluate", RUN) == 0
    assert "your code is not what it was" in capsys.readouterr().err
    assert kept(saved)[0]["has_same_code"] is False


@pytest.mark.parametrize(
    ("missing", "state", "words"),
    [
        (("final",), "running", "(running) has no model_final.pt; there is model_best.pt: --model best"),
        (("final", "best"), "running", "(running) has no model_final.pt yet: the best is saved at its first"),
        (("final", "best"), "failed", "(failed) has no model_final.pt: it ended before it saved one; `ddptui retry`"),
    ],
)  # fmt: skip
def test_a_run_without_that_model_says_what_there_is(
    ddptui: Ddptui,
    saved: RunPaths,
    capsys: pytest.CaptureFixture[str],
    missing: tuple[str, ...],
    state: str,
    words: str,
) -> None:
    for name in missing:
        (saved.root / f"model_{name}.pt").unlink()
    saved.status.write_text(json.dumps({"state": state}))
    assert ddptui("evaluate", RUN) == 2
    assert f"{RUN} {words}" in capsys.readouterr().err
    assert not saved.evaluations.exists()


def test_what_cannot_be_evaluated_is_one_line(
    ddptui: Ddptui, saved: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ddptui("evaluate", "singel-w1") == 2
    assert "did you mean single-w1" in capsys.readouterr().err

    answer(tmp_path, {"problem": "model_final.pt does not fit"})
    assert ddptui("evaluate", RUN) == 2
    assert capsys.readouterr().err.splitlines()[1:] == [f"ddptui: {RUN}: model_final.pt does not fit"]
    assert not saved.evaluations.exists()

    saved.evaluations.write_text("{")
    assert ddptui("evaluate", RUN) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "evaluations.json is damaged: move it away" in line
    assert saved.evaluations.read_text() == "{"

    spec = read_json(saved.run) or {}
    saved.run.write_text(json.dumps({**spec, "config": {"script": "train.py"}}))
    assert ddptui("evaluate", RUN) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ran your program train.py: its model is the program's own" in line

    elsewhere = saved.run.rename(tmp_path / "run.json")
    saved.run.symlink_to(elsewhere)
    assert ddptui("evaluate", RUN) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ddptui: not started: ")
    assert line.endswith("run.json is a link")
    saved.run.unlink()

    saved.run.write_text("{")
    assert ddptui("evaluate", RUN) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "run.json is not a run of this version" in line
