from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import DdptuiError
from engine.store import ResultsPaths, RunPaths
from tui import report_command
from tui.prepare import plan_file, read_plan
from tui.summary_columns import gate_columns

Cli = Callable[..., int]
MakeRun = Callable[..., RunPaths]
Capture = pytest.CaptureFixture[str]


def _complaint(capsys: Capture) -> str:
    """The one line on stderr; stdout is empty."""
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize("command", [("validate",), ("run",), ("run", "--dry-run"), ("--headless", "run")])
def test_a_file_that_is_not_there_is_bad_input(command: tuple[str, ...], ddptui: Cli, capsys: Capture) -> None:
    assert ddptui(*command, "missing.toml") == 2
    assert _complaint(capsys) == "ddptui: missing.toml: no such file"


def test_a_folder_instead_of_a_file_points_to_the_file_inside(
    ddptui: Cli, experiment_file: Path, capsys: Capture
) -> None:
    assert ddptui("validate", experiment_file.parent) == 2
    assert f"is a folder, not an experiment file; did you mean {experiment_file}?" in _complaint(capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_bad_input(ddptui: Cli, experiment_file: Path, capsys: Capture) -> None:
    experiment_file.chmod(0)
    assert ddptui("validate", experiment_file) == 2
    assert "Permission denied" in _complaint(capsys)


def test_a_file_that_is_not_utf8_is_named_with_line_and_column(ddptui: Cli, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xc3\xa9\n# caf\xe9\n")
    assert ddptui("validate", "latin.toml") == 2
    assert _complaint(capsys).startswith("ddptui: latin.toml:2:6: ")


def test_broken_toml_is_named_with_line_and_column(ddptui: Cli, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "broken.toml").write_text("[defaults]\nmodel = lenet5\n")
    assert ddptui("validate", "broken.toml") == 2
    assert _complaint(capsys).startswith("ddptui: broken.toml:2:9: ")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('strategi = "ddp"', "strategy"),
        ('epochs = "ten"', "whole number"),
        ("matrix = { world_size = [] }", "world_size"),
        ('strategy = "dpp"', "ddp"),
        ("global_batch_size = 63\nstrategy = 'ddp'\nworld_size = 2", "63"),
        ("exclude = 3", "exclude"),
    ],
)
def test_what_cannot_be_run_is_one_line_with_its_place(
    line: str, word: str, ddptui: Cli, experiment_file: Path, capsys: Capture
) -> None:
    text = experiment_file.read_text().partition("[experiment.matrix]")[0]
    experiment_file.write_text(f"{text}{line}\n")
    assert ddptui("validate", experiment_file.name) == 2
    complaint = _complaint(capsys)
    assert complaint.startswith("ddptui: experiments.toml:")
    assert complaint.split(":")[2].isdigit()
    assert word in complaint


def test_every_problem_of_a_file_is_said_at_once(ddptui: Cli, experiment_file: Path, capsys: Capture) -> None:
    text = experiment_file.read_text()
    experiment_file.write_text(text.replace("epochs = 2", "epochs = 0").replace("dataset", "datasat"))
    assert ddptui("validate", experiment_file.name) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("ddptui: experiments.toml:") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lss",), "no such command 'lss'"),
        (("ls", "--jsn"), "no such option: --jsn"),
        (("ls", "modles"), "'modles'"),
        (("run",), "missing argument 'FILE'"),
        (("logs", "x", "--rank", "-1"), "--rank"),
        (("run", "experiments.toml", "--rerun", "some"), "'some'"),
        (("show", "ddp"), "no run 'ddp': there are no runs in results"),
        (("report",), "no experiments in results"),
        (("stop",), "name the runs to stop, or give --all"),
        (("stop", "--all", "x"), "name the runs to stop, or give --all"),
        (("export", "--what", "evnts"), "events, runs"),
        (("run", "experiments.toml", "--fail-if", "samples_per_s"), "not a condition"),
        (("run", "experiments.toml", "--fail-if", "n<1", "--detach"), "leave --detach out"),
        (("run", "experiments.toml", "--fail-if", "throughput_eficiency<1"), "did you mean throughput_efficiency?"),
        (("run", "experiments.toml", "--fail-if", "n<1@ddp-w9"), "no point 'ddp-w9'"),
        (("run", "experiments.toml", "--only", "nothing"), "--only nothing"),
        (("run", "experiments.toml", "--set", "epochs"), "--set epochs"),
        (("run", "experiments.toml", "--results", "experiments.toml"), "is not a folder"),
        (("run", "experiments.toml", "--results", "/dev/null/x"), "/dev/null"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], words: str, ddptui: Cli, experiment_file: Path, capsys: Capture
) -> None:
    assert experiment_file.exists()
    assert ddptui(*arguments) == 2
    err = capsys.readouterr().err.splitlines()
    complaints = [line for line in err if line.startswith("ddptui: ")]
    assert len(complaints) == 1
    assert words in complaints[0]


