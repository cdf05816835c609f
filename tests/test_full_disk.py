"""Want of room wherever something is written: as an error of each call, as a limit of the process, on a small disk."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from house import House
from supervised import (
    EXPERIMENT,
    cleaned_up,
    make_plan,
    make_spec,
    reason_of,
    state_of,
    wait_for_state,
    wait_until,
)

from ddptui import lines
from ddptui.lines import LineWriter
from engine import control, store, wake
from engine.core.events import decode_line
from engine.core.lifecycle import effective_outcome
from engine.core.state import RunState
from engine.node_record import NodeRecord, write_patiently
from engine.processes import find_tagged, run_marks
from engine.snapshots import write_part
from engine.spelled import find_spelled, read_spelled, spell
from engine.store import ResultsPaths, RunPaths, is_full, read_json, write_json
from engine.supervisor import loop, runs
from engine.supervisor import writer as writer_module
from engine.supervisor.writer import Log, PatientWriter
from tui.stop_command import stop_runs

NO_ROOM = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG]


class FullDisk:
    """``os.write`` that finds no room while ``is_full``; of the first line ``first_bytes`` go in."""

    def __init__(self, monkeypatch, number=errno.ENOSPC, first_bytes=0):
        self.is_full = True
        self._number = number
        self._first_bytes = first_bytes
        self._write = os.write
        monkeypatch.setattr(lines.os, "write", self)

    def __call__(self, fd, data):
        if not self.is_full:
            return self._write(fd, data)
        if self._first_bytes:
            written, self._first_bytes = self._write(fd, data[: self._first_bytes]), 0
            return written
        raise OSError(self._number, os.strerror(self._number))


def events_in(path):
    decoded = [decode_line(line) for line in path.read_bytes().splitlines() if line]
    return [event for event in decoded if event is not None]


@pytest.mark.parametrize("number", NO_ROOM)
def test_event_lines_wait_for_room_and_follow_in_their_order(tmp_path, monkeypatch, number):
    path = tmp_path / "rank0.jsonl"
    writer = LineWriter(str(path), rank=0, attempt=1)
    disk = FullDisk(monkeypatch, number, first_bytes=20)
    assert not writer.write("step", step=0)
    assert not writer.write("step", step=1)
    assert writer.no_room in (number, errno.ENOSPC)
    disk.is_full = False
    assert writer.write("step", step=2)
    assert writer.no_room == 0
    assert [event["step"] for event in events_in(path)] == [0, 1, 2]
    assert len([line for line in path.read_bytes().splitlines() if decode_line(line) is None]) == 1, "the torn one"


def test_lines_for_which_memory_is_too_small_are_counted_and_said(tmp_path, monkeypatch):
    path = tmp_path / "rank0.jsonl"
    writer = LineWriter(str(path), rank=0, attempt=1, max_waiting_bytes=300)
    disk = FullDisk(monkeypatch)
    for step in range(10):
        writer.write("step", step=step)
    num_waiting = 10 - writer.num_lost
    assert 0 < num_waiting < 10
    disk.is_full = False
    writer.write("step", step=10)
    events = events_in(path)
    assert [event["step"] for event in events if event["kind"] == "step"] == [*range(num_waiting), 10]
    (said,) = (event for event in events if event["kind"] == "message")
    assert said["text"].startswith(f"{writer.num_lost} event lines are missing before this one: No space left")
    assert said["is_loss"] is True


def test_an_event_file_that_could_not_be_made_is_made_later_but_its_folder_is_not(tmp_path):
    path = tmp_path / "events" / "rank0.jsonl"
    writer = LineWriter(str(path), rank=0, attempt=1)
    writer.close()
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    writer = LineWriter(str(blocked / "rank0.jsonl"), rank=0, attempt=1)
    assert not writer.write("step", step=0)
    assert blocked.is_file()
    blocked.unlink()
    assert not writer.write("step", step=1)
    assert not blocked.exists()
    blocked.mkdir()
    assert writer.write("step", step=2)
    assert [event["step"] for event in events_in(blocked / "rank0.jsonl")] == [0, 1, 2]


@pytest.mark.parametrize("number", NO_ROOM)
def test_a_file_that_cannot_be_written_whole_is_as_it_was_and_leaves_nothing_beside_it(tmp_path, monkeypatch, number):
    path = tmp_path / "status.json"
    write_json(path, {"state": "old"})

    def fail(fd):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store.os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_json(path, {"state": "new"})
    with pytest.raises(OSError, match=os.strerror(number)):
        write_part(tmp_path / "snapshots" / "000000000010", "shared.pt", lambda file: file.write(b"x"))
    assert read_json(path) == {"state": "old"}
    left = [entry.name for entry in tmp_path.rglob("*") if entry.is_file()]
    assert left == ["status.json"]


def test_what_the_supervisor_writes_waits_for_room_and_for_nothing_else(tmp_path):
    number = errno.ENOSPC

    def write(path, value):
        if number:
            raise OSError(number, os.strerror(number))
        write_json(path, value)

    writer = PatientWriter(Log(io.StringIO()), write)
    assert not writer.put(tmp_path / "status.json", {"state": "running"})
    assert writer.is_waiting_for_room
    writer.put(tmp_path / "status.json", {"state": "failed"})
    number = 0
    writer.retry()
    assert read_json(tmp_path / "status.json") == {"state": "failed"}
    assert not writer.is_waiting_for_room
    number = errno.ENOENT
    assert not writer.put(tmp_path / "gone" / "status.json", {"state": "running"})
    assert writer.num_pending == 0, "nobody will look in a folder that was deleted"


def test_the_end_of_a_node_waits_as_long_as_there_is_no_room(tmp_path, monkeypatch):
    paths = RunPaths(tmp_path).attempt(1)
    paths.root.mkdir(parents=True)
    record = NodeRecord(paths, node_rank=0, nodes=1, world_size=1)
    waits = []

    def write(path, value):
        if len(waits) < 500:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        write_json(path, value)

    monkeypatch.setattr("engine.node_record.write_json", write)
    record.write_exit(0, reason="", stopped=False, timed_out=False, ranks_left=[], sleep=waits.append)
    assert read_json(paths.exit(0))["exit_code"] == 0
    assert len(waits) == 500


def test_the_end_of_a_node_is_not_written_into_a_folder_that_was_deleted(tmp_path):
    write_patiently(tmp_path / "gone" / "exit-node0.json", {"exit_code": 0})
    assert not (tmp_path / "gone").exists()


def test_a_run_for_whose_files_there_is_no_room_waits_and_takes_no_other_with_it(tmp_path, monkeypatch):
    house = House(tmp_path / "results")
    begin, is_disk_full = runs.begin_attempt, True

    def begin_on_full_disk(spec, paths, **more):
        attempt = begin(spec, paths, **more)
        if is_disk_full:
            raise OSError(errno.ENOSPC, "No space left on device", str(paths.root))
        return attempt

    monkeypatch.setattr(runs, "begin_attempt", begin_on_full_disk)
    house.enqueue(make_spec("a"), make_spec("b"))
    house.supervisor.tick()
    assert (house.state("a"), house.state("b")) == ("queued", "queued")
    assert reason_of(house.root, "a").startswith("waits for room: cannot write ")
    assert "No space left on device" in reason_of(house.root, "a")
    assert house.launcher.started == []
    is_disk_full = False
    house.clock.now_s += 6
    house.supervisor.tick()
    assert (house.state("a"), house.state("b")) == ("starting", "queued")
    assert [attempt.number for attempt in house.paths("a").attempts()] == [1]


def test_a_listing_says_that_the_disk_is_full_while_no_status_can_be_written():
    status = {"state": "running", "reason": ""}
    look = {"is_supervisor_alive": True, "is_runner_alive": True, "age_s": 45.0}
    full = effective_outcome(status, {0: None}, is_disk_full=True, **look)
    assert (full.state, full.reason) == (RunState.RUNNING, "disk full: what is shown is 45 s old")
    assert "disk" not in effective_outcome(status, {0: None}, **look).reason
    look["is_runner_alive"] = False
    assert effective_outcome(status, {0: None}, is_disk_full=True, **look) == full, "its end cannot be written yet"
    look["is_supervisor_alive"] = False
    assert effective_outcome(status, {0: None}, is_disk_full=True, **look).state is RunState.LOST


PRINTS = """
import resource, sys
from ddptui.streams import take_streams
take_streams()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for number in range(2000):
    print("line", number, flush=True)
    print("more", number, file=sys.stderr)
