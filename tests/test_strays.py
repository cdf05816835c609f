"""What dead supervisors leave: found by tag and start time, and ended; what lives rightly is left alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_jobs import until

from engine import strays
from engine.leftovers import find_leftovers
from engine.processes import Handle, end_tree, handle_of, is_alive, run_marks, start_detached, this_process
from engine.store import ResultsPaths, RunPaths, beats_home, beats_prefix, write_json
from engine.strays import describe_lock, end_strays, find_strays
from engine.supervisor.active import LocalProcesses
from tui.cli import main

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
LATER_S = time.time() + 1e6
"""So late that everything has settled."""


class House:
    """A results folder with processes that carry the names of its runs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.results = ResultsPaths(base / "results")
        self.results.control.mkdir(parents=True)
        self.runs: list[RunPaths] = []
        self.num_logs = 0

    def run(self, name: str, state: str, **status: object) -> RunPaths:
        paths = self.results.run("exp", name)
        write_json(paths.run, {"id": name, "config": {}})
        write_json(paths.status, {"state": state, "attempt": 1, "ended_s": 1.0, **status})
        self.runs.append(paths)
        return paths

    def process(self, paths: RunPaths, code: str = SLEEP, **environment: str) -> Handle:
        """Start one that carries the marks of a run; ``ATTEMPT="1"`` makes it torchrun, ``RANK`` a rank."""
        self.num_logs += 1
        log = self.base / "logs" / f"{self.num_logs}.log"
        named = {("RANK" if name == "RANK" else f"DDPTUI_{name}"): value for name, value in environment.items()}
        env = {**os.environ, **run_marks(paths, "exp", 0), **named}
        pid = start_detached([sys.executable, "-S", "-c", code], env=env, cwd=self.base, log=log)
        until(lambda: "up" in log.read_text())
        handle = handle_of(pid)
        assert handle is not None
        return handle

    def owner(self, handle: Handle | None) -> None:
        self.results.lock.write_text("" if handle is None else json.dumps(handle.to_json()))

    def find(self) -> list[strays.StrayRun]:
        return find_strays(self.results, now_s=LATER_S)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    for paths in made.runs:
        end_tree(run_marks(paths, "exp"), grace_s=0)


def test_only_what_nobody_looks_after_is_a_stray(house: House) -> None:
    ended, torn = house.run("a", "failed"), house.run("b", "running")
    going, by_hand = house.run("c", "running"), house.run("d", "succeeded")
    rank = house.process(ended, ATTEMPT="1", RANK="3")
    agent = house.process(torn, ATTEMPT="1")
    runner = house.process(going)
    house.process(going, ATTEMPT="1", RANK="0")
    manual = house.process(by_hand, ATTEMPT="0", ATTEMPT_DIR=str(by_hand.root / "attempts" / "manual"))
    found = {run.name: run for run in house.find()}
    assert set(found) == {"exp/a", "exp/b", "exp/c"}
    assert found["exp/a"].reason == "the run has ended: failed"
    assert [(p.pid, p.start_time, p.role) for p in found["exp/a"].processes] == [(rank.pid, rank.start_time, "rank 3")]
    assert found["exp/b"].reason == "its supervisor and its node runner are dead"
    assert [p.role for p in found["exp/b"].processes] == ["torchrun"]
    assert found["exp/c"].is_adoptable
    assert sorted(p.role for p in found["exp/c"].processes) == ["node runner", "rank 0"]

    house.owner(this_process())
    assert [run.name for run in house.find()] == ["exp/a"], "a living supervisor looks after the others"
    house.owner(dataclasses.replace(this_process(), host="elsewhere"))
    assert house.find() == [], "that host knows what they are"
    assert "host elsewhere" in describe_lock(house.results)
    house.owner(dataclasses.replace(this_process(), start_time=1.0))
    assert "dead" in describe_lock(house.results)

    left = end_strays([run for run in house.find() if not run.is_adoptable], grace_s=5)
    assert left == []
    assert [is_alive(handle) for handle in (rank, agent, runner, manual)] == [False, False, True, True]


def test_a_run_that_has_just_ended_may_still_have_its_node_runner(house: House) -> None:
    house.process(house.run("a", "succeeded", ended_s=LATER_S - 1))
    assert house.find() == []
    assert len(find_strays(house.results, now_s=LATER_S + 60)) == 1


def test_what_was_started_after_the_look_is_not_ended(house: House) -> None:
    paths = house.run("a", "failed")
    first = house.process(paths, ATTEMPT="1")
    found = house.find()
    second = house.process(paths, ATTEMPT="2")
    assert end_strays(found, grace_s=5) == []
    assert (is_alive(first), is_alive(second)) == (False, True)


