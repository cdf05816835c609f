"""A rank that becomes a user's own program, in processes of its own; no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run(folder: Path, source: str, *arguments: str, name: str = "train.py", **env: str) -> tuple[Any, list[Any]]:
    """Run a program as a rank; return how it ended and what is in its lines."""
    (folder / name).write_text(source)
    files = {key: str(folder / "files" / key) for key in ("lines", "events", "error")}
    done = subprocess.run(
        [sys.executable, "-m", "ddptui.start", "--script", str(folder / name), *arguments],
        env={**os.environ, "PYTHONSAFEPATH": "1", "DDPTUI_RANK_FILES": json.dumps({"0": files}), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
    )
    lines = folder / "files" / "lines"
    return done, [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []


def test_a_program_sees_its_own_modules_first_and_is_what_python_would_make_of_it(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("NAME = 'theirs'\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("import utils\n")
    (tmp_path / "utils.py").write_text("")
    source = """
import atexit, engine, json, models, os, pickle, subprocess, sys
class Thing: pass
assert pickle.loads(pickle.dumps(Thing())).__class__ is Thing
child = subprocess.run([sys.executable, "-c", "import engine; print(engine.NAME)"], capture_output=True, text=True)
atexit.register(lambda: print("at the end", Thing.__name__))
open("made", "w").close()
print(json.dumps([engine.NAME, __name__, __spec__, sys.argv[1:], sys.path[0], child.stdout.strip()]))
print(oct(os.stat("made").st_mode & 0o777))
"""
    done, lines = run(tmp_path, source, "--a", "b c")
    first, mode, last = done.stdout.splitlines()
    assert json.loads(first) == ["theirs", "__main__", None, ["--a", "b c"], str(tmp_path), "theirs"]
    assert (mode, last, lines) == ("0o644", "at the end Thing", [])


def test_an_error_is_shown_with_the_programs_own_lines_only_and_written_down(tmp_path: Path) -> None:
    done, _ = run(tmp_path, "def f():\n    raise ValueError('no such layer')\nf()\n")
    assert done.returncode == 1
    assert "ddptui" not in done.stderr
    assert done.stderr.splitlines()[1].endswith('train.py", line 3, in <module>')
    error = json.loads((tmp_path / "files" / "error").read_text())
    assert (error["type"], error["message"], error["line"]) == ("ValueError", "no such layer", 2)


def test_a_program_that_cannot_be_compiled_says_where(tmp_path: Path) -> None:
    done, _ = run(tmp_path, "a = 1\nb = = 2\n")
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert "script.py" not in done.stderr


def test_the_exit_code_is_the_programs_own(tmp_path: Path) -> None:
    assert run(tmp_path, "import sys; sys.exit(7)")[0].returncode == 7
    assert run(tmp_path, "import sys; sys.exit(0)")[0].returncode == 0


def test_threads_and_forked_children_lose_no_sample_and_odd_values_do_no_harm(tmp_path: Path) -> None:
    source = """
import os, threading, ddptui
class Scalar:
    def __init__(self, value): self.value = value
    def item(self): return self.value
class Broken:
    def item(self): raise RuntimeError("no value")
def speak():
    for _ in range(500): ddptui.log(samples=Scalar(2), loss=Scalar(0.5))
threads = [threading.Thread(target=speak) for _ in range(4)]
for thread in threads: thread.start()
child = os.fork()
if child == 0:
    ddptui.log(of_child=1.0)
    os._exit(0)
os.waitpid(child, 0)
for thread in threads: thread.join()
ddptui.log(loss=Broken(), other="text", nothing=None)
ddptui.log({"train/x": 3}, samples=1)
ddptui.log(5) if False else None
"""
    done, lines = run(tmp_path, source, RANK="0", WORLD_SIZE="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(line.get("samples", 0) for line in lines if line["kind"] == "step") == 4001
    assert any(line.get("of_child") == 1.0 for line in lines)
    assert any(line.get("train/x") == 3 for line in lines)
    assert lines[-1]["kind"] == "run_stop"
    assert len(lines) < 400


def test_a_program_that_fails_keeps_what_it_said_but_does_not_say_that_it_ended(tmp_path: Path) -> None:
    source = "import ddptui\nfor _ in range(300): ddptui.log(samples=1)\nraise KeyError('x')\n"
    done, lines = run(tmp_path, source)
    assert done.returncode == 1
    assert sum(line.get("samples", 0) for line in lines) == 300
    assert not any(line["kind"] == "run_stop" for line in lines)


def test_outside_a_run_and_on_a_full_disk_nothing_happens(tmp_path: Path) -> None:
    source = "import ddptui\nfor _ in range(9): ddptui.log(samples=1, loss=2.0)\nprint('done')\n"
    (tmp_path / "train.py").write_text(source)
    alone = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (alone.stdout, alone.stderr) == ("done\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]
    files = json.dumps({"0": {"lines": "/dev/full"}})
    full, _ = run(tmp_path, source, DDPTUI_RANK_FILES=files)
    assert (full.returncode, full.stdout, full.stderr) == (0, "done\n", "")


def test_the_package_loads_nothing_but_the_standard_library() -> None:
    source = "import sys; before = set(sys.modules); import ddptui; print(sorted(set(sys.modules) - before))"
    names = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in json.loads(names.replace("'", '"'))}
    assert loaded <= set(sys.stdlib_module_names) | {"ddptui"}


@pytest.mark.parametrize("spelling", ["--local_rank", "--local-rank", "--local-rank', '--local_rank"])
def test_a_program_gets_the_local_rank_as_it_spells_it(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "train.py"
    source = f"import argparse\np = argparse.ArgumentParser()\np.add_argument('{spelling}', type=int)\n"
    path.write_text(source + "p.add_argument('--lr')\nprint(vars(p.parse_args()))\n")
    argv = [sys.executable, "-m", "ddptui.start", "--local-rank=3", "--script", str(path), "--lr", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "{'local_rank': 3, 'lr': '1'}\n"
