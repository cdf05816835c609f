"""The supervisor as a process, with fake node runners."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from supervised import (
    EXPERIMENT,
    cleaned_up,
    make_plan,
    make_spec,
    reason_of,
    state_of,
    wait_for_leave,
    wait_for_state,
    wait_until,
)

from engine import control, wake
from engine.core.errors import DdptuiError
from engine.processes import Handle, is_alive, this_process
from engine.store import ResultsPaths, read_json, write_json

TESTS = Path(__file__).parent


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(wake, "SUPERVISOR_MODULE", "fake_supervisor")
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    with cleaned_up(tmp_path / "results") as folder:
        yield folder


def enqueue(root, *specs, on_error="continue", rerun="missing"):
    plan = make_plan(list(specs), on_error=on_error)
    return control.enqueue(root, experiment=EXPERIMENT, plan=plan, runs=specs, rerun=rerun)


def run_paths(root, run_id):
    return ResultsPaths(root).run(EXPERIMENT, run_id)


def runner_handle(root, run_id, attempt=1):
    return Handle.from_json(read_json(run_paths(root, run_id).attempt(attempt).handle(0)))


def log_of(root):
    return ResultsPaths(root).supervisor_log.read_text()


def test_two_runs_go_one_after_the_other_and_the_supervisor_leaves(root):
    reply = enqueue(root, make_spec("a"), make_spec("b"))
    assert reply.ok
    assert reply.data == {"queued": ["a", "b"], "active": [], "skipped": []}
    wait_for_leave(root)
    assert [state_of(root, name) for name in "ab"] == ["succeeded", "succeeded"]
    a, b = (read_json(run_paths(root, name).attempt(1).attempt) for name in "ab")
    assert a["ended_s"] <= b["started_s"]
    assert a["hosts"] == ["here"]
    assert a["cores"] == {"0": [0]}
    assert a["exit"]["exit_code"] == 0
    assert read_json(run_paths(root, "a").summary)["state"] == "succeeded"
    assert run_paths(root, "a").command.read_text().startswith("#!")
    assert read_json(ResultsPaths(root).experiment(EXPERIMENT).plan)["run_ids"] == ["a", "b"]
    wait_until(lambda: is_alive(runner_handle(root, "b")) is False)


def test_the_same_file_again_skips_what_succeeded_and_begins_a_new_attempt_of_the_rest(root):
    enqueue(root, make_spec("good"), make_spec("bad", exit="3", reason="rank 0: CUDA out of memory"))
    wait_for_leave(root)
    assert state_of(root, "bad") == "failed"
    assert reason_of(root, "bad") == "rank 0: CUDA out of memory"
    assert read_json(run_paths(root, "bad").summary)["reason"] == "rank 0: CUDA out of memory"
    reply = enqueue(root, make_spec("good"), make_spec("bad"))
    assert reply.data == {"queued": ["bad"], "active": [], "skipped": ["good"]}
    wait_for_leave(root)
    assert state_of(root, "bad") == "succeeded"
    assert [attempt.number for attempt in run_paths(root, "bad").attempts()] == [1, 2]


def test_a_second_enqueue_joins_the_queue_of_the_supervisor_that_runs(root):
    enqueue(root, make_spec("a", s="1"))
    first = control.supervisor_handle(root)
    reply = enqueue(root, make_spec("a", s="1"), make_spec("b"))
    assert reply.data == {"queued": ["a", "b"], "active": ["a"], "skipped": []}
    assert control.supervisor_handle(root) == first
    wait_for_leave(root)
    assert state_of(root, "b") == "succeeded"
    assert len(run_paths(root, "a").attempts()) == 1


@pytest.mark.parametrize(("orders", "state"), [({}, "succeeded"), ({"exit": "7", "reason": "rank 1: bad"}, "failed")])
def test_a_killed_supervisor_is_followed_by_one_that_adopts_its_run_with_its_true_end(root, orders, state):
    enqueue(root, make_spec("a", s="2", **orders), make_spec("b"))
    wait_for_state(root, "a", "running")
    os.kill(control.supervisor_handle(root).pid, signal.SIGKILL)
    wait_until(lambda: control.is_supervisor_alive(root) is False)
    assert is_alive(runner_handle(root, "a"))
    assert control.ensure_supervisor(root)
    wait_for_state(root, "b", "succeeded")
    assert state_of(root, "a") == state
    assert reason_of(root, "a") == orders.get("reason", "")
    assert len(run_paths(root, "a").attempts()) == 1


def test_the_bookkeeping_of_a_run_that_ended_while_nobody_watched_is_done_later(root):
    enqueue(root, make_spec("a", s="1", exit="3", reason="rank 0: it broke"))
    wait_for_state(root, "a", "running")
    os.kill(control.supervisor_handle(root).pid, signal.SIGKILL)
    wait_until(lambda: is_alive(runner_handle(root, "a")) is False)
    assert state_of(root, "a") == "running"
    control.ensure_supervisor(root)
    wait_for_state(root, "a", "failed")
    assert reason_of(root, "a") == "rank 0: it broke"


def test_a_run_whose_node_runner_died_without_a_word_is_lost_and_the_queue_goes_on(root):
    enqueue(root, make_spec("a", silent="1"), make_spec("b"))
    wait_for_leave(root)
    assert (state_of(root, "a"), state_of(root, "b")) == ("lost", "succeeded")


def test_of_several_supervisors_started_at_once_exactly_one_stays(root):
    enqueue(root, make_spec("a", s="60"))
    wait_for_state(root, "a", "running")
    os.kill(control.supervisor_handle(root).pid, signal.SIGKILL)
    argv = [sys.executable, "-m", "fake_supervisor", "--results", str(root)]
    started = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    wait_until(lambda: sum(process.poll() is not None for process in started) == 2)
    assert control.supervisor_handle(root).pid in [process.pid for process in started if process.returncode is None]
    control.stop(root, grace_s=5)
    outputs = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    (winner,) = (output for output in outputs if output)
    assert "exp/a: adopted" in winner
    assert state_of(root, "a") == "stopped"


def test_stop_ends_the_active_run_and_takes_the_waiting_one_out(root):
    enqueue(root, make_spec("a", s="60"), make_spec("b"), make_spec("c"))
    wait_for_state(root, "a", "running")
    reply = control.stop(root, [(EXPERIMENT, "a"), (EXPERIMENT, "b"), (EXPERIMENT, "nobody")])
    assert not reply.ok
    assert reply.data["stopping"] == [[EXPERIMENT, "a"]]
    assert reply.data["stopped"] == [[EXPERIMENT, "b"]]
    assert reply.data["unknown"] == [[EXPERIMENT, "nobody"]]
    wait_for_leave(root)
    assert [state_of(root, name) for name in "abc"] == ["stopped", "stopped", "succeeded"]
    assert reason_of(root, "a") == reason_of(root, "b") == "stopped by the user"
    assert read_json(run_paths(root, "a").summary)["state"] == "stopped"


def test_a_run_that_does_not_listen_is_killed_after_its_grace(root):
    enqueue(root, make_spec("a", s="60", deaf="1"))
    wait_for_state(root, "a", "running")
    runner = runner_handle(root, "a")
    control.stop(root, grace_s=0.2)
    wait_for_state(root, "a", "stopping")
    wait_for_state(root, "a", "stopped")
    assert is_alive(runner) is False


def test_a_stop_survives_the_death_of_the_supervisor(root):
    enqueue(root, make_spec("a", s="60", deaf="1"))
    wait_for_state(root, "a", "running")
    control.stop(root, grace_s=1.0)
    os.kill(control.supervisor_handle(root).pid, signal.SIGKILL)
    wait_until(lambda: control.is_supervisor_alive(root) is False)
    control.ensure_supervisor(root)
    wait_for_state(root, "a", "stopped")
    assert reason_of(root, "a") == "stopped by the user"


def test_after_a_failure_with_on_error_stop_the_rest_is_not_started(root):
    enqueue(root, make_spec("a", exit="1", reason="rank 0: no"), make_spec("b"), make_spec("c"), on_error="stop")
    wait_for_leave(root)
    assert [state_of(root, name) for name in "abc"] == ["failed", "stopped", "stopped"]
    assert reason_of(root, "c") == "not started: a failed and on_error is stop"
    assert not run_paths(root, "c").attempts()


def test_a_run_that_cannot_be_read_fails_with_a_reason_and_the_queue_goes_on(root):
    enqueue(root, make_spec("a", s="0.6"), make_spec("b"), make_spec("c"))
    run_paths(root, "b").run.write_text('{"format": 1, "id": 5}')
    wait_for_leave(root)
    assert [state_of(root, name) for name in "abc"] == ["succeeded", "failed", "succeeded"]
    assert "run.json is not a run of this version" in reason_of(root, "b")


def test_garbage_among_the_commands_gets_a_reply_or_a_log_line_and_never_a_crash(root):
    commands, replies = ResultsPaths(root).commands, ResultsPaths(root).replies
    commands.mkdir(parents=True)
    (commands / "1-torn.json").write_bytes(b'{"op": "enq')
    (commands / "2-odd.json").write_text('{"op": ["stop"], "runs": 3}')
    (commands / "3-bad.json").write_text('{"op": "stop", "runs": [["a"]]}')
    (commands / "4-path.json").write_text('{"op": "enqueue", "experiment": "../x", "plan": {}, "runs": []}')
    (commands / "5-folder.json").mkdir()
    (commands / "6-nested.json").write_text('{"op":' * 5000)
    (commands / ".7-half.json").write_text("{}")
    (commands / "notes.txt").write_text("mine")
    assert enqueue(root, make_spec("a")).ok
    wait_for_leave(root)
    assert state_of(root, "a") == "succeeded"
    for name in ("1-torn", "2-odd", "3-bad", "4-path", "6-nested"):
        reply = read_json(replies / f"{name}.json")
        assert reply["ok"] is False
        assert "\n" not in reply["message"]
    assert sorted(path.name for path in commands.iterdir()) == [".7-half.json", "5-folder.json", "notes.txt"]
    assert "Traceback" not in log_of(root)


def test_a_lock_of_another_host_is_never_stolen(root):
    lock = ResultsPaths(root).lock
    stranger = {**this_process().to_json(), "host": "elsewhere", "pid": 4242}
    write_json(lock, stranger)
    with pytest.raises(DdptuiError, match=r"host elsewhere \(pid 4242\)"):
        control.stop(root, timeout_s=0.3)
    assert not list(ResultsPaths(root).commands.iterdir())
    argv = [sys.executable, "-m", "fake_supervisor", "--results", str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "use ddptui there" in done.stderr
    assert str(lock) in done.stderr
    assert read_json(lock) == stranger


@pytest.mark.parametrize("change", [{"start_time": 1.0}, {"boot_id": "an earlier one"}, {"pid": 2**22 + 1}])
def test_a_stale_lock_is_taken_over(root, change):
    write_json(ResultsPaths(root).lock, {**this_process().to_json(), **change})
    assert enqueue(root, make_spec("a")).ok
    wait_for_leave(root)
    assert state_of(root, "a") == "succeeded"


@pytest.mark.slow
def test_no_command_is_lost_to_a_supervisor_that_is_about_to_leave(root):
    pauses = random.Random(0)
    for _ in range(50):
        assert control.stop(root, timeout_s=20).message == "stop: nothing to stop"
        time.sleep(pauses.uniform(0, 0.02))
    wait_for_leave(root)
    assert not list(ResultsPaths(root).commands.iterdir())


def test_sigterm_ends_the_supervisor_and_leaves_its_runs_going(root):
    enqueue(root, make_spec("a", s="1.5"), make_spec("b"))
    wait_for_state(root, "a", "running")
    holder = control.supervisor_handle(root)
    os.kill(holder.pid, signal.SIGHUP)
    os.kill(holder.pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(holder))
    assert "SIGTERM: leaving, the runs go on" in log_of(root)
    assert is_alive(runner_handle(root, "a"))
    control.ensure_supervisor(root)
    wait_for_state(root, "b", "succeeded")
    assert state_of(root, "a") == "succeeded"


def test_the_runs_of_a_deleted_results_folder_are_ended(root):
    enqueue(root, make_spec("a", s="60"))
    wait_for_state(root, "a", "running")
    holder, runner = control.supervisor_handle(root), runner_handle(root, "a")
    root.rename(root.with_name("gone"))
    wait_until(lambda: not is_alive(holder) and not is_alive(runner))
    assert not root.exists()
    log = log_of(root.with_name("gone"))
    assert "was deleted: its runs were ended" in log
    assert "Traceback" not in log
    shutil.rmtree(root.with_name("gone"))


def test_a_deleted_lock_is_taken_anew(root):
    enqueue(root, make_spec("a", s="1.5"))
    wait_for_state(root, "a", "running")
    holder = control.supervisor_handle(root)
    ResultsPaths(root).lock.unlink()
    wait_until(lambda: control.supervisor_handle(root) == holder)
    wait_for_leave(root)
    assert state_of(root, "a") == "succeeded"


def test_a_run_of_two_nodes_has_two_node_runners_and_ends_when_both_have(root):
    enqueue(root, make_spec("a", nodes=2, s="0.3"))
    wait_for_leave(root)
    assert state_of(root, "a") == "succeeded"
    assert read_json(run_paths(root, "a").attempt(1).attempt)["hosts"] == ["here", "here"]


def test_the_supervisor_loads_nothing_heavy():
    heavy = ("torch", "numpy", "pandas", "matplotlib", "textual")
    code = f"import sys, engine.supervisor.__main__; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
