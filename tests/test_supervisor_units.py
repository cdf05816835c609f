"""The parts of the supervisor with fake processes and a clock of our own: no sleep, no process."""

import errno
import io
import os
import shutil

import pytest
from house import Clock, House
from supervised import EXPERIMENT, make_spec, reason_of

from engine.core.commands import Reply
from engine.core.errors import DdptuiError
from engine.core.run_queue import QueueEntry
from engine.core.state import RunState
from engine.processes import Handle, this_process
from engine.store import ResultsPaths, read_json, write_json
from engine.supervisor import loop, runs
from engine.supervisor.__main__ import serve
from engine.supervisor.active import LEFTOVER_S, PEER_GRACE_S, RUNNER_GRACE_S, ActiveRun
from engine.supervisor.hanging import HangDesk
from engine.supervisor.inbox import Inbox
from engine.supervisor.lock import FolderLock
from engine.supervisor.writer import Log, PatientWriter

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "results")


def test_one_run_is_active_at_a_time_in_the_order_of_the_plan(house):
    house.enqueue(make_spec("a"), make_spec("b"))
    house.supervisor.tick()
    assert (house.launcher.started, house.state("a"), house.state("b")) == (["a"], "starting", "queued")
    house.exit("a")
    house.supervisor.tick()
    assert (house.launcher.started, house.state("a"), house.state("b")) == (["a", "b"], "succeeded", "starting")
    house.exit("b")
    house.supervisor.tick()
    assert house.supervisor.is_idle()


def test_the_heartbeat_of_an_active_run_is_never_older_than_two_seconds(house):
    house.enqueue(make_spec("a"))
    for _ in range(20):
        house.clock.now_s += 0.3
        house.supervisor.tick()
        assert house.clock.now_s - read_json(house.paths("a").status)["updated_s"] <= 2.0


def test_a_rank_that_speaks_makes_the_run_running(house):
    house.enqueue(make_spec("a"))
    events = house.paths("a").attempt(1).events(0)
    events.parent.mkdir(parents=True)
    events.write_text('{"kind":"run_start"}\n')
    house.supervisor.tick()
    assert house.state("a") == "running"


def test_a_run_that_cannot_start_has_failed_with_one_reason_and_the_queue_goes_on(house):
    house.launcher.error = DdptuiError("cannot start the node runner: no room")
    house.enqueue(make_spec("a"), make_spec("b"))
    assert (house.state("a"), house.state("b")) == ("failed", "failed")
    assert reason_of(house.root, "a") == "cannot start the node runner: no room"
    assert house.supervisor.is_idle()


def test_a_run_folder_that_cannot_be_written_fails_only_its_run(house, monkeypatch):
    begin = runs.begin_attempt

    def begin_where_it_is_forbidden(spec, paths, **more):
        if spec.id == "a":
            raise PermissionError(errno.EACCES, "Permission denied", "somewhere")
        return begin(spec, paths, **more)

    monkeypatch.setattr(runs, "begin_attempt", begin_where_it_is_forbidden)
    house.enqueue(make_spec("a"), make_spec("b"))
    assert (house.state("a"), house.state("b")) == ("failed", "starting")
    assert reason_of(house.root, "a") == "cannot write somewhere: Permission denied"


def test_a_mistake_of_ours_fails_one_run_and_ends_its_processes(house, monkeypatch):
    house.enqueue(make_spec("a"), make_spec("b"))
    poll = ActiveRun.poll
    monkeypatch.setattr(ActiveRun, "poll", lambda run, now_s: 1 / 0 if run.entry.run_id == "a" else poll(run, now_s))
    house.supervisor.tick()
    assert (house.state("a"), house.state("b")) == ("failed", "starting")
    assert "ddptui itself failed" in reason_of(house.root, "a")
    assert ("end_all",) in house.processes.done
    assert "ZeroDivisionError" in house.said.getvalue()


