"""The console script in a process of its own: what it loads, what it writes where, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.store import RunPaths

MakeRun = Callable[..., RunPaths]

HEAVY = {"torch", "torchvision", "pandas", "numpy", "matplotlib", "textual", "plotext", "tree_sitter"}

LOADED = """\
import json, sys
sys.argv = ["ddptui", *json.loads(sys.argv[1])]
from tui.cli import main
try:
    main()
finally:
    sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})) + "\\n")
"""


def _loaded_by(folder: Path, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(arguments)], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [(), ("--help",), ("run", "--help"), ("ls",), ("ls", "--json")])
def test_help_and_ls_load_nothing_heavy(arguments: tuple[str, ...], tmp_path: Path, make_run: MakeRun) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    assert _loaded_by(tmp_path, *arguments).isdisjoint(HEAVY | {"rich", "psutil", "msgspec"})


@pytest.mark.parametrize("arguments", [("show", "ddp"), ("logs", "ddp"), ("ls", "models"), ("schema",)])
def test_no_light_command_loads_torch_or_the_report(
    arguments: tuple[str, ...], tmp_path: Path, make_run: MakeRun
) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    assert _loaded_by(tmp_path, *arguments).isdisjoint(HEAVY - {"tree_sitter"})


def test_planning_loads_no_torch_and_no_report(experiment_file: Path) -> None:
    assert _loaded_by(experiment_file.parent, "validate", experiment_file.name).isdisjoint(HEAVY - {"tree_sitter"})


OPENED = """\
import sys
import tui.open_screen
from tui.cli import main
def show(options, feed):
    import tui.app, tui.screens.runs
    print(options.results.root, sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
    return 0
tui.open_screen._show = show
tui.open_screen.check_terminal = lambda: None
sys.stdout.isatty = lambda: True
sys.exit(main(["--results", "there"]))
"""


def test_the_screen_opens_without_what_only_commands_need(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OPENED], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("there [")
    assert "'textual'" in done.stderr
    for name in ("typer", "pydantic", "tree_sitter", "plotext", "pandas", "numpy", "msgspec", "psutil"):
        assert f"'{name}'" not in done.stderr


def _ddptui(folder: Path, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-m", "tui.cli", *arguments]
    return subprocess.run(script, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def test_the_exit_code_reaches_the_shell_and_results_and_words_go_apart(tmp_path: Path, make_run: MakeRun) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    done = _ddptui(tmp_path, "ls")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ddp-w2-r0-3fa9c1" in done.stdout
    done = _ddptui(tmp_path, "show", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["ls", "logs ddp"])
def test_a_closed_pipe_is_quiet(command: str, tmp_path: Path, make_run: MakeRun) -> None:
    make_run("ddp-w2-r0-3fa9c1", logs={"rank0.out": "line\n" * 100_000})
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m tui.cli {command} | head -c 1; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_a_closed_stdout_is_quiet(tmp_path: Path, make_run: MakeRun) -> None:
    make_run("ddp-w2-r0-3fa9c1")
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m tui.cli ls >&-"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_piped_output_has_no_control_characters(tmp_path: Path, make_run: MakeRun) -> None:
    make_run("ddp-w2-r0-3fa9c1", state="failed", reason="rank 0: \x1b[31mred\x1b[0m")
    for arguments in (("ls",), ("show", "ddp"), ("--help",)):
        out = _ddptui(tmp_path, *arguments).stdout
        assert out
        assert all(character == "\n" or character.isprintable() for character in out)
