"""The real program in a real pseudo-terminal: what it leaves behind, what it survives, and which colours it uses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import psutil
import pytest
from made_results import MadeResults

from benchmarks.pty_screen import PtyScreen
from engine.processes import handle_of

RGB = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")
FROM_256 = re.compile(rb"[34]8;5;\d+")


@pytest.fixture
def folder(results: MadeResults) -> MadeResults:
    """Two ended runs and one that waits."""
    results.run("single-w1-r0-aaaaaa", strategy="single").begin().steps(20).end()
    results.run("ddp-w2-r0-bbbbbb", world_size=2).begin().steps(10).end("failed", "rank 1: broke")
    results.run("ddp-w4-r0-cccccc", world_size=4)
    return results


class Screens:
    """Starts screens and ends those that are left."""

    def __init__(self, folder: MadeResults) -> None:
        self._folder = folder
        self._open: list[PtyScreen] = []

    def open(
        self, *words: str, env: Mapping[str, str | None] | None = None, columns: int = 120, rows: int = 40
    ) -> PtyScreen:
        root = self._folder.root
        argv = [sys.executable, "-m", "tui.cli", *words, "--results", str(root)]
        quiet = {"XDG_CACHE_HOME": str(root.parent / "cache"), "SSH_CONNECTION": None, "NO_COLOR": None}
        screen = PtyScreen(argv, columns=columns, rows=rows, env={**quiet, **(env or {})})
        self._open.append(screen)
        return screen

    def close(self) -> None:
        for screen in self._open:
            screen.kill()


@pytest.fixture
def screens(folder: MadeResults) -> Iterator[Screens]:
    found = Screens(folder)
    yield found
    found.close()


def painted(screen: PtyScreen, words: str = "ddp-w2-r0") -> None:
    assert screen.read_until(words, 60) is not None, screen.text_bytes()[-2000:]


def left(screen: PtyScreen) -> int:
    status = screen.wait(30)
    assert status is not None, "it has not ended"
    return os.waitstatus_to_exitcode(status)


def test_it_paints_its_runs_and_q_leaves_the_terminal_as_it_was(screens: Screens) -> None:
    screen = screens.open()
    painted(screen)
    begin = len(screen.written)
    screen.type("q")
    assert left(screen) == 0
    end = bytes(screen.written[begin:])
    for mode in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[?2004l"):
        assert mode in end
    assert b"Traceback" not in screen.written


def test_without_the_mouse_it_does_not_ask_for_it(screens: Screens) -> None:
    screen = screens.open("--no-mouse")
    painted(screen)
    assert b"\x1b[?1003h" not in screen.written


def test_when_nothing_goes_on_it_writes_nothing(screens: Screens) -> None:
    screen = screens.open()
    painted(screen)
    screen.read(4.0)
    assert screen.read(3.0) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(number: signal.Signals, screens: Screens) -> None:
    screen = screens.open()
    painted(screen)
    os.kill(screen.pid, number)
    assert left(screen) == 0
    assert b"\x1b[?1049l" in screen.written


def test_a_closed_terminal_ends_the_screen_and_leaves_the_run_alive(screens: Screens, folder: MadeResults) -> None:
    trainer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], start_new_session=True)
    try:
        run = folder.run("ddp-w8-r0-dddddd", world_size=8).begin().steps(4)
        handle = handle_of(trainer.pid)
        assert handle is not None
        run.status("running", handle=handle.to_json(), updated_s=time.time() + 1000)
        screen = screens.open()
        painted(screen, "ddp-w8-r0")
        screen.hang_up()
        assert screen.wait(20) is not None
        assert trainer.poll() is None
        assert psutil.Process(trainer.pid).status() != psutil.STATUS_STOPPED
    finally:
        trainer.kill()
        trainer.wait()


def test_a_terminal_that_vanishes_without_a_signal_ends_the_screen(folder: MadeResults) -> None:
    master, slave = os.openpty()  # of another session: nobody sends SIGHUP
    argv = [sys.executable, "-m", "tui.cli", "--results", str(folder.root)]
    environment = {**os.environ, "TERM": "xterm-256color", "XDG_CACHE_HOME": str(folder.root.parent / "cache")}
    screen = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    try:
        seen = b""
        while b"ddp-w2-r0" not in seen:
            seen += os.read(master, 65536)
        os.close(master)
        assert screen.wait(20) is not None
    finally:
        screen.kill()
        screen.wait()


def test_without_true_colour_it_takes_the_nearest_of_256(screens: Screens) -> None:
    screen = screens.open(env={"COLORTERM": None})
    painted(screen)
    assert FROM_256.search(screen.written)
    assert not RGB.search(screen.written)


@pytest.mark.parametrize("term", ["linux", "xterm-16color"])
def test_a_terminal_of_16_colours_gets_only_those(term: str, screens: Screens) -> None:
    screen = screens.open(env={"COLORTERM": None, "TERM": term})
    painted(screen)
    assert not RGB.search(screen.written)
    assert not FROM_256.search(screen.written)


def test_on_the_linux_console_every_character_is_plain(screens: Screens) -> None:
    screen = screens.open(env={"COLORTERM": None, "TERM": "linux"})
    painted(screen)
    screen.type("2")
    screen.read(1.5)
    shown = screen.text_bytes().decode("utf-8", "replace")
    assert not [character for character in shown if "⠀" <= character <= "⣿"], "braille"


def test_no_color_leaves_shades_of_grey(screens: Screens) -> None:
    screen = screens.open(env={"NO_COLOR": "1"})
    painted(screen)
    found = {match.groups() for match in RGB.finditer(screen.written)}
    assert all(red == green == blue for red, green, blue in found)


def test_no_color_with_the_terminals_own_colours_leaves_them_alone(screens: Screens) -> None:
    screen = screens.open("--theme", "ansi-dark", env={"NO_COLOR": "1", "COLORTERM": None})
    painted(screen)
    assert not RGB.search(screen.written)
    assert not FROM_256.search(screen.written)


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_gets_one_line(term: str, screens: Screens) -> None:
    screen = screens.open(env={"TERM": term})
    assert left(screen) == 2
    said = screen.text_bytes().decode().strip().splitlines()
    assert len(said) == 1
    assert "ls --watch" in said[0]


def test_without_a_terminal_it_says_what_to_use(folder: MadeResults) -> None:
    argv = [sys.executable, "-m", "tui.cli", "--results", str(folder.root)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "ls --watch" in done.stderr


def test_it_survives_a_storm_of_sizes(screens: Screens) -> None:
    screen = screens.open()
    painted(screen)
    for columns, rows in ((20, 5), (1, 1), (300, 90), (80, 24), (5, 60), (200, 2), (120, 40)) * 3:
        screen.resize(columns, rows)
        screen.read(0.05)
    screen.read(1.0)
    screen.type("q")
    assert left(screen) == 0
    assert b"Traceback" not in screen.written


def test_it_opens_in_twenty_columns_and_five_rows_and_every_mode_with_it(screens: Screens) -> None:
    screen = screens.open(columns=20, rows=5)
    assert screen.read_until("q quit", 60) is not None
    for digit in "234561":
        screen.type(digit)
        screen.read(0.4)
    screen.type("q")
    assert left(screen) == 0
    assert b"Traceback" not in screen.written


def test_a_folder_that_vanishes_is_said_and_the_screen_goes_on(screens: Screens, folder: MadeResults) -> None:
    screen = screens.open()
    painted(screen)
    folder.root.rename(folder.root.with_name("elsewhere"))
    assert screen.read_until("gone", 30) is not None
    screen.type("q")
    assert left(screen) == 0


def test_the_results_folder_may_be_read_only(screens: Screens, folder: MadeResults) -> None:
    for path in [folder.root, *folder.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        screen = screens.open("--readonly")
        painted(screen)
        assert screen.read_until("read only", 10) is not None
        screen.type("q")
        assert left(screen) == 0
    finally:
        for path in [folder.root, *folder.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