open(sys.argv[1], "w").write("went on")
"""


def test_a_print_into_a_log_that_has_no_room_does_not_end_a_rank(tmp_path):
    """A limit on the size of files needs no rights: the kernel answers EFBIG where a full disk says ENOSPC."""
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        argv = [sys.executable, "-c", PRINTS, str(tmp_path / "result")]
        assert subprocess.run(argv, stdout=out, stderr=err, timeout=120, check=False).returncode == 0
    assert (tmp_path / "result").read_text() == "went on"
    assert (tmp_path / "out").stat().st_size == 4096


@pytest.fixture
def small_disk():
    """A file system of one MiB."""
    folder = Path(tempfile.mkdtemp())
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "ddptui-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode:
        folder.rmdir()
        pytest.skip(f"mounting a small file system needs rights that these tests do not have: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def fill(folder):
    """Take all the room there is; the file gives it back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return filler


def test_on_a_disk_that_is_really_full_nothing_is_half_written_and_all_follows_later(small_disk):
    paths = RunPaths(small_disk / "results" / "exp" / "runs" / "a")
    writer = LineWriter(str(paths.attempt(1).events(0)), rank=0, attempt=1)
    writer.write("step", step=0)
    write_json(paths.status, {"state": "running"})
    filler = fill(small_disk)
    assert is_full(small_disk)
    log = io.StringIO()
    patient = PatientWriter(Log(log))
    for step in range(1, 100):
        writer.write("step", step=step, padding="x" * 100)
    assert writer.no_room == errno.ENOSPC
    assert not patient.put(paths.status, {"state": "failed", "padding": "x" * 5000})
    assert read_json(paths.status) == {"state": "running"}
    assert sorted(entry.name for entry in paths.root.iterdir()) == ["attempts", "status.json"]
    filler.unlink()
    assert not is_full(small_disk)
    writer.write("step", step=100)
    patient.retry()
    assert read_json(paths.status)["state"] == "failed"
    assert [event["step"] for event in events_in(paths.attempt(1).events(0))] == list(range(101))
    assert log.getvalue().count("\n") == 1, "said once"