def test_odd_event_files_do_not_change_how_a_run_ended(house, monkeypatch):
    monkeypatch.setattr(runs.RunFollower, "poll", lambda self: 1 / 0)
    house.enqueue(make_spec("a"))
    house.exit("a")
    house.supervisor.tick()
    assert house.state("a") == "succeeded"


def test_on_a_full_disk_an_enqueue_is_refused_whole(house, monkeypatch):
    write = loop.write_json

    def write_unless_queue(path, value):
        if path == house.results.queue:
            raise FULL
        write(path, value)

    monkeypatch.setattr(loop, "write_json", write_unless_queue)
    reply = house.enqueue(make_spec("a"))
    assert not reply["ok"]
    assert reply["message"] == "nothing was changed: cannot write somewhere: No space left on device"
    assert house.launcher.started == []
    assert house.supervisor.is_idle()


def test_a_status_that_cannot_be_written_is_written_later(house, monkeypatch):
    house.enqueue(make_spec("a"))
    house.exit("a")
    write, is_full = loop.write_json, [True]

    def write_unless_full(path, value):
        if is_full[0]:
            raise FULL
        write(path, value)

    monkeypatch.setattr(loop, "write_json", write_unless_full)
    house.supervisor.tick()
    house.supervisor.tick()
    assert (house.state("a"), house.supervisor.is_idle(), house.supervisor.is_all_written()) == (
        "starting",
        True,
        False,
    )
    is_full[0] = False
    house.supervisor.tick()
    assert (house.state("a"), house.supervisor.is_all_written()) == ("succeeded", True)
    assert house.said.getvalue().count("status.json, trying on") == 1


def test_the_queue_survives_the_supervisor_in_order(house):
    house.enqueue(make_spec("c"), make_spec("a"), make_spec("b"))
    house.exit("c", 3, reason="rank 0: broke")
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert (house.state("c"), reason_of(house.root, "c")) == ("failed", "rank 0: broke")
    assert house.launcher.started == ["c", "a"]


@pytest.mark.parametrize("content", [None, "{torn", '{"active": 5}'])
def test_a_lost_queue_is_made_anew_from_the_states_of_the_runs(house, content):
    house.enqueue(make_spec("a"), make_spec("b"))
    write_json(house.paths("a").attempt(1).handle(0), Handle("local", "here", "boot", 101, 1.0).to_json())
    house.results.queue.unlink() if content is None else house.results.queue.write_text(content)
    house.supervisor = house.new_supervisor()
    house.exit("a")
    house.supervisor.tick()
    assert (house.state("a"), house.state("b")) == ("succeeded", "starting")


def test_a_run_that_had_not_begun_when_its_supervisor_died_waits_again_in_front(house):
    house.enqueue(make_spec("a"), make_spec("b"))
    house.processes.alive.clear()
    house.supervisor = house.new_supervisor()
    assert house.state("a") == "queued"
    house.supervisor.tick()
    assert house.launcher.started == ["a", "a"]
    assert read_json(house.paths("a").status)["attempt"] == 2


def test_a_run_of_which_one_node_had_not_begun_is_ended_and_waits_again(house):
    house.enqueue(make_spec("a", nodes=2))
    write_json(house.paths("a").attempt(1).handle(0), Handle("local", "here", "boot", 101, 1.0).to_json())
    house.processes.alive.discard(102)
    house.processes.nodes_left = [0]
    house.supervisor = house.new_supervisor()
    assert house.processes.done == [("end_all",)]
    assert house.state("a") == "queued"


def test_the_beats_that_a_killed_node_runner_left_are_removed(house):
    house.enqueue(make_spec("a"))
    beats = house.paths("a").attempt(1).beats
    (beats / "torchrun0").mkdir(parents=True)
    try:
        house.processes.alive.clear()
        house.supervisor.tick()
        assert house.state("a") == "lost"
        assert not beats.exists()
        house.enqueue(make_spec("b"))
        other = house.paths("b").attempt(1).beats
        other.mkdir()
        house.supervisor.end_everything()  # the results folder was deleted
        assert not other.exists()
    finally:
        shutil.rmtree(beats, ignore_errors=True)