def test_the_strays_of_a_results_folder_that_is_gone_are_found_from_any_other(house: House, tmp_path: Path) -> None:
    paths = house.run("a", "running")
    house.process(paths, ATTEMPT="1", RANK="0")
    other = ResultsPaths(tmp_path / "other")
    assert find_strays(other, now_s=LATER_S) == []
    shutil.rmtree(house.results.root)
    (run,) = [run for run in find_strays(other, now_s=LATER_S) if run.folder == str(paths.root)]
    assert "is gone" in run.reason


def test_a_survivor_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = house.process(house.run("a", "failed"), ATTEMPT="1")
    monkeypatch.setattr("engine.processes.kill", lambda processes: None)  # as one in uninterruptible sleep
    monkeypatch.setattr("engine.processes._KILL_WAIT_S", 0.1)
    (left,) = end_strays(house.find(), grace_s=0)
    assert (left.pid, left.start_time) == (handle.pid, handle.start_time)


@pytest.fixture
def call(house: House, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["clean", "--results", str(house.results.root), *words])
        return code, *capsys.readouterr()

    return run


def test_clean_lists_and_with_yes_ends_and_says_what_survived(
    house: House, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.leftovers._beat_folders", list)  # those of others, on a shared machine
    monkeypatch.setattr("tui.clean_command.GRACE_S", 0.5)
    deaf = house.process(house.run("a", "failed"), DEAF, ATTEMPT="1", RANK="0")
    going = house.process(house.run("b", "running"))
    half = house.results.root / "exp" / ".runs.csv.abcd_123"
    half.write_text("half")
    os.utime(half, (1, 1))
    (house.results.root / "exp" / ".mine.csv").write_text("a file of the user")

    code, out, err = call()
    assert code == 0
    assert out.splitlines() == [
        "exp/a: the run has ended: failed",
        f"  pid {deaf.pid}  rank 0",
        f"file  {half}",
    ]
    assert "exp/b (1 process): its supervisor is dead, the run goes on; `ddptui attach` adopts it" in err
    assert "nothing was touched; `ddptui clean --yes`" in err
    assert is_alive(deaf)
    assert json.loads(call("--json")[1])["strays"][0]["processes"][0]["pid"] == deaf.pid

    code, _, err = call("--yes")
    assert code == 0
    assert "ended 1 process, removed 1 file or folder" in err
    assert (is_alive(deaf), is_alive(going), half.exists()) == (False, True, False)
    assert (house.results.root / "exp" / ".mine.csv").exists()
    code, out, _ = call("--yes", "--adoptable", "--json")
    assert json.loads(out)["done"]["survivors"] == []
    assert is_alive(going) is False
    code, out, err = call()
    assert (code, out) == (0, "")
    assert "nothing is left over" in err
    assert call("--yes", "--dry-run")[0] == 2


def test_a_survivor_gives_exit_code_1(
    house: House, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.leftovers._beat_folders", list)
    handle = house.process(house.run("a", "failed"), ATTEMPT="1")
    found = house.find()[0].processes
    monkeypatch.setattr("tui.clean_command.end_strays", lambda runs, grace_s: list(found))
    code, _, err = call("--yes")
    assert code == 1
    assert f"still alive after SIGKILL: pid {handle.pid} (torchrun)" in err


def test_folders_of_beats_go_only_when_nobody_uses_them(house: House) -> None:
    folder = beats_home() / f"{beats_prefix()}{'0' * 4}{os.getpid():08x}"
    folder.mkdir(mode=0o700)
    try:
        (folder / "rank0").write_bytes(b"")
        assert folder not in find_leftovers(house.results)
        assert folder in find_leftovers(house.results, now_s=LATER_S)
        rank = house.process(house.run("a", "running"), ATTEMPT="1", BEATS=str(folder))
        assert folder not in find_leftovers(house.results, now_s=LATER_S)
        os.kill(rank.pid, signal.SIGKILL)
        until(lambda: is_alive(rank) is False)
        assert folder in find_leftovers(house.results, now_s=LATER_S)
    finally:
        shutil.rmtree(folder)


def test_a_handle_that_names_what_is_no_run_ends_nobody(house: House) -> None:
    paths = house.run("a", "running")
    pid = start_detached([sys.executable, "-S", "-c", SLEEP], env={}, cwd=house.base, log=house.base / "theirs.log")
    other, ours = handle_of(pid), house.process(paths)
    assert other is not None
    try:
        for handle in (other, ours):
            LocalProcesses().terminate(handle)
        until(lambda: is_alive(ours) is False)
        assert is_alive(other)
    finally:
        os.kill(pid, signal.SIGKILL)
