from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.store import RunPaths, write_json

Cli = Callable[..., int]
MakeRun = Callable[..., RunPaths]
Capture = pytest.CaptureFixture[str]

KEYS = [
    "experiment", "id", "point", "repeat", "state", "reason", "attempt", "strategy", "world_size", "num_devices",
    "progress", "epoch", "num_epochs", "step", "num_steps", "loss", "samples_per_s", "test_accuracy", "elapsed_s",
    "eta_s", "queued_s", "started_s", "ended_s", "folder", "last_event_s", "nonfinite_step", "axes",
    "is_pinned", "note", "dossier",
]  # fmt: skip


def test_ls_of_nothing_says_how_to_begin_and_is_no_error(ddptui: Cli, capsys: Capture) -> None:
    assert ddptui("ls") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "no runs in results; start some with `ddptui run FILE`\n"


def test_ls_shows_state_figures_and_reason_of_every_run(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", samples_per_s=12345.0)
    make_run("ddp-w4-r0-aaaaaa", experiment="second", state="failed", reason="rank 3: CUDA out of memory")
    assert ddptui("ls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "first"
    assert lines[2].split()[:5] == ["ddp-w2-r0-3fa9c1", "succeeded", "100%", "0.25", "12,345"]
    assert lines[3:5] == ["", "second"]
    assert lines[6].endswith("rank 3: CUDA out of memory")


def test_the_keys_of_ls_json_are_stable(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    assert ddptui("ls", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert list(row) == KEYS
    assert (row["state"], row["step"], row["test_accuracy"], row["eta_s"]) == ("succeeded", 45, 0.91, None)


def test_a_stopped_run_shows_how_far_it_came(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", state="stopped", reason="stopped by the user")
    assert ddptui("ls", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["step"], row["num_steps"], row["progress"]) == (22, 46, 0.5)


@pytest.mark.parametrize("line", [("--results", "elsewhere", "ls"), ("ls", "--results", "elsewhere")])
def test_the_results_folder_may_stand_before_or_after_the_command(
    line: tuple[str, ...], ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    paths = make_run("ddp-w2-r0-3fa9c1")
    results = paths.root.parents[2]
    results.rename(results.with_name("elsewhere"))
    assert ddptui(*line) == 0
    assert "ddp-w2-r0-3fa9c1" in capsys.readouterr().out


def test_a_run_that_calls_itself_running_but_is_not_is_not_shown_as_running(
    ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("ddp-w2-r0-3fa9c1", state="running", has_summary=False)
    assert ddptui("ls", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["state"] not in ("running", "succeeded")


def test_a_run_that_goes_on_is_read_from_its_event_lines(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    paths = make_run("ddp-w2-r0-3fa9c1", state="running", has_summary=False)
    events = paths.attempt(1).events(0)
    events.parent.mkdir(parents=True)
    common = {"rank": 0, "attempt": 1, "mono_s": 1.0}
    start = {"kind": "run_start", "seq": 0, "time_s": 1.7e9, "world_size": 2, "num_steps": 46, "num_epochs": 2}
    step = {"kind": "step", "seq": 1, "time_s": 1.7e9 + 5, "step_first": 0, "step": 22, "num_steps": 23, "epoch": 0}
    figures = {"samples": 736, "loss": 1.5, "window_s": 2.0, "lr": 0.05, "phases": {}}
    events.write_text("".join(json.dumps({**common, **event}) + "\n" for event in (start, {**step, **figures})))
    assert ddptui("ls", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["step"], row["num_steps"], row["progress"], row["loss"]) == (22, 46, 0.5, 1.5)


@pytest.mark.parametrize("what", ["models", "datasets", "strategies", "launchers"])
def test_ls_lists_the_names_of_the_catalog(what: str, ddptui: Cli, capsys: Capture) -> None:
    assert ddptui("ls", what, "--json") == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    assert {"models": "lenet5", "datasets": "digits", "strategies": "ddp", "launchers": "local"}[what] in names


@pytest.mark.parametrize("name", ["ddp-w2-r0-3fa9c1", "ddp-w2", "first/ddp-w2-r0-3fa9c1", "first/ddp"])
def test_a_run_may_be_named_by_a_unique_beginning_or_with_its_experiment(
    name: str, ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    make_run("single-w1-r0-000000")
    assert ddptui("show", name, "--json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["id"] == "ddp-w2-r0-3fa9c1"
    assert shown["spec"]["config"]["model"] == "lenet5"
    assert shown["summary"]["num_steps"] == 46


def test_an_exact_id_is_not_ambiguous_with_a_longer_one(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    make_run("ddp-w2-r0-3fa9c1ff", point="ddp-w2-3fa9c1ff")
    assert ddptui("show", "ddp-w2-r0-3fa9c1") == 0
    assert "ddp-w2-r0-3fa9c1\n" in capsys.readouterr().out


def test_show_is_readable_and_names_the_files(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", baseline="single-w1-000000")
    assert ddptui("show", "ddp") == 0
    out = capsys.readouterr().out
    assert "first/ddp-w2-r0-3fa9c1" in out
    assert "single-w1-000000 (as the file says)" in out
    assert "100%, epoch 2/2, step 46/46" in out
    assert "results/first/runs/ddp-w2-r0-3fa9c1/attempts/1/logs" in out


def test_show_says_of_a_script_only_what_is_meant_for_it(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    run = make_run("train-w2-r0-3fa9c1")
    spec = json.loads(run.run.read_text())
    keys = {"script": "train.py", "metrics": ["accuracy"], "partition_args": {"alpha": 0.5}, "launch": "torchrun"}
    write_json(run.run, spec | {"config": spec["config"] | keys})
    assert ddptui("show", "train") == 0
    out = capsys.readouterr().out
    assert "  launch " in out
    assert "  world_size " in out
    assert "  metrics " not in out
    assert "  partition_args" not in out


LOGS = {"rank0.out": "zero\n", "rank0.err": "careful\n", "rank1.out": "one\ntwo\nthree", "rank1.err": ""}


def test_logs_of_all_ranks_say_whose_they_are(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs=LOGS)
    assert ddptui("logs", "ddp") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(
        ["[rank 0] zero", "[rank 0] careful", "[rank 1] one", "[rank 1] two", "[rank 1] three"]
    )


def test_logs_of_one_rank_and_stream_are_its_lines_alone(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs=LOGS)
    assert ddptui("logs", "ddp", "--rank", "1", "--out") == 0
    assert capsys.readouterr().out.splitlines() == ["one", "two", "three"]
    assert ddptui("logs", "ddp", "--rank", "0", "--err") == 0
    assert capsys.readouterr().out.splitlines() == ["careful"]


def test_tail_counts_a_last_line_without_newline(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs=LOGS)
    assert ddptui("logs", "ddp", "--rank", "1", "--out", "--tail", "2") == 0
    assert capsys.readouterr().out.splitlines() == ["two", "three"]
    assert ddptui("logs", "ddp", "--rank", "1", "--out", "--tail", "0") == 0
    assert capsys.readouterr().out == ""


def test_logs_do_not_steer_the_terminal(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m\x07\x9b31m\n 10%\r 50%\r100%\r\n"
    make_run("ddp-w2-r0-3fa9c1", logs={"rank0.out": evil})
    assert ddptui("logs", "ddp", "--rank", "0") == 0
    assert capsys.readouterr().out == "red\n100%\n"


def test_where_the_ranks_said_nothing_the_nodes_log_is_shown(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs={"rank0.out": "", "node0.log": "torchrun: no\n"})
    assert ddptui("logs", "ddp") == 0
    assert capsys.readouterr().out == "[node0] torchrun: no\n"


def test_following_the_logs_of_an_ended_run_ends(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs=LOGS)
    assert ddptui("logs", "ddp", "-f", "--rank", "0") == 0
    assert capsys.readouterr().out.splitlines() == ["zero", "careful"]


def test_ls_says_on_stderr_which_experiments_the_screen_leaves_out(
    ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    make_run("ddp-w1-r0-aaaaaa", experiment="plain-name")
    make_run("ddp-w2-r0-bbbbbb", experiment="my experiment")
    assert ddptui("ls") == 0
    said = capsys.readouterr()
    assert "my experiment" in said.out
    assert said.err.startswith("not on the screen: 'my experiment': a folder name may have letters")
    assert len(said.err.splitlines()) == 1


def test_ls_says_of_a_torn_status_that_it_cannot_be_read(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    make_run("ddp-w1-r0-aaaaaa").status.write_text("{")
    assert ddptui("ls") == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line.split()[:4] == ["ddp-w1-r0-aaaaaa", "unreadable", "n/a", "n/a"]
    assert line.endswith("status.json cannot be read: it is no JSON object")


def test_a_run_that_hung_says_where_its_newest_dossier_is(ddptui: Cli, make_run: MakeRun, capsys: Capture) -> None:
    paths = make_run("ddp-w2-r0-aaaaaa", state="failed", status={"attempt": 3})
    make_run("ddp-w4-r0-bbbbbb")
    for number in (1, 2):
        write_json(paths.attempt(number).dossier, {"format": 1})
    assert ddptui("ls", "--json") == 0
    found = {row["id"]: row["dossier"] for row in json.loads(capsys.readouterr().out)}
    assert found["ddp-w2-r0-aaaaaa"].endswith("runs/ddp-w2-r0-aaaaaa/attempts/2/dossier.json")
    assert found["ddp-w4-r0-bbbbbb"] == ""
    paths.attempt(2).dossier_text.write_text("verdict")
    ddptui("ls", "--json")
    assert json.loads(capsys.readouterr().out)[0]["dossier"].endswith("attempts/2/dossier.txt")


def test_ls_has_the_order_of_the_plan_and_runs_of_earlier_plans_last(
    ddptui: Cli, make_run: MakeRun, capsys: Capture
) -> None:
    ids = ["single-w1-r0-3fa9c1", "ddp-w2-r0-3fa9c1", "ddp-w1-r0-3fa9c1"]
    for run_id in ids:
        experiment = make_run(run_id).root.parent.parent
    write_json(experiment / "plan.json", {"run_ids": ids[:2]})
    assert ddptui("ls", "--json") == 0
    assert [run["id"] for run in json.loads(capsys.readouterr().out)] == ids
    assert ddptui("ls", "compare") == 0
    out = capsys.readouterr().out
    assert out.index("\nsingle ") < out.index("\nddp, 2 ranks")