def test_a_failure_that_was_found_later_still_stops_its_experiment(house):
    house.enqueue(make_spec("a"), make_spec("b"), on_error="stop")
    status = read_json(house.paths("a").status)
    write_json(house.paths("a").status, {**status, "state": "failed"})  # killed between this and the queue
    house.supervisor = house.new_supervisor()
    assert house.state("b") == "stopped"
    assert house.supervisor.is_idle()


def test_a_command_that_was_answered_before_a_kill_is_not_carried_out_again(house):
    write_json(house.results.replies / "001.json", {"ok": True, "message": "", "data": {}})
    house.enqueue(make_spec("a"))
    assert house.launcher.started == []
    assert list(house.results.commands.iterdir()) == []


def test_replies_that_nobody_fetched_go(house):
    house.send("stop", runs="all")
    reply = house.results.replies / "001.json"
    os.utime(reply, (0, 0))
    house.clock.now_s += 1000.0
    house.supervisor.tick()
    assert not reply.exists()


def test_nodes_that_are_not_asked_any_more_are_not_taken_for_running(house):
    house.enqueue(make_spec("a"))
    house.processes.foreign = True
    house.supervisor.tick()
    assert house.state("a") == "lost"
    assert "host here, which cannot be asked from here" in reason_of(house.root, "a")


def make_active(house, *, nodes=1, stop_by_s=None):
    entry = QueueEntry(experiment=EXPERIMENT, run_id="a", queued_s=1.0, stop_by_s=stop_by_s)
    handles = {rank: Handle("local", "here", "boot", 100 + rank, 1.0) for rank in range(nodes)}
    house.processes.alive.update(handle.pid for handle in handles.values())
    attempt = house.paths("a").attempt(1)
    hang = HangDesk(house.paths("a"), attempt, nodes=nodes, put=write_json)
    return ActiveRun(
        entry, house.paths("a"), attempt, nodes=nodes, handles=handles, processes=house.processes, hang=hang
    )


def test_what_a_dead_node_runner_leaves_gets_a_moment_and_is_then_ended(house):
    run = make_active(house)
    house.processes.alive.clear()
    house.processes.left = True
    assert run.poll(0.0) is None
    assert run.poll(LEFTOVER_S - 0.1) is None
    assert house.processes.done == []
    assert run.poll(LEFTOVER_S).state is RunState.LOST
    assert house.processes.done == [("end_all",)]


def test_a_node_runner_that_fell_before_torchrun_has_failed_for_the_reason_in_its_log(house):
    run = make_active(house)
    house.processes.alive.clear()
    log = run.attempt.node_log(0)
    log.parent.mkdir(parents=True)
    log.write_text("Traceback (most recent call last):\nOSError: [Errno 28] No space left on device\n")
    outcome = run.poll(0.0)
    assert outcome.state is RunState.FAILED
    assert outcome.reason == "the node runner could not start the run: OSError: [Errno 28] No space left on device"


def test_when_a_node_has_failed_the_others_are_told_and_then_killed(house):
    run = make_active(house, nodes=2)
    house.exit("a", 1, reason="rank 0: broke")
    house.processes.alive.discard(100)
    assert run.poll(0.0) is None
    assert run.poll(PEER_GRACE_S - 0.1) is None
    assert house.processes.done == []
    assert run.poll(PEER_GRACE_S) is None
    assert house.processes.done == [("terminate", 101)]
    outcome = run.poll(2 * PEER_GRACE_S)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "rank 0: broke")
    assert house.processes.done[-1] == ("end_all",)


