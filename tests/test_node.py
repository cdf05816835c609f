from __future__ import annotations

import contextlib
import errno
import os
import signal
import venv
from pathlib import Path

import psutil
import pytest
from node_jobs import running, until

from engine import node, node_record
from engine.core.events import decode_line
from engine.node import AGENT_GRACE_S, PEER_GRACE_S, Ladder
from engine.node_record import NodeRecord
from engine.processes import is_alive
from engine.store import AttemptPaths, ResultsPaths, read_json, write_json

ROOT = Path(__file__).resolve().parent.parent


def test_two_ranks_train_and_say_how_they_ended(tmp_path: Path) -> None:
    with running(tmp_path) as job:
        (handle,) = job.start()
        end = job.exit()
        assert end["exit_code"] == 0
        assert end["reason"] == ""
        assert end["ranks"] == {"0": {"exit_code": 0, "signal": None}, "1": {"exit_code": 0, "signal": None}}
        assert end["ranks_left"] == []
        assert not end["stopped"]
        assert not end["timed_out"]
        assert read_json(job.files.handle(0)) == handle.to_json()
        assert job.files.out(0).read_text() == "sum 3.0 rank 0 local 0\n"
        assert job.files.out(1).read_text() == "sum 3.0 rank 1 local 1\n"
        assert job.files.err(1).stat().st_mode & 0o077 == 0
        until(lambda: not is_alive(handle))
        assert job.processes() == []


def test_what_a_rank_detached_with_an_empty_environment_is_ended_with_the_run(tmp_path: Path) -> None:
    with running(tmp_path, mode="daemon") as job:
        job.start()
        end = job.exit()
        pid = int(job.files.out(0).read_text().split("daemon ")[1])
        assert (end["exit_code"], end["ranks_left"]) == (0, [])
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_env_file_and_the_samples_name_cores_ranks_and_machine(tmp_path: Path) -> None:
    with running(tmp_path) as job:
        job.start()
        job.exit()
        env = read_json(job.files.env(0))
        assert env is not None
        assert env["host"] == os.uname().nodename
        assert set(env["cores"]) == {"0", "1"}
        assert {core for cores in env["cores"].values() for core in cores} <= set(env["allowed_cores"])
        assert env["num_threads"] == 1
        assert not Path(env["beats"]).exists()
        lines = [decode_line(line) for line in job.files.node_events(0).read_bytes().splitlines()]
        samples = [line for line in lines if line is not None]
        assert {sample["kind"] for sample in samples} == {"system"}
        assert any(sample["ranks"].get("1", {}).get("rss_bytes", 0) > 0 for sample in samples)
        assert samples[-1]["memory_total_bytes"] > samples[-1]["memory_used_bytes"] > 0


@pytest.mark.parametrize(
    ("mode", "reason", "ranks"),
    [
        ("raise", "rank 1: ValueError: the third layer is missing (stand_in.py:24)", {"1": (1, None)}),
        ("kill", "rank 1: killed by SIGKILL (sender unknown)", {"1": (-9, "SIGKILL")}),
        ("early", "rank 1: ended with exit code 0 while other ranks needed it", {"1": (0, None)}),
        ("stuck", "rank 1: exited with code 3", {"0": (-9, "SIGKILL"), "1": (3, None)}),
    ],
)
def test_the_root_cause_is_the_rank_that_failed_first(
    tmp_path: Path, mode: str, reason: str, ranks: dict[str, tuple[int, str | None]]
) -> None:
    with running(tmp_path, mode=mode) as job:
        job.start()
        end = job.exit()
        assert end["exit_code"] == 1
        assert end["reason"] == reason
        for rank, (exit_code, name) in ranks.items():
            assert end["ranks"][rank] == {"exit_code": exit_code, "signal": name}
        until(lambda: job.processes() == [])  # the node runner itself ends after its exit file


def test_an_import_that_fails_in_every_rank_is_told_as_such(tmp_path: Path) -> None:
    with running(tmp_path, mode="import") as job:
        job.start()
        assert job.exit()["reason"].partition(": ")[2] == (  # whichever rank came first
            "No module named 'a_module_that_is_missing': install a_module_that_is_missing for the run's interpreter "
            "(stand_in.py:5)"
        )


