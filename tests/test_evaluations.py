from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import DdptuiError
from engine.evaluations import add_evaluation, find_reported, read_evaluations
from engine.store import RunPaths


def epoch(number: int, **figures: float | None) -> dict[str, Any]:
    metrics = {name: value for name, value in figures.items() if "top" in name}
    return {"epoch": number, "metrics": metrics, **{k: v for k, v in figures.items() if k not in metrics}}


def test_records_are_added_behind_those_that_are_there(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    assert read_evaluations(paths) == []
    for number in (1, 2):
        add_evaluation(paths, {"number": number, "loss": float("nan")})
    assert read_evaluations(paths) == [{"number": 1, "loss": None}, {"number": 2, "loss": None}]
    assert [path.name for path in tmp_path.iterdir()] == ["evaluations.json"]


@pytest.mark.parametrize("content", ["{", "[]", '{"evaluations": 3}', '{"evaluations": [1]}'])
def test_a_damaged_file_is_told_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    paths = RunPaths(tmp_path)
    paths.evaluations.write_text(content)
    with pytest.raises(DdptuiError, match="is damaged: move it away"):
        add_evaluation(paths, {})
    assert paths.evaluations.read_text() == content


def test_a_run_that_was_deleted_meanwhile_does_not_rise_again(tmp_path: Path) -> None:
    with pytest.raises(DdptuiError, match="cannot be written: No such file"):
        add_evaluation(RunPaths(tmp_path / "gone"), {})
    assert not (tmp_path / "gone").exists()


def test_of_the_last_model_the_run_said_what_its_last_epoch_says() -> None:
    epochs = [epoch(0, test_loss=1.0, test_accuracy=0.9), epoch(1, test_loss=2.0, test_accuracy=0.8, test_top5=0.99)]
    assert find_reported({"epochs": epochs}, "final") == {
        "epoch": 1,
        "splits": {"test": {"loss": 2.0, "accuracy": 0.8, "metrics": {"top5": 0.99}}},
    }
    not_evaluated = epoch(2, test_loss=None, test_accuracy=None)
    assert find_reported({"epochs": [*epochs, not_evaluated]}, "final") is None
    assert find_reported(None, "final") is None
    assert find_reported({"epochs": []}, "best") is None


@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        ([epoch(0, test_accuracy=0.5), epoch(1, test_accuracy=0.7), epoch(2, test_accuracy=0.7)], 1),
        ([epoch(0, test_accuracy=0.9, validation_loss=2.0), epoch(1, test_accuracy=0.1, validation_loss=1.0)], 1),
        ([epoch(0, test_loss=3.0), epoch(1, test_loss=1.0), epoch(2, test_loss=2.0)], 1),
        ([epoch(0), epoch(1, test_accuracy=0.0, test_loss=1.0)], 1),
    ],
)  # fmt: skip
def test_the_best_model_is_that_of_the_workers_rule(epochs: list[dict[str, Any]], best: int) -> None:
    found = find_reported({"epochs": epochs}, "best")
    assert found is not None
    assert found["epoch"] == best