def test_a_node_that_is_done_waits_for_the_other_as_long_as_it_takes(house):
    run = make_active(house, nodes=2)
    house.exit("a", 0)
    house.processes.alive.discard(100)
    assert [run.poll(now_s) for now_s in (0.0, 100.0, 10000.0)] == [None, None, None]
    assert house.processes.done == []


def test_a_stop_goes_up_the_ladder_and_names_who_survived(house):
    run = make_active(house)
    run.request_stop(20.0, 0.0)
    assert house.processes.done == [("terminate", 100)]
    assert run.poll(19.9) is None
    assert run.poll(20.0) is None
    assert house.processes.done[-1] == ("kill_ranks", [100])
    house.processes.survivors = [7]
    assert run.poll(20.0 + RUNNER_GRACE_S - 0.1) is None
    outcome = run.poll(20.0 + RUNNER_GRACE_S)
    assert (outcome.state, outcome.reason) == (
        RunState.STOPPED,
        "stopped by the user; still alive after SIGKILL: pid 7",
    )


def test_two_locks_on_one_folder_cannot_both_be_held(tmp_path):
    results = ResultsPaths(tmp_path)
    first, second = FolderLock(results, this_process()), FolderLock(results, this_process())
    assert first.acquire()
    clock = Clock()
    assert not second.acquire(clock=clock, sleep=lambda s: setattr(clock, "now_s", clock.now_s + s))
    first.release()
    assert second.acquire()
    second.release()


def test_a_newcomer_waits_for_a_holder_that_has_taken_its_name_out(tmp_path):
    results = ResultsPaths(tmp_path)
    first, second = FolderLock(results, this_process()), FolderLock(results, this_process())
    first.acquire()
    first.clear_name()
    assert second.acquire(sleep=lambda s: first.release())
    second.release()


def test_a_command_that_comes_while_the_supervisor_leaves_is_carried_out(house):
    lock = FolderLock(house.results, this_process())
    lock.acquire()
    clear_name, late = lock.clear_name, [{"op": "stop", "runs": "all"}]

    def clear_and_get_a_command():
        if late:
            write_json(house.results.commands / "late.json", late.pop())
        clear_name()

    lock.clear_name = clear_and_get_a_command
    code = serve(
        house.supervisor, lock, house.root, should_leave=lambda: False, log=Log(house.said), sleep=lambda s: None
    )
    assert code == 0
    assert read_json(house.results.replies / "late.json")["ok"]
    assert not lock.is_held()


def test_a_lasting_fault_is_one_line_in_the_log():
    stream = io.StringIO()
    log = Log(stream, lambda: 0.0)
    for text in ("full", "full", "full", "free", "full"):
        log.write(text)
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == ["full", "free", "full"]


def test_of_several_values_for_a_file_that_cannot_be_written_the_newest_counts(tmp_path):
    written, is_full = {}, [True]

    def write(path, value):
        if is_full[0]:
            raise FULL
        written[path] = value

    writer = PatientWriter(Log(io.StringIO()), write)
    assert not writer.put(tmp_path, {"n": 1})
    assert not writer.put(tmp_path, {"n": 2})
    assert writer.pending(tmp_path) == {"n": 2}
    is_full[0] = False
    writer.retry()
    assert (written, writer.num_pending) == ({tmp_path: {"n": 2}}, 0)


def test_a_reply_that_cannot_be_written_keeps_its_command_from_a_second_round(house):
    is_full = [True]

    def write(path, value):
        if is_full[0]:
            raise FULL
        write_json(path, value)

    writer = PatientWriter(Log(io.StringIO()), write)
    inbox = Inbox(house.results, writer, Log(io.StringIO()))
    write_json(house.results.commands / "1.json", {"op": "x"})
    (message,) = inbox.pending()
    inbox.answer(message, Reply(ok=True))
    assert inbox.pending() == []
    assert message.paths[0].exists()
    is_full[0] = False
    writer.retry()
    assert inbox.pending() == []
    assert not message.paths[0].exists()