def test_an_interpreter_without_torch_is_named(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    with running(tmp_path, python=python, env={"PYTHONPATH": str(ROOT)}) as job:
        job.start()
        end = job.exit()
        assert end["exit_code"] == 1
        assert end["reason"] == f"{python}: No module named 'torch'; install torch there"


def test_an_interpreter_without_ddptui_is_named(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    with running(tmp_path, python=python) as job:
        job.start()
        assert job.exit()["reason"] == f"{python}: No module named 'ddptui'; install ddptui there"


@pytest.mark.parametrize("setup", [[], ["true"]])
def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path, setup: list[str]) -> None:
    with running(tmp_path, python="/no/such/python", setup=setup) as job:
        job.start()
        end = job.exit()
        assert end["reason"] == "the interpreter /no/such/python does not exist"
        assert end["ranks"] == {}


def test_setup_lines_run_before_the_ranks_and_a_failing_one_is_named(tmp_path: Path) -> None:
    with running(tmp_path, setup=["export A=1", "test $A = 2  # a comment"]) as job:
        job.start()
        end = job.exit()
        assert end["reason"] == "setup line failed with exit code 1: test $A = 2  # a comment"


def test_setup_lines_reach_the_ranks(tmp_path: Path) -> None:
    with running(tmp_path, setup=["export MODE=raise"]) as job:
        job.start()
        assert job.exit()["reason"] == "rank 1: ValueError: the third layer is missing (stand_in.py:24)"


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with running(tmp_path, mode="leave", timeout=8) as job:
        job.start()
        end = job.exit()
        assert end["timed_out"]
        assert not end["stopped"]
        assert end["reason"] == "timeout: not finished after 8 s"


def test_a_run_that_is_told_to_stop_lets_its_ranks_leave(tmp_path: Path) -> None:
    with running(tmp_path, mode="leave") as job:
        (handle,) = job.start()
        job.wait_for_ranks()
        os.kill(handle.pid, signal.SIGHUP)  # a closed terminal is no reason to stop
        os.kill(handle.pid, signal.SIGTERM)
        end = job.exit()
        assert end["stopped"]
        assert end["reason"] == ""
        assert end["ranks"] == {"0": {"exit_code": 75, "signal": None}, "1": {"exit_code": 75, "signal": None}}


def test_a_stop_that_comes_at_once_is_written_down(tmp_path: Path) -> None:
    with running(tmp_path, mode="leave") as job:
        (handle,) = job.start()
        os.kill(handle.pid, signal.SIGTERM)
        end = job.exit()
        assert end["stopped"]
        assert end["exit_code"] != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_from_outside_to_torchrun_before_it_listens_is_a_request_to_stop(tmp_path: Path, number: int) -> None:
    with running(tmp_path, mode="leave") as job:
        (handle,) = job.start()
        until(lambda: psutil.Process(handle.pid).children())
        psutil.Process(handle.pid).children()[0].send_signal(number)
        end = job.exit()
        assert end["stopped"]
        assert end["reason"] == f"torchrun: told to stop by {signal.Signals(number).name} from outside"


def test_a_signal_from_outside_to_a_rank_that_is_just_born_is_a_request_to_stop(tmp_path: Path) -> None:
    with running(tmp_path, mode="leave") as job:
        job.start()
        until(lambda: rank_processes(job.processes()))
        rank_processes(job.processes())[-1].send_signal(signal.SIGUSR2)
        end = job.exit()
        assert end["stopped"], end
        assert end["reason"].endswith("told to stop by a signal from outside")
        assert end["ranks_left"] == []


def test_ranks_that_are_stopped_by_a_signal_are_continued_to_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDPTUI_GRACE_S", "2")
    with running(tmp_path, mode="wait") as job:
        (handle,) = job.start()
        job.wait_for_ranks()
        for process in rank_processes(job.processes()):
            process.suspend()
        os.kill(handle.pid, signal.SIGTERM)
        end = job.exit()
        assert end["stopped"]
        assert end["ranks_left"] == []
        assert {rank["exit_code"] for rank in end["ranks"].values()} == {75}


def test_ranks_that_do_not_listen_are_killed_after_the_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPTUI_GRACE_S", "1")
    with running(tmp_path, mode="deaf") as job:
        (handle,) = job.start()
        job.wait_for_ranks()
        os.kill(handle.pid, signal.SIGTERM)
        end = job.exit()
        assert end["stopped"]
        assert {rank["signal"] for rank in end["ranks"].values()} == {"SIGKILL"}
        assert end["ranks_left"] == []


def test_when_torchrun_is_killed_its_ranks_die_and_the_reason_says_so(tmp_path: Path) -> None:
    with running(tmp_path, mode="wait") as job:
        (handle,) = job.start()
        job.wait_for_ranks()
        (agent,) = psutil.Process(handle.pid).children()
        ranks = agent.children()
        assert len(ranks) == 2
        agent.kill()
        _, alive = psutil.wait_procs(ranks, timeout=10)
        assert alive == []
        end = job.exit()
        assert end["exit_code"] == -9
        assert end["reason"] == "torchrun: killed by SIGKILL"


def test_when_the_node_runner_is_killed_nothing_is_left(tmp_path: Path) -> None:
    with running(tmp_path, mode="wait") as job:
        (handle,) = job.start()
        job.wait_for_ranks()
        assert len(job.processes()) == 4
        os.kill(handle.pid, signal.SIGKILL)
        until(lambda: job.processes() == [], timeout_s=10)
        assert not is_alive(handle)
        assert not job.files.exit(0).exists()


def test_two_nodes_on_one_machine_are_one_job_on_cores_of_their_own(tmp_path: Path) -> None:
    with running(tmp_path, nodes=2) as job:
        job.start()
        assert job.exit(0)["exit_code"] == 0
        assert job.exit(1)["exit_code"] == 0
        assert job.files.out(0).read_text() == "sum 3.0 rank 0 local 0\n"
        assert job.files.out(1).read_text() == "sum 3.0 rank 1 local 0\n"
        env = [read_json(job.files.env(k)) or {} for k in (0, 1)]
        assert env[0]["cores"].keys() == {"0"}
        assert env[1]["cores"].keys() == {"1"}
        if len(env[0]["allowed_cores"]) > 1:
            assert env[0]["cores"]["0"] != env[1]["cores"]["1"]


def test_a_failure_on_one_node_ends_the_other_with_the_same_reason(tmp_path: Path) -> None:
    with running(tmp_path, nodes=2, mode="raise") as job:
        job.start()
        reasons = [job.exit(node_rank)["reason"] for node_rank in (0, 1)]
        assert reasons == ["rank 1: ValueError: the third layer is missing (stand_in.py:24)"] * 2


@pytest.mark.parametrize("mode", ["wait", "rpc"])
def test_a_job_listens_on_loopback_only(tmp_path: Path, mode: str) -> None:
    with running(tmp_path, mode=mode) as job:
        job.start()
        job.wait_for_ranks()
        listening = [
            connection.laddr.ip
            for process in job.processes()
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert set(listening) == {"127.0.0.1"}


def test_a_run_that_cannot_be_read_says_so_instead_of_seeming_to_run(tmp_path: Path) -> None:
    with running(tmp_path) as job:
        job.paths.run.write_text("{}")
        job.start()
        end = job.exit()
        assert end["exit_code"] is None
        assert end["reason"].startswith("node runner: ValidationError")


@pytest.mark.parametrize(("number", "num_failures", "is_written"), [(errno.ENOSPC, 500, True), (errno.EIO, 61, False)])
def test_an_exit_file_waits_for_room_and_a_minute_for_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, num_failures: int, *, is_written: bool
) -> None:
    files = AttemptPaths(tmp_path / "1")
    files.root.mkdir()
    waited: list[float] = []

    def write(path: Path, value: dict[str, object]) -> None:
        if len(waited) < num_failures:
            raise OSError(number, os.strerror(number))
        write_json(path, value)

    monkeypatch.setattr(node_record, "write_json", write)
    record = NodeRecord(files, node_rank=0, nodes=1, world_size=1)
    ending = contextlib.nullcontext() if is_written else pytest.raises(OSError, match="Input/output")
    with ending:
        record.write_exit(0, reason="", stopped=False, timed_out=False, ranks_left=[], sleep=waited.append)
    assert (read_json(files.exit(0)) is not None) == is_written
    assert len(waited) == (num_failures if is_written else 60)


def test_an_exit_file_brings_no_deleted_folder_back(tmp_path: Path) -> None:
    record = NodeRecord(AttemptPaths(tmp_path / "1"), node_rank=0, nodes=1, world_size=1)
    record.write_exit(0, reason="", stopped=False, timed_out=False, ranks_left=[])
    assert not (tmp_path / "1").exists()


def test_the_beats_are_not_put_behind_a_link(tmp_path: Path) -> None:
    with running(tmp_path) as job:
        (tmp_path / "mine").mkdir()
        job.files.beats.symlink_to(tmp_path / "mine")
        try:
            job.start()
            assert "cannot be used: belongs to another user" in job.exit()["reason"]
        finally:
            job.files.beats.unlink()


@pytest.mark.parametrize("noted", ["succeeded", "failed", "queued"])
def test_a_node_runner_stays_until_its_end_is_noted_or_starts_a_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: str
) -> None:
    results = ResultsPaths(tmp_path)
    paths = results.run("e", "a")
    asked: list[Path] = []

    def ensure(root: Path) -> bool:
        asked.append(root)
        if len(asked) == 2:
            write_json(paths.status, {"state": noted})
        return len(asked) == 4

    monkeypatch.setattr(node, "ensure_supervisor", ensure)
    node.hand_over(paths)
    assert asked == []  # started by hand: nobody holds the folder
    write_json(results.lock, {})
    write_json(paths.status, {"state": "running"})
    node.hand_over(paths)
    assert len(asked) == 2
    write_json(paths.status, {"state": "running"})
    node.hand_over(paths)  # the supervisor that lived at first is dead
    assert len(asked) == 4


def test_peers_of_a_failed_rank_get_a_moment_and_torchrun_another() -> None:
    ladder = Ladder(grace_s=20)
    ladder.rank_failed(100.0)
    ladder.rank_failed(103.0)
    assert not ladder.must_kill_ranks(100.0 + PEER_GRACE_S - 0.1)
    assert ladder.must_kill_ranks(100.0 + PEER_GRACE_S)
    assert not ladder.must_kill_ranks(200.0)
    assert not ladder.must_kill_agent(100.0 + PEER_GRACE_S + AGENT_GRACE_S - 0.1)
    assert ladder.must_kill_agent(100.0 + PEER_GRACE_S + AGENT_GRACE_S)


def rank_processes(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if "RANK" in process.environ()]
