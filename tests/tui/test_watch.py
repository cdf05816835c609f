from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.core.commands import Reply
from engine.core.errors import DdptuiError, InputError
from engine.store import ResultsPaths, RunPaths
from tui import supervise, watch

Cli = Callable[..., int]
MakeRun = Callable[..., RunPaths]
Capture = pytest.CaptureFixture[str]


class WatchEndedError(Exception):
    """Ends a watch."""


def test_watching_prints_again_only_what_is_different(make_run: MakeRun, tmp_path: Path, capsys: Capture) -> None:
    make_run("ddp-w2-r0-aaaaaa")
    turns = iter([None, lambda: make_run("ddp-w4-r0-bbbbbb", state="failed", reason="rank 1: broke"), None, "end"])

    def sleep(_seconds: float) -> None:
        turn = next(turns)
        if turn == "end":
            raise WatchEndedError
        if callable(turn):
            turn()

    with pytest.raises(WatchEndedError):
        watch.print_form(ResultsPaths(tmp_path / "results"), "runs", None, is_watching=True, sleep=sleep)
    said = capsys.readouterr().out
    assert said.count("ddp-w2-r0-aaaaaa") == 2
    assert said.count("rank 1: broke") == 1
    assert "\x1b" not in said


def test_compare_names_the_baseline_and_says_na_where_nothing_was_measured(
    ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("single-w1-r0-aaaaaa", point="single-w1", samples_per_s=1000.0, baseline="single-w1")
    make_run("ddp-w2-r0-bbbbbb", point="ddp-w2", samples_per_s=1500.0, baseline="single-w1")
    make_run("ddp-w4-r0-cccccc", point="ddp-w4", state="queued", has_summary=False, baseline="single-w1")
    assert ddptui("ls", "compare") == 0
    said = capsys.readouterr().out
    assert "1.5" in said
    assert "75.0%" in said
    assert "* baseline: single" in said
    (line,) = [line for line in said.splitlines() if line.startswith("ddp, 4 ranks")]
    assert line.split()[-5:] == ["n/a"] * 5


def test_logs_show_the_last_lines_of_the_run_that_goes_on(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    text = "".join(f"line {number}\n" for number in range(100)) + "10%\r90%\r100% done\n\x1b[2Jwiped\n"
    make_run("ddp-w2-r0-aaaaaa", logs={"rank0.out": text})
    assert ddptui("ls", "logs", "--once") == 0
    said = capsys.readouterr().out
    assert "[rank 0] 100% done" in said
    assert "[rank 0] wiped" in said
    assert "10%" not in said
    assert "line 99" in said
    assert "line 70" not in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("ls", "--watch", "--json"), "--watch goes neither with --once nor with --json"),
        (("ls", "--watch", "--once"), "--watch goes neither with --once nor with --json"),
        (("ls", "runs", "x"), "ls runs takes no name"),
        (("ls", "models", "--watch"), "ls models takes no name and no --watch"),
        (("ls", "compare", "nothing"), "no experiment 'nothing'"),
        (("ls", "logs", "nothing"), "no run 'nothing'"),
        (("ls", "compare", "--json"), "--json goes with `ls runs`"),
    ],
)
def test_what_cannot_be_listed_is_said_in_one_line(
    words: tuple[str, ...], complaint: str, ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("ddp-w2-r0-aaaaaa")
    assert ddptui(*words) == 2
    assert complaint in capsys.readouterr().err


def test_an_empty_folder_says_so_in_every_form(ddptui: Cli, capsys: Capture) -> None:
    for form in ("runs", "compare", "logs"):
        assert ddptui("ls", form, "--once") == 0
        assert "no runs in results" in "".join(capsys.readouterr())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the supervisor was told."""
    found: list[tuple[Any, ...]] = []

    def take(name: str) -> Callable[..., Reply]:
        def order(_results: Path, *arguments: Any, **named: Any) -> Reply:
            found.append((name, *arguments, *named.values()))
            return Reply(ok=True, message="done")

        return order

    for name in ("hold", "retry"):
        monkeypatch.setattr(supervise.control, name, take(name))
    return found


def test_pause_and_resume_hold_the_queue_and_let_it_go(
    ddptui: Cli, make_run: MakeRun, told: list[tuple[Any, ...]]
) -> None:
    make_run("ddp-w2-r0-aaaaaa")
    assert (ddptui("pause"), ddptui("resume")) == (0, 0)
    assert told == [("hold", True), ("hold", False)]


def test_retry_takes_ended_runs_by_name_or_all_that_did_not_succeed(
    ddptui: Cli, make_run: MakeRun, told: list[tuple[Any, ...]], capsys: Capture
) -> None:
    make_run("ddp-w1-r0-aaaaaa")
    make_run("ddp-w2-r0-bbbbbb", state="failed")
    make_run("ddp-w4-r0-cccccc", state="stopped")
    assert ddptui("retry", "ddp-w1") == 0
    assert ddptui("retry", "--failed") == 0
    assert told == [
        ("retry", [("first", "ddp-w1-r0-aaaaaa")]),
        ("retry", [("first", "ddp-w2-r0-bbbbbb"), ("first", "ddp-w4-r0-cccccc")]),
    ]
    assert capsys.readouterr().out.split() == [
        "first/ddp-w1-r0-aaaaaa", "first/ddp-w2-r0-bbbbbb", "first/ddp-w4-r0-cccccc",
    ]  # fmt: skip


def test_a_refusal_of_the_supervisor_is_an_error(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_run("ddp-w2-r0-aaaaaa", state="failed")
    monkeypatch.setattr(supervise.control, "retry", lambda *_: Reply(ok=False, message="retry: 1 unknown"))
    with pytest.raises(DdptuiError, match="1 unknown"):
        supervise.retry_runs(ResultsPaths(paths.root.parents[2]), ["ddp-w2"], failed=False)


def test_without_a_results_folder_there_is_nothing_to_pause_or_retry(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results folder"):
        supervise.hold_queue(ResultsPaths(tmp_path / "none"), is_held=True)
    with pytest.raises(InputError, match="no results folder"):
        supervise.retry_runs(ResultsPaths(tmp_path / "none"), [], failed=True)
