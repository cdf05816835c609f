from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from node_jobs import until

from engine.processes import Handle, end_tree, find_tagged, handle_of, is_alive, run_marks, start_detached, this_process
from engine.store import RunPaths

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={})
print("up", child.pid, flush=True)
time.sleep(600)
"""
READY_LATE = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("it came", flush=True))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
"""
SPEAKER = """
import os, sys
print("up", os.getsid(0) == os.getpid(), sys.stdin.read() == "")
print("err", file=sys.stderr)
"""


def start(folder: Path, code: str, marks: dict[str, str]) -> int:
    log = folder / "logs" / f"{len(list(folder.glob('logs/*')))}.log"
    pid = start_detached([sys.executable, "-c", code], env={**os.environ, **marks}, cwd=folder, log=log)
    until(lambda: "up" in log.read_text())
    return pid


def marks_of(folder: Path) -> dict[str, str]:
    return run_marks(RunPaths(folder), "tests")


def test_this_process_is_alive() -> None:
    handle = this_process()
    assert handle == handle_of(os.getpid())
    assert is_alive(handle) is True
    assert Handle.from_json(handle.to_json()) == handle


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({"start_time": 1.0}, False),
        ({"boot_id": "another"}, False),
        ({"host": "another"}, None),
        ({"pid": 2**30}, False),
    ],
)
def test_a_pid_alone_proves_nothing(change: dict[str, object], alive: bool | None) -> None:
    assert is_alive(dataclasses.replace(this_process(), **change)) is alive


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    handle = handle_of(process.pid)
    assert handle is not None
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert is_alive(handle) is False
    process.wait()


@pytest.mark.parametrize(
    "value", [None, {}, [], *({**this_process().to_json(), "pid": pid} for pid in ("x", 1e999, float("nan")))]
)
def test_what_holds_no_handle_is_none(value: object) -> None:
    assert Handle.from_json(value) is None


def test_a_detached_process_has_a_session_and_a_log_of_its_own(tmp_path: Path) -> None:
    marks = marks_of(tmp_path)
    pid = start(tmp_path, SPEAKER, marks)
    until(lambda: handle_of(pid) is None or not is_alive(handle_of(pid)))
    log = tmp_path / "logs" / "0.log"
    assert sorted(log.read_text().splitlines()) == ["err", "up True True"]
    assert log.stat().st_mode & 0o077 == 0


def test_a_signal_that_comes_before_a_process_is_ready_waits(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", READY_LATE]
    held = [signal.SIGTERM]
    pid = start_detached(argv, env={**os.environ, **marks_of(tmp_path)}, cwd=tmp_path, log=tmp_path / "log", held=held)
    os.kill(pid, signal.SIGTERM)
    until(lambda: "it came" in (tmp_path / "log").read_text())
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_tree_is_found_by_its_marks_and_ended(tmp_path: Path) -> None:
    marks = marks_of(tmp_path)
    pids = [start(tmp_path, SLEEP, {**marks, "DDPTUI_NODE_RANK": str(k)}) for k in (0, 1)]
    assert sorted(process.pid for process in find_tagged(marks)) == sorted(pids)
    assert [process.pid for process in find_tagged({**marks, "DDPTUI_NODE_RANK": "1"})] == [pids[1]]
    assert end_tree(marks, grace_s=10) == []
    assert find_tagged(marks) == []


def test_the_same_run_in_another_folder_is_left_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "run").mkdir(parents=True)
    one, two = marks_of(tmp_path / "one" / "run"), marks_of(tmp_path / "two" / "run")
    assert one["DDPTUI_RUN_ID"] == two["DDPTUI_RUN_ID"]
    start(tmp_path, SLEEP, one)
    kept = start(tmp_path, SLEEP, two)
    assert end_tree(one, grace_s=0) == []
    assert [process.pid for process in find_tagged(two)] == [kept]
    assert end_tree(two, grace_s=0) == []


def test_a_child_that_lost_its_marks_is_found_by_the_session_it_is_in(tmp_path: Path) -> None:
    marks = marks_of(tmp_path)
    start(tmp_path, FAMILY, marks)
    child = int((tmp_path / "logs" / "0.log").read_text().split()[1])
    handle = handle_of(child)
    assert handle is not None
    assert end_tree(marks, grace_s=0) == []
    assert is_alive(handle) is False


def test_the_deaf_are_killed_and_the_stopped_are_continued(tmp_path: Path) -> None:
    marks = marks_of(tmp_path)
    start(tmp_path, DEAF, marks)
    stopped = start(tmp_path, SLEEP, marks)
    os.kill(stopped, signal.SIGSTOP)
    seen: list[int] = []

    def look(seconds: float) -> None:
        seen.append(len(find_tagged(marks)))
        until(lambda: len(find_tagged(marks)) <= 1)

    assert end_tree(marks, grace_s=0.3, sleep=look) == []
    assert seen
    assert find_tagged(marks) == []


def test_nobody_is_found_without_the_name_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every process would match"):
        find_tagged({})


def test_the_caller_is_never_among_those_to_be_ended(tmp_path: Path) -> None:
    marks = marks_of(tmp_path)
    code = (
        "import json, os, sys; from engine.processes import end_tree; "
        "print(end_tree(json.loads(sys.argv[1]), grace_s=0), 'still here')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(marks)],
        env={**os.environ, **marks},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[] still here\n"
