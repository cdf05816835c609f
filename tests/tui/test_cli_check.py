"""What the check makes of interpreters: fake ones, as small scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import DdptuiError, InputError
from engine.core.spec import RunSpec
from tui.check import check_runs, estimate_run
from tui.prepare import read_plan

Interpreter = Callable[..., str]


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    """Make a program that notes each call, reads its stdin, writes what it is told, and ends as it is told."""

    def make(stdout: str = "", stderr: str = "", ending: str = "exit 0") -> str:
        path = tmp_path / "fake-python"
        (tmp_path / "stdout").write_text(stdout)
        (tmp_path / "stderr").write_text(stderr)
        path.write_text(
            f'#!/bin/sh\necho "$@ $PYTHONSAFEPATH $COLOR" >>{tmp_path}/calls\ncat >{tmp_path}/stdin\n'
            f"cat {tmp_path}/stdout\ncat {tmp_path}/stderr >&2\n{ending}\n"
        )
        path.chmod(0o755)
        return str(path)

    return make


def _specs(file: Path, *sets: str) -> list[RunSpec]:
    return read_plan(str(file), sets=["repeats=2", *sets]).runs


def _answer(specs: list[RunSpec], problem: str = "") -> str:
    problems = [problem] if problem else []
    facts = {"problems": problems, "num_parameters": 1000, "num_steps": 40, "step_s": 0.5, "test_samples": 300}
    points = {spec.point: {**facts, "train_samples": 900} for spec in specs}
    return "what the user's module prints\n" + json.dumps({"torch": "2.13.0", "num_gpus": 0, "points": points}) + "\n"


def test_an_interpreter_is_asked_once_with_one_run_of_each_point(
    experiment_file: Path, interpreter: Interpreter, tmp_path: Path
) -> None:
    python = interpreter(_answer(_specs(experiment_file)))
    specs = _specs(experiment_file, f"python={python}", 'env={COLOR="blue"}')
    result = check_runs(specs)
    assert (tmp_path / "calls").read_text() == "-m engine.worker --check 1 blue\n"
    asked = json.loads((tmp_path / "stdin").read_text())["runs"]
    assert [run["point"] for run in asked] == list(dict.fromkeys(spec.point for spec in specs))
    assert set(result.points) == {spec.point for spec in _specs(experiment_file)}
    assert result.interpreters[python]["torch"] == "2.13.0"


def test_setup_lines_run_before_and_do_not_disturb_the_answer(experiment_file: Path, interpreter: Interpreter) -> None:
    python = interpreter(_answer(_specs(experiment_file)))
    setup = 'setup=["echo noise", "export COLOR=green", "cat"]'
    assert check_runs(_specs(experiment_file, f"python={python}", setup)).points


def test_a_problem_is_said_once_with_all_its_points(experiment_file: Path, interpreter: Interpreter) -> None:
    specs = _specs(experiment_file)
    python = interpreter(_answer(specs, "model lenet5 does not take 1x8x8"))
    with pytest.raises(InputError) as caught:
        check_runs(_specs(experiment_file, f"python={python}"))
    points = ", ".join(dict.fromkeys(spec.point for spec in specs))
    assert str(caught.value) == f"first: {points}: model lenet5 does not take 1x8x8"


@pytest.mark.parametrize(
    ("stderr", "ending", "words"),
    [
        ("Traceback\nModuleNotFoundError: No module named 'torch'\n", "exit 1", "torch is not installed for "),
        (
            "/usr/bin/python: Error while finding module 'engine.worker': No module named 'engine'",
            "exit 1",
            "ddptui is",
        ),
        ("RuntimeError: operator torchvision::nms does not exist\n", "exit 1", "torchvision does not work for "),
        ("bash: line 1: module: command not found\n", "exit 127", "command not found"),
        ("", "exit 3", "exit code 3"),
    ],
)
def test_an_interpreter_that_cannot_train_is_bad_input_in_one_line(
    stderr: str, ending: str, words: str, experiment_file: Path, interpreter: Interpreter
) -> None:
    python = interpreter("", stderr, ending)
    with pytest.raises(InputError) as caught:
        check_runs(_specs(experiment_file, f"python={python}"))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_interpreter_is_bad_input(experiment_file: Path) -> None:
    with pytest.raises(InputError, match="no interpreter '/nowhere/python' here"):
        check_runs(_specs(experiment_file, "python=/nowhere/python"))


def test_a_file_that_is_no_program_is_bad_input(experiment_file: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="cannot be executed"):
        check_runs(_specs(experiment_file, f"python={tmp_path}/text"))


def test_a_check_that_was_killed_is_a_failure_not_bad_input(experiment_file: Path, interpreter: Interpreter) -> None:
    python = interpreter("", "", "kill -9 $$")
    with pytest.raises(DdptuiError, match="killed by SIGKILL as it tried") as caught:
        check_runs(_specs(experiment_file, f"python={python}"))
    assert caught.value.exit_code == 1


def test_a_program_that_answers_nothing_is_named_with_its_last_words(
    experiment_file: Path, interpreter: Interpreter
) -> None:
    python = interpreter("", "building my model\n")
    with pytest.raises(InputError, match=r"ended without an answer.*; its last words: building my model"):
        check_runs(_specs(experiment_file, f"python={python}"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("false", "setup: setup line failed with exit code 1: false"),
        ("exit 3", "setup: setup line failed: the shell ended with exit code 3"),
        ("no_such_command_here", "setup: setup line failed with exit code 127: no_such_command_here (it said: "),
        ("if true", "syntax error"),
    ],
)
def test_a_setup_line_that_fails_is_named(
    line: str, words: str, experiment_file: Path, interpreter: Interpreter
) -> None:
    with pytest.raises(InputError) as caught:
        check_runs(_specs(experiment_file, f"python={interpreter('{}')}", f"setup=['{line}']"))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_interpreter_that_the_setup_does_not_bring_is_bad_input(experiment_file: Path) -> None:
    with pytest.raises(InputError, match=r"python: the interpreter /nowhere/python does not exist after the setup"):
        check_runs(_specs(experiment_file, "python=/nowhere/python", "setup=['true']"))


def test_setup_lines_neither_eat_the_question_nor_spoil_the_answer(
    experiment_file: Path, interpreter: Interpreter, tmp_path: Path
) -> None:
    python = interpreter('{"points": {}}')
    check_runs(_specs(experiment_file, f"python={python}", "setup=['echo hello', 'cat']"))
    assert "runs" in json.loads((tmp_path / "stdin").read_text())


def test_the_estimate_counts_start_up_steps_and_evaluation(experiment_file: Path) -> None:
    spec = _specs(experiment_file)[0]
    facts = {"num_steps": 40, "step_s": 0.5, "num_parameters": 1000, "train_samples": 900, "test_samples": 300}
    estimate = estimate_run(spec, {**facts, "check_s": 4.0}, 2)
    assert estimate.time_s == pytest.approx(2 * 4.0 + 20.0 * (1 + 300 / 900 / 3))
    assert estimate.disk_bytes is not None
    assert estimate.disk_bytes > 4000


def test_what_the_check_does_not_know_is_not_estimated(experiment_file: Path) -> None:
    estimate = estimate_run(_specs(experiment_file)[0], {}, 2)
    assert (estimate.num_steps, estimate.time_s, estimate.disk_bytes) == (None, None, None)


def test_a_time_budget_bounds_the_estimate(experiment_file: Path) -> None:
    spec = _specs(experiment_file, "stop.minutes=0.1", "evaluate_every=0")[0]
    assert estimate_run(spec, {"num_steps": 10**6, "step_s": 1.0, "check_s": 2.0}, 1).time_s == pytest.approx(10.0)
    assert estimate_run(spec, {"check_s": 2.0}, 1).time_s == pytest.approx(10.0)
