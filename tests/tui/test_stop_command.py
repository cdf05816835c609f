"""``ddptui stop`` waits for the end, and believes it when no process is left; with fake node runners."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from supervised import EXPERIMENT, cleaned_up, make_plan, make_spec, state_of, wait_for_state, wait_until

from engine import control, wake
from engine.core.commands import Reply
from engine.core.errors import DdptuiError
from engine.processes import end_tree, find_tagged, handle_of, run_marks, start_detached
from engine.store import ResultsPaths, write_json
from tui import stop_command
from tui.stop_command import stop_runs

TESTS = Path(__file__).parent.parent

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(wake, "SUPERVISOR_MODULE", "fake_supervisor")
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    with cleaned_up(tmp_path / "results") as folder:
        yield folder


def enqueue(root: Path, *names: str, **orders: str) -> None:
    specs = [make_spec(name, **orders) for name in names]
    control.enqueue(root, experiment=EXPERIMENT, plan=make_plan(specs), runs=specs)
    wait_for_state(root, names[0], "running")


def living(root: Path, name: str) -> int:
    return len(find_tagged(run_marks(ResultsPaths(root).run(EXPERIMENT, name), EXPERIMENT)))


def test_runs_that_go_on_and_that_wait_are_seen_to_their_end_also_without_their_supervisor(
    root: Path, capsys: Capture
) -> None:
    enqueue(root, "a", "b", s="600")
    holder = control.supervisor_handle(root)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    wait_until(lambda: control.is_supervisor_alive(root) is False)
    assert stop_runs(ResultsPaths(root), ["a", "b"], every=False) == 0
    assert (state_of(root, "a"), state_of(root, "b"), living(root, "a")) == ("stopped", "stopped", 0)
    said = sorted(capsys.readouterr().out.splitlines())
    assert [line.split(" after ")[0] for line in said] == ["exp/a: stopped", "exp/b: stopped"]
    assert all(line.endswith("s, nothing of it is left") for line in said)

    assert stop_runs(ResultsPaths(root), ["a"], every=False) == 0
    captured = capsys.readouterr()
    assert captured.out == "exp/a: had ended before: stopped, nothing of it is left\n"
    assert captured.err == "nothing to stop\n"


def test_ctrl_c_ends_the_waiting_and_the_order_stands(root: Path, capsys: Capture) -> None:
    enqueue(root, "a", s="600", deaf="1")

    def interrupt(_seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    assert stop_runs(ResultsPaths(root), ["a"], every=False, sleep=interrupt) == 130
    assert "the order stands, these runs end by themselves: exp/a" in capsys.readouterr().err
    assert living(root, "a") == 1
    assert control.stop(root, [(EXPERIMENT, "a")], grace_s=0).ok  # it need not take the whole grace here
    wait_for_state(root, "a", "stopped")


def test_without_waiting_it_returns_when_the_order_was_taken(root: Path, capsys: Capture) -> None:
    enqueue(root, "a", s="600", deaf="1")
    assert stop_runs(ResultsPaths(root), [], every=True, is_waiting=False) == 0
    assert capsys.readouterr().out == "exp/a\n"
    assert (state_of(root, "a"), living(root, "a")) == ("stopping", 1)


@pytest.fixture
def tagged(root: Path) -> Iterator[Callable[..., int]]:
    """Start a process that carries the name of the run."""
    paths = ResultsPaths(root).run(EXPERIMENT, "a")

    def start(**more: str) -> int:
        env = {**os.environ, **run_marks(paths, EXPERIMENT, 0), **more}
        code = "import time; time.sleep(600)"
        pid = start_detached([sys.executable, "-S", "-c", code], env=env, cwd=root.parent, log=root.parent / "log")
        assert handle_of(pid)
        return pid

    yield start
    end_tree(run_marks(paths, EXPERIMENT), grace_s=0)


def test_what_lives_is_named_whatever_the_files_say(
    root: Path, tagged: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    paths = ResultsPaths(root).run(EXPERIMENT, "a")
    write_json(paths.run, {"id": "a", "config": {}})
    write_json(paths.status, {"state": "succeeded", "attempt": 1})
    pid = tagged(DDPTUI_ATTEMPT="1", RANK="3")
    monkeypatch.setattr(stop_command, "SETTLE_S", 0.0)
    for names in (["a"], []):
        assert stop_runs(ResultsPaths(root), names, every=not names) == 1
        said = capsys.readouterr().out
        assert said.startswith(f"exp/a: had ended before: succeeded; still alive: pid {pid} (rank 3, ")
        assert "`ddptui clean`" in said

    # The supervisor takes the order, and nothing comes of it.
    write_json(paths.status, {"state": "running", "attempt": 1, "updated_s": time.time() + 1e6})
    monkeypatch.setattr(stop_command.control, "stop", lambda *_: Reply(ok=True, message="stop: 1 stopping"))
    monkeypatch.setattr(stop_command.control, "ensure_supervisor", lambda _: False)
    monkeypatch.setattr(stop_command, "LIMIT_S", 0.0)
    assert stop_runs(ResultsPaths(root), ["a"], every=False) == 1
    assert f"still alive: pid {pid} (rank 3, " in capsys.readouterr().out


def test_a_refused_order_is_an_error_and_a_run_that_nobody_knows_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    write_json(ResultsPaths(root).run(EXPERIMENT, "a").run, {"id": "a", "config": {}})
    unknown = Reply(ok=False, message="stop: 1 unknown", data={"unknown": [[EXPERIMENT, "a"]]})
    monkeypatch.setattr(stop_command.control, "stop", lambda *_: unknown)
    assert stop_runs(ResultsPaths(root), ["a"], every=False) == 1
    assert "exp/a was never queued" in capsys.readouterr().err
    monkeypatch.setattr(stop_command.control, "stop", lambda *_: Reply(ok=False, message="nothing was changed: why"))
    with pytest.raises(DdptuiError, match="nothing was changed: why"):
        stop_runs(ResultsPaths(root), ["a"], every=False)