def test_orders_reach_the_supervisor_on_a_disk_that_is_really_full(small_disk, monkeypatch, capsys):
    root = small_disk / "results"
    monkeypatch.setattr(wake, "SUPERVISOR_MODULE", "fake_supervisor")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    specs = [make_spec("a", s="600"), make_spec("b"), make_spec("c")]
    with cleaned_up(root):
        control.enqueue(root, experiment=EXPERIMENT, plan=make_plan(specs), runs=specs)
        wait_for_state(root, "a", "running")
        filler = fill(small_disk)
        with pytest.raises(OSError, match="No space left"):
            write_json(root / "any.json", {})
        held = control.hold(root, is_held=True)
        assert (held.ok, "once there is room" in held.message) == (True, True)
        # Its successor finds the disk as full as it was, and knows of the order that came by names.
        os.kill(control.supervisor_handle(root).pid, signal.SIGKILL)
        wait_until(lambda: control.is_supervisor_alive(root) is False)
        assert control.hold(root, is_held=True).ok
        assert stop_runs(ResultsPaths(root), ["a", "b"], every=False) == 0
        said = capsys.readouterr().out
        assert all(f"exp/{name}: ended after " in said for name in "ab"), said
        assert said.count("nothing of it is left; how it ended is not written yet: the disk is full") == 2
        assert find_tagged(run_marks(ResultsPaths(root).run(EXPERIMENT, "a"), EXPERIMENT)) == []
        assert list(ResultsPaths(root).commands.iterdir()) == []
        filler.unlink()
        wait_for_state(root, "a", "stopped")
        wait_for_state(root, "b", "stopped")
        assert state_of(root, "c") == "queued", "the queue is held"


def test_a_supervisor_whose_reply_finds_no_room_answers_in_names(tmp_path, monkeypatch):
    house = House(tmp_path / "results")
    replies = house.results.replies
    replies.mkdir()
    write = writer_module.write_json

    def write_but_no_reply(path, value):
        if path.parent == replies:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, value)

    monkeypatch.setattr(loop, "write_json", write_but_no_reply)
    assert spell(house.results.commands.parent, "0-0-a", {}), "names fit in"
    house.results.commands.mkdir()
    spell(house.results.commands, "1-1-a", {"op": "hold", "is_held": True})
    house.supervisor.tick()
    names = find_spelled(os.listdir(replies))
    assert read_spelled(replies, names["1-1-a"])["message"] == "the queue is held; waiting: 0"
    assert list(house.results.commands.iterdir()) == []
    assert house.supervisor.is_all_written()

    # Killed between the reply and the removal of the command: it is not carried out twice.
    spell(house.results.commands, "1-1-a", {"op": "hold", "is_held": False})
    house.supervisor.tick()
    assert read_json(house.results.queue)["is_held"] is True
    assert list(house.results.commands.iterdir()) == []


def test_results_paths_know_where_errors_go_when_there_is_no_room(tmp_path):
    attempt = ResultsPaths(tmp_path).run(EXPERIMENT, "a").attempt(1)
    attempt.root.mkdir(parents=True)
    beats = tmp_path / "beats"
    write_json(attempt.spare_error(beats, 1), {"type": "DiskFullError", "message": "disk full", "time_s": 1.0})
    record = NodeRecord(attempt, node_rank=0, nodes=1, world_size=2)
    assert json.loads(attempt.spare_error(beats, 1).read_text())["message"] == "disk full"
    assert record.find_reason(1, beats=beats, is_out_of_memory=False) == "disk full"
