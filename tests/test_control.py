"""The client's side of the commands, with the supervisor played by the test."""

import errno
import os

import pytest

from engine import control, wake
from engine.core.errors import DdptuiError, InputError
from engine.processes import this_process
from engine.store import ResultsPaths, read_json, write_json


class Supervisor:
    """Answers what it finds each time the client waits."""

    def __init__(self, root, reply):
        self.paths = ResultsPaths(root)
        self.reply = reply
        self.commands = []
        self.now_s = 0.0

    def clock(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds
        if self.reply is None:
            return
        for command in sorted(self.paths.commands.glob("[0-9]*.json")):
            self.commands.append(read_json(command))
            write_json(self.paths.replies / command.name, self.reply)
            command.unlink()


@pytest.fixture
def starts(monkeypatch):
    """How often a supervisor was started; none really is."""
    calls = []
    monkeypatch.setattr(control, "ensure_supervisor", lambda results: calls.append(results) or True)
    return calls


def test_a_command_is_answered(tmp_path, starts):
    root = tmp_path / "not" / "yet" / "there"
    supervisor = Supervisor(root, {"ok": False, "message": "no such run", "data": {"unknown": [["e", "a"]]}})
    reply = control.send(root, "stop", clock=supervisor.clock, sleep=supervisor.sleep, runs=[["e", "a"]], grace_s=1)
    assert supervisor.commands == [{"op": "stop", "runs": [["e", "a"]], "grace_s": 1}]
    assert (reply.ok, reply.message, reply.data) == (False, "no such run", {"unknown": [["e", "a"]]})


def test_supervisors_that_end_without_an_answer_are_not_started_for_ever(tmp_path, starts):
    silent = Supervisor(tmp_path, None)
    with pytest.raises(DdptuiError, match=r"ends before it answers; see .*supervisor\.log"):
        control.send(tmp_path, "stop", clock=silent.clock, sleep=silent.sleep, runs="all")
    assert 1 < len(starts) < 10


def test_an_unanswered_command_is_taken_back(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "ensure_supervisor", lambda results: False)
    write_json(ResultsPaths(tmp_path).lock, this_process().to_json())
    silent = Supervisor(tmp_path, None)
    with pytest.raises(DdptuiError, match=rf"supervisor {os.getpid()} of .* has not answered for 5 s"):
        control.send(tmp_path, "stop", timeout_s=5.0, clock=silent.clock, sleep=silent.sleep, runs="all")
    assert silent.now_s == pytest.approx(5.0, abs=0.2)
    assert list(ResultsPaths(tmp_path).commands.iterdir()) == []


def test_a_supervisor_that_is_stopped_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "ensure_supervisor", lambda results: False)
    monkeypatch.setattr(control, "is_stopped", lambda handle: handle == this_process())
    write_json(ResultsPaths(tmp_path).lock, this_process().to_json())
    silent = Supervisor(tmp_path, None)
    with pytest.raises(DdptuiError, match=rf"is stopped \(SIGSTOP\) and answers nobody: `kill -CONT {os.getpid()}`"):
        control.send(tmp_path, "stop", timeout_s=5.0, clock=silent.clock, sleep=silent.sleep, runs="all")


def test_a_folder_that_cannot_be_made_or_written_is_the_users_to_mend(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write into the results folder .*file: Not a directory"):
        control.send(tmp_path / "file", "stop", runs="all")

    def refuse(path, value):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(control, "write_json", refuse)
    with pytest.raises(InputError, match=r"cannot write into the results folder .*: Read-only file system"):
        control.send(tmp_path, "stop", runs="all")


def test_no_supervisor_is_started_beside_a_living_one_or_one_of_another_host(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(wake, "start_detached", lambda argv, **rest: started.append(argv) or os.getpid())
    lock = ResultsPaths(tmp_path).lock
    for holder in (this_process().to_json(), {**this_process().to_json(), "host": "elsewhere"}):
        write_json(lock, holder)
        assert not wake.ensure_supervisor(tmp_path)
    assert started == []
    write_json(lock, {**this_process().to_json(), "start_time": 1.0})
    assert wake.ensure_supervisor(tmp_path)
    assert not wake.ensure_supervisor(tmp_path), "the one just started may not have the lock yet"
    assert len(started) == 1


def test_a_supervisor_does_not_inherit_the_marks_of_the_run_that_wakes_it(tmp_path, monkeypatch):
    found = {}
    monkeypatch.setenv("DDPTUI_RUN_ID", "exp/a")
    monkeypatch.setenv("DDPTUI_RUN_DIR", "/somewhere")
    monkeypatch.setattr(wake, "start_detached", lambda argv, **rest: found.update(rest["env"]) or os.getpid())
    wake.ensure_supervisor(tmp_path)
    assert not {"DDPTUI_RUN_ID", "DDPTUI_RUN_DIR"} & set(found)
    assert found["PYTHONSAFEPATH"] == "1"


def test_a_results_folder_that_was_deleted_does_not_rise_again(tmp_path):
    with pytest.raises(DdptuiError, match=r"gone was deleted: nothing can go on there"):
        wake.ensure_supervisor(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_the_results_folder_of_a_run_is_known_from_its_path(tmp_path):
    assert wake.results_of(ResultsPaths(tmp_path).run("exp", "a").root) == tmp_path.resolve()