def test_a_wrong_run_name_suggests_the_right_one(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    assert ddptui("show", "dpd-w2-r0-3fa9c1") == 2
    assert _complaint(capsys).endswith("no run 'dpd-w2-r0-3fa9c1' in results; did you mean ddp-w2-r0-3fa9c1?")


def test_a_wrong_beginning_of_a_run_name_suggests_the_run(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    assert ddptui("show", "dpd-w2") == 2
    assert _complaint(capsys).endswith("did you mean ddp-w2-r0-3fa9c1?")


def test_every_column_of_a_gate_is_a_column_of_the_summary_table(
    ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("single-w1-r0-000000", baseline="single-w1-000000")
    make_run("ddp-w2-r0-3fa9c1", baseline="single-w1-000000", samples_per_s=1500.0)
    assert ddptui("export", "--what", "summary") == 0
    header = capsys.readouterr().out.splitlines()[0].split(",")
    assert set(gate_columns()) <= set(header)


def test_an_experiment_of_one_run_names_its_run(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", experiment="alone")
    make_run("ddp-w2-r0-3fa9c1", experiment="other")
    assert ddptui("show", "alone") == 0
    assert "alone/ddp-w2-r0-3fa9c1" in capsys.readouterr().out


def test_an_ambiguous_run_name_lists_what_it_may_mean(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    make_run("ddp-w4-r0-aaaaaa")
    assert ddptui("logs", "ddp") == 2
    assert _complaint(capsys).endswith("run 'ddp' is ambiguous: first/ddp-w2-r0-3fa9c1, first/ddp-w4-r0-aaaaaa")


def test_a_rank_without_a_log_is_named_with_those_that_have_one(
    ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs={"rank0.out": "x", "rank1.out": "y"})
    assert ddptui("logs", "ddp", "--rank", "7") == 2
    assert _complaint(capsys).endswith("has no log of rank 7; ranks with a log: 0, 1")


def test_the_plan_of_a_part_names_only_what_was_selected_or_made_before(
    experiment_file: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    whole = read_plan(str(experiment_file))
    single, ddp_1, ddp_2 = whole.experiments[0].run_ids
    make_run(ddp_2, point=whole.runs[2].point)
    part = read_plan(str(experiment_file), only=["single*"])
    results = ResultsPaths(tmp_path / "results")
    assert plan_file(part, part.experiments[0], results)["run_ids"] == [single, ddp_2]
    assert plan_file(whole, whole.experiments[0], results)["run_ids"] == [single, ddp_1, ddp_2]


def test_init_writes_a_valid_file_once(ddptui: Cli, tmp_path: Path, capsys: Capture) -> None:
    assert ddptui("init", "new") == 0
    assert ddptui("validate", "new/experiments.toml") == 0
    capsys.readouterr()
    (tmp_path / "new" / "experiments.toml").write_text("mine")
    assert ddptui("init", "new") == 2
    assert "--force overwrites it" in _complaint(capsys)
    assert (tmp_path / "new" / "experiments.toml").read_text() == "mine"
    assert ddptui("init", "new", "--force") == 0
    assert ddptui("validate", "new/experiments.toml") == 0


def test_init_writes_a_project_that_can_be_run_and_overwrites_nothing(
    ddptui: Cli, tmp_path: Path, capsys: Capture
) -> None:
    assert ddptui("init", "new", "--project") == 0
    names = ["experiments.toml", "model.py", "data.py", "train.py", "README.md"]
    assert capsys.readouterr().out.split() == [f"new/{name}" for name in names]
    assert ddptui("validate", "new/experiments.toml") == 0
    for name in ("model.py", "data.py", "train.py"):
        compile(Path("new", name).read_text(), name, "exec")
    Path("new", "model.py").write_text("mine")
    capsys.readouterr()
    assert ddptui("init", "new", "--project") == 2
    assert "nothing was written" in capsys.readouterr().err
    assert Path("new", "model.py").read_text() == "mine"


def test_init_where_a_file_is_in_the_way_is_bad_input(ddptui: Cli, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert ddptui("init", "file") == 2
    assert "file" in _complaint(capsys)


def test_validate_counts_points_and_runs(ddptui: Cli, experiment_file: Path, capsys: Capture) -> None:
    assert ddptui("validate", experiment_file.name, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [(e["experiment"], e["points"], e["runs"]) for e in answer["experiments"]] == [("first", 3, 3)]
    assert ddptui("validate", experiment_file.name, "--set", "repeats=2") == 0
    assert "6 runs" in capsys.readouterr().out


def test_schema_is_json_schema_with_the_keys_of_a_run(ddptui: Cli, capsys: Capture) -> None:
    assert ddptui("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert "world_size" in schema["properties"]["defaults"]["properties"]


def test_another_system_is_refused_in_one_line(ddptui: Cli, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert ddptui("ls") == 2
    assert _complaint(capsys) == "ddptui: Linux and macOS are supported, win32 is not; on Windows use it inside WSL2"


def test_an_unexpected_error_is_one_line_unless_debug_is_given(
    ddptui: Cli, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    import tui.listing

    def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError("of ours\nsecond line \x1b[31m")

    monkeypatch.setattr(tui.listing, "list_results", broken)
    assert ddptui("ls") == 1
    line = _complaint(capsys)
    assert line == (
        "ddptui: unexpected ZeroDivisionError: of ours second line ; run again with --debug for the traceback"
    )
    with pytest.raises(ZeroDivisionError):
        ddptui("ls", "--debug")


def test_an_interrupted_command_says_nothing_and_exits_130(
    ddptui: Cli, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    import tui.listing

    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(tui.listing, "list_results", interrupted)
    assert ddptui("ls") == 130
    assert capsys.readouterr().err == ""


def test_a_report_for_which_there_is_no_room_says_so_without_an_error_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.csv")

    monkeypatch.setattr(report_command, "write_report", fail)
    with pytest.raises(DdptuiError, match=r"^the report of x cannot be written: No space left on device: a\.csv$"):
        report_command.write_reports(ResultsPaths(tmp_path), "x")


@pytest.mark.parametrize("command", [("--results", "", "ls"), ("ls", "--results", ""), ("--results=", "ls")])
def test_an_empty_results_folder_is_not_the_current_one(command: tuple[str, ...], ddptui: Cli, capsys: Capture) -> None:
    assert ddptui(*command) == 2
    assert '--results "" names no folder' in _complaint(capsys)
