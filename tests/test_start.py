from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from node_jobs import until

from ddptui.start import is_peer_error

PARENT = "import subprocess, sys, time; child = subprocess.Popen(sys.argv[1:]); time.sleep(600)"
PYTHON = [sys.executable, "-m", "ddptui.start"]


def run(folder: Path, source: str, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "module.py").write_text(source)
    return subprocess.run(
        [*PYTHON, "-m", "module", "one", "two"],
        env={**{name: value for name, value in os.environ.items() if name != "MKL_NUM_THREADS"}, **env}
        | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_rank_becomes_the_module_with_its_arguments(tmp_path: Path) -> None:
    done = run(tmp_path, "import os, sys; print(__name__, sys.argv[1:], oct(os.umask(0)))\nsys.exit(7)")
    assert done.stdout == "__main__ ['one', 'two'] 0o77\n"
    assert done.returncode == 7


def test_a_rank_writes_its_output_into_files_of_its_own_below_python_too(tmp_path: Path) -> None:
    files = {"out": str(tmp_path / "logs" / "r.out"), "err": str(tmp_path / "logs" / "r.err")}
    done = run(
        tmp_path,
        "import os, sys; os.write(1, b'low\\n'); print('high', flush=True); os.system('echo child >&2')",
        DDPTUI_RANK_FILES=json.dumps({"1": files}),
        LOCAL_RANK="1",
    )
    assert done.stdout == done.stderr == ""
    assert Path(files["out"]).read_text() == "low\nhigh\n"
    assert Path(files["err"]).read_text() == "child\n"


def test_a_rank_without_files_of_its_own_keeps_the_terminal(tmp_path: Path) -> None:
    assert run(tmp_path, "print('here')", DDPTUI_RANK_FILES='{"0": {}}').stdout == "here\n"
    assert run(tmp_path, "print('here')", DDPTUI_RANK_FILES="not json").stdout == "here\n"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_a_rank_takes_its_cores_and_ignores_those_that_do_not_exist(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    source = "import os; print(sorted(os.sched_getaffinity(0)))"
    assert run(tmp_path, source, DDPTUI_CORES=json.dumps({"0": [core, 99999]})).stdout == f"[{core}]\n"
    everything = f"{sorted(os.sched_getaffinity(0))}\n"
    assert run(tmp_path, source, DDPTUI_CORES='{"0": [99999]}').stdout == everything
    assert run(tmp_path, source, DDPTUI_CORES='{"1": [0]}').stdout == everything


def test_threads_are_set_before_the_module_unless_the_user_has_set_them(tmp_path: Path) -> None:
    source = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])"
    assert run(tmp_path, source, DDPTUI_THREADS="3", OMP_NUM_THREADS="2").stdout == "2 3\n"


def test_an_error_that_leaves_the_module_is_written_down_once(tmp_path: Path) -> None:
    path = tmp_path / "errors" / "rank0.json"
    files = json.dumps({"0": {"error": str(path)}})
    done = run(tmp_path, "raise KeyError('momentum')", DDPTUI_RANK_FILES=files)
    assert done.returncode == 1
    assert "KeyError: 'momentum'" in done.stderr
    record = json.loads(path.read_text())
    assert (record["type"], record["message"], record["line"]) == ("KeyError", "'momentum'", 1)
    assert record["is_peer_error"] is False
    run(tmp_path, "raise ValueError('later')", DDPTUI_RANK_FILES=files)
    assert json.loads(path.read_text()) == record


def test_complaints_about_peers_are_told_from_errors_of_ones_own() -> None:
    assert is_peer_error(RuntimeError("[/pytorch/third_party/gloo/...:525] Connection closed by peer [127.0.0.1]:19"))
    assert is_peer_error(RuntimeError("Timed out waiting 8000ms for recv operation to complete"))
    assert not is_peer_error(ValueError("expected 10 classes"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_a_rank_that_is_asked_to_leave_before_its_module_listens_has_stopped_and_not_failed(
    tmp_path: Path, number: int
) -> None:
    (tmp_path / "module.py").write_text("import time; print('up', flush=True); time.sleep(600)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([*PYTHON, "-m", "module"], env=environment, stdout=subprocess.PIPE) as rank:
        assert rank.stdout is not None
        assert rank.stdout.readline() == b"up\n"
        rank.send_signal(number)
        assert rank.wait(timeout=60) == 75


HELD = """
import os, signal, subprocess, sys
from ddptui import start
from ddptui.lines import LineWriter
start._record_ranks(LineWriter(sys.argv[1], rank=None, attempt=0))
rank = subprocess.Popen(sys.argv[2:], env={**os.environ, "RANK": "0", "LOCAL_RANK": "0"})
rank.send_signal(signal.SIGUSR2)  # before its interpreter has begun
assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
sys.exit(abs(rank.wait()))
"""


def test_a_request_to_a_rank_that_is_just_born_waits_until_it_can_act_on_it(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("print('here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    arguments = [sys.executable, "-c", HELD, str(tmp_path / "ranks.jsonl"), *PYTHON, "-m", "module"]
    assert subprocess.run(arguments, env=environment, check=False, timeout=60).returncode == 75


def test_a_rank_dies_with_its_agent(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import time; print('up', flush=True); time.sleep(600)")
    agent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *PYTHON, "-m", "module"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    with agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"up\n"
        (rank,) = psutil.Process(agent.pid).children()
        agent.kill()
        _, alive = psutil.wait_procs([rank], timeout=10)
        assert alive == []


def test_a_rank_whose_agent_is_gone_already_does_not_begin(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = run(tmp_path, "print('here')", DDPTUI_AGENT_PID=str(gone.pid))
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == ""


def test_a_wrapper_between_agent_and_rank_does_not_hide_the_death_of_the_agent(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import time; print('up', flush=True); time.sleep(600)")
    agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    log = tmp_path / "log"
    with log.open("wb") as file:
        rank = subprocess.Popen(
            [*PYTHON, "-m", "module"],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "DDPTUI_AGENT_PID": str(agent.pid)},
            stdout=file,
        )
    until(lambda: log.read_text() == "up\n")
    agent.kill()
    agent.wait()
    assert rank.wait(timeout=10) == -signal.SIGKILL


def test_a_wrong_call_is_one_line() -> None:
    done = subprocess.run([*PYTHON, "train.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ddptui: usage:")
    assert done.stderr.count("\n") == 1
