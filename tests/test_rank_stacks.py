"""Stacks of processes that do not move: by their own handler, and of those that have none or are stopped."""

import os
import signal
import subprocess
import sys

import pytest
from supervised import wait_until

from engine import rank_stacks
from engine.processes import handle_of, is_stopped
from engine.rank_stacks import look_at, take_stacks

ANSWERS = """
import faulthandler, signal, sys, time
faulthandler.register(signal.SIGRTMIN + 3, file=open(sys.argv[1], "a"), all_threads=True)
def stuck_here():
    print("ready", flush=True)
    time.sleep(600)
stuck_here()
"""
DEAF = """
import signal, time
signal.signal(signal.SIGRTMIN + 3, lambda *_: None)
print("ready", flush=True)
time.sleep(600)
"""
PLAIN = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stack signal is Linux's")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a program that says when it is ready; it is ended afterwards."""
    monkeypatch.setattr(rank_stacks, "_find_py_spy", lambda: None)
    started = []

    def run(source):
        path = tmp_path / f"stack{len(started)}.txt"
        process = subprocess.Popen([sys.executable, "-c", source, str(path)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process, path

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def stop(process):
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: look_at(process.pid).state == "stopped")


def test_a_rank_answers_with_this_stack_and_not_with_one_from_before(start, monkeypatch):
    monkeypatch.setattr(rank_stacks, "ANSWER_S", 60.0)  # a busy machine
    process, path = start(ANSWERS)
    path.write_text("an older one\n")
    stack = take_stacks({0: process.pid}, {0: path})[0]
    assert (stack.source, stack.note) == ("faulthandler", "")
    assert "in stuck_here" in stack.text
    assert "older" not in stack.text
    assert process.poll() is None


def test_who_has_no_handler_is_not_signalled_and_who_does_not_answer_is_named(start):
    plain, deaf = start(PLAIN), start(DEAF)
    found = take_stacks({0: plain[0].pid, 1: deaf[0].pid}, {0: plain[1], 1: deaf[1]})
    assert found[0].note == "does not listen to the stack signal (yet); py-spy is not installed"
    assert found[1].note == "did not answer the stack signal within 2 s; py-spy is not installed"
    assert plain[0].poll() is None, "the signal would have ended it"


def test_a_stopped_rank_is_neither_signalled_nor_continued(start):
    process, path = start(ANSWERS)
    stop(process)
    assert take_stacks({0: process.pid}, {0: path})[0].note.startswith("is stopped, so it cannot answer")
    assert look_at(process.pid).state == "stopped"
    assert is_stopped(handle_of(process.pid))
    os.kill(process.pid, signal.SIGCONT)
    wait_until(lambda: look_at(process.pid).state == "sleeping")
    assert not is_stopped(handle_of(process.pid))
    assert path.read_text() == "", "no signal was left waiting for it"


def test_a_process_that_has_ended_is_gone(start):
    process, path = start(PLAIN)
    process.kill()
    wait_until(lambda: look_at(process.pid).state == "zombie")
    assert take_stacks({0: process.pid}, {0: path})[0].note.startswith("its process has ended")
    process.wait()
    assert look_at(process.pid).state == "gone"


@pytest.mark.parametrize(
    ("script", "text", "note"),
    [
        ("echo 'Thread 1 (idle): \"MainThread\"'; echo '    f (a.py:1)'", "f (a.py:1)", "is stopped"),
        ("echo 'Error: Permission Denied' >&2; exit 1", "", "py-spy: Permission Denied"),
        ("exec sleep 60", "", "py-spy did not answer either"),
    ],
)
def test_py_spy_is_asked_where_the_handler_cannot_answer(start, monkeypatch, tmp_path, script, text, note):
    program = tmp_path / "py-spy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(rank_stacks, "_find_py_spy", lambda: str(program))
    monkeypatch.setattr(rank_stacks, "PY_SPY_S", 2.0 if "sleep" in script else 60.0)
    process, path = start(ANSWERS)
    stop(process)
    stack = take_stacks({0: process.pid}, {0: path})[0]
    assert text in stack.text
    assert bool(stack.text) == bool(text)
    assert note in stack.note
