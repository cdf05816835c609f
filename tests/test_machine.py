from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine import machine
from engine.machine import (
    allowed_cores,
    count_memory_kills,
    describe_git,
    describe_machine,
    find_other_runs,
)
from engine.monitor import Monitor
from engine.store import AttemptPaths


def test_the_allowed_cores_are_those_of_this_process() -> None:
    expected = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    assert sorted(allowed_cores()) == sorted(expected)


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["host"] == os.uname().nodename
    assert machine["num_cores"] == os.cpu_count()
    assert machine["memory_total_bytes"] > 0
    assert machine["load_1m_at_start"] >= 0


def test_a_checkout_is_named_by_its_commit_and_whether_it_is_changed(tmp_path: Path) -> None:
    assert describe_git(tmp_path) == {"git_commit": None, "git_dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    (tmp_path / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    clean = describe_git(tmp_path)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] is False
    (tmp_path / "file").write_text("2")
    assert describe_git(tmp_path) == {**clean, "git_dirty": True}


def test_this_process_is_no_other_run() -> None:
    assert all("/" in name for name in find_other_runs("/nowhere"))


def test_a_process_with_half_of_the_marks_is_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def environ(self) -> dict[str, str]:
            return {"DDPTUI_ATTEMPT": "1", "DDPTUI_RUN_DIR": "/elsewhere"}

    monkeypatch.setattr(machine.psutil, "process_iter", lambda: [Odd()])
    assert find_other_runs("/nowhere") == []


def test_memory_kills_are_counted_or_unknown() -> None:
    count = count_memory_kills()
    assert count is None or count >= 0


def test_a_sample_holds_the_use_of_each_rank_and_its_children() -> None:
    monitor = Monitor(3)
    first = monitor.sample({0: os.getpid()})
    assert first["node_rank"] == 3
    assert first["ranks"][0]["cpu_percent"] is None  # nothing to compare with yet
    sum(range(2_000_000))
    second = monitor.sample({0: os.getpid()})
    assert second["ranks"][0]["cpu_percent"] > 0
    assert second["ranks"][0]["rss_bytes"] > 0
    assert second["memory_total_bytes"] >= second["memory_used_bytes"]
    assert isinstance(second["gpus"], list)


def test_a_rank_that_has_ended_is_not_measured_as_one_without_memory() -> None:
    gone = subprocess.Popen(["true"])
    os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
    ended = {0: gone.pid, 1: os.getpid()}
    assert list(Monitor(0).sample(ended)["ranks"]) == [1], "not yet reaped"
    gone.wait()
    assert list(Monitor(0).sample(ended)["ranks"]) == [1]


def test_a_sample_says_how_long_the_log_files_have_become(tmp_path: Path) -> None:
    files = AttemptPaths(tmp_path / "1")
    files.out(0).parent.mkdir(parents=True)
    files.out(0).write_text("hello\n")
    monitor = Monitor(0, files)
    pids = {0: os.getpid(), 1: os.getpid()}
    assert monitor.sample(pids)["log_bytes"] == {"0": [6, 0]}
    files.err(1).write_text("oh\n")
    files.node_log(0).write_text("torchrun\n")
    assert monitor.sample(pids)["log_bytes"] == {"node": [9], "1": [0, 3]}


def test_log_files_that_did_not_grow_are_not_mentioned(tmp_path: Path) -> None:
    files = AttemptPaths(tmp_path / "1")
    files.out(0).parent.mkdir(parents=True)
    files.out(0).write_text("hello\n")
    monitor = Monitor(0, files)
    monitor.sample({0: os.getpid()})
    assert "log_bytes" not in monitor.sample({0: os.getpid()})


def test_the_log_of_a_rank_that_has_ended_is_still_watched(tmp_path: Path) -> None:
    files = AttemptPaths(tmp_path / "1")
    files.err(0).parent.mkdir(parents=True)
    monitor = Monitor(0, files)
    monitor.sample({0: os.getpid()})
    files.err(0).write_text("its last words\n")
    assert monitor.sample({})["log_bytes"] == {"0": [0, 15]}
