from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import termios
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import pytest
from rich.console import Console

from tui.follow_bars import BarsView, live_rows
from tui.follow_view import FollowView, PlainView, make_view
from tui.headless import Followed, Interrupts, follow
from tui.progress_text import describe_overall, expected_rest_s
from tui.run_row import RunReader
from tui.view.run_row import RunRow

QUEUED = RunRow(
    experiment="first", id="rpc_pipeline-w3-r0-3fa9c1", point="rpc_pipeline-w3-3fa9c1", repeat=0, state="queued",
    reason="", attempt=0, strategy="rpc_pipeline", world_size=3, num_devices=2, progress=0.0, epoch=None, num_epochs=10,
    step=None, num_steps=None, loss=None, samples_per_s=None, test_accuracy=None, elapsed_s=None, eta_s=None,
    queued_s=100.0, started_s=None, ended_s=None, folder="results/first/runs/x",
)  # fmt: skip
STARTING = replace(QUEUED, state="starting", attempt=1, started_s=101.0, progress=None)
RUNNING = replace(
    STARTING, state="running", epoch=2, step=119, num_steps=400, progress=0.3, loss=0.12345, samples_per_s=12345.6,
    eta_s=72.0, elapsed_s=30.0,
)  # fmt: skip
LATER = replace(RUNNING, epoch=3, step=160)
DONE = replace(RUNNING, state="succeeded", ended_s=201.0, eta_s=None, progress=1.0, test_accuracy=0.97, step=399)
FAILED = replace(DONE, id="ddp-w2-r0-3fa9c1", state="failed", reason="rank 1: CUDA out of memory")


class FakeReader:
    """Gives the rows one after the other, then the last one for ever."""

    def __init__(self, *rows: RunRow) -> None:
        self._rows = list(rows)

    def read(self) -> RunRow:
        return self._rows.pop(0) if len(self._rows) > 1 else self._rows[0]


class FakeSupervisor:
    def __init__(self, *, is_alive: bool = True) -> None:
        self.is_alive = is_alive
        self.stopped: list[str] = []

    def ensure(self) -> bool:
        was_alive, self.is_alive = self.is_alive, True
        return not was_alive

    def stop(self, tags: Sequence[str]) -> str:
        self.stopped += tags
        return f"{len(tags)} stopping"


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _follow(
    *readers: FakeReader,
    view: FollowView,
    supervisor: FakeSupervisor | None = None,
    may_stop: bool = True,
    on_sleep: Callable[[int], None] = lambda _: None,
) -> Followed:
    time = FakeTime()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        on_sleep(round(time.now / seconds))

    with Interrupts() as interrupts, view:
        return follow(
            cast("Sequence[RunReader]", readers), view, supervisor or FakeSupervisor(), interrupts,
            may_stop=may_stop, clock=time.clock, sleep=sleep,
        )  # fmt: skip


def test_in_a_pipe_each_change_of_state_is_one_plain_line() -> None:
    stream = io.StringIO()
    followed = _follow(FakeReader(QUEUED, STARTING, RUNNING, RUNNING, DONE), view=PlainView(stream))
    assert not followed.is_interrupted
    assert stream.getvalue().splitlines() == [
        "first/rpc_pipeline-w3-r0-3fa9c1: starting",
        "first/rpc_pipeline-w3-r0-3fa9c1: running",
        "first/rpc_pipeline-w3-r0-3fa9c1: epoch 3/10  step 120/400  loss 0.1235  12,346 samples/s  ETA 1:12",
        "first/rpc_pipeline-w3-r0-3fa9c1: succeeded  in 1:40  12,346 samples/s  test accuracy 97.0%  loss 0.1235"
        "  [1/1 runs]",
    ]


def test_in_a_pipe_a_line_comes_at_each_epoch_and_else_every_five_seconds() -> None:
    stream, time = io.StringIO(), FakeTime()
    view = PlainView(stream, clock=time.clock)
    view.show([RUNNING])
    counts = []
    for at_s, row in [(0, RUNNING), (2, replace(RUNNING, step=130)), (3, LATER), (7, LATER), (8, LATER)]:
        time.now = at_s
        view.show([row])
        counts.append(len(stream.getvalue().splitlines()) - 1)
    assert counts == [1, 1, 2, 2, 2]
    time.now = 9.0
    view.show([replace(LATER, step=170)])
    assert stream.getvalue().splitlines()[-1].startswith("first/rpc_pipeline-w3-r0-3fa9c1: epoch 4/10  step 171/400")


def test_a_failed_run_says_why_without_control_characters() -> None:
    stream = io.StringIO()
    evil = replace(FAILED, id=RUNNING.id, reason="rank 1: \x1b[31mboom\x1b[0m\nsecond line")
    _follow(FakeReader(RUNNING, evil), FakeReader(DONE), view=PlainView(stream))
    lines = stream.getvalue().splitlines()
    assert "first/rpc_pipeline-w3-r0-3fa9c1: failed  rank 1: boom second line  [2/2 runs  1 failed]" in lines


def test_the_first_interrupt_stops_the_runs_and_waits_for_their_end() -> None:
    stream, supervisor = io.StringIO(), FakeSupervisor()
    stopped = replace(DONE, state="stopped", reason="stopped by the user")

    def press(num_polls: int) -> None:
        if num_polls == 2:
            os.kill(os.getpid(), signal.SIGINT)

    followed = _follow(
        FakeReader(RUNNING, RUNNING, RUNNING, RUNNING, stopped), FakeReader(DONE),
        view=PlainView(stream), supervisor=supervisor, on_sleep=press,
    )  # fmt: skip
    assert followed.is_interrupted
    assert supervisor.stopped == ["first/rpc_pipeline-w3-r0-3fa9c1"]
    assert "stopping 1 run; Ctrl-C again leaves at once, they are stopped all the same" in stream.getvalue()
    assert followed.rows[0].state == "stopped"


def test_the_second_interrupt_leaves_at_once_and_restores_the_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _follow(
            FakeReader(RUNNING), view=PlainView(io.StringIO()), on_sleep=lambda _: os.kill(os.getpid(), signal.SIGINT)
        )
    assert signal.getsignal(signal.SIGINT) is before


def test_who_only_watches_leaves_without_stopping_anything() -> None:
    supervisor = FakeSupervisor()
    followed = _follow(
        FakeReader(RUNNING), view=PlainView(io.StringIO()), supervisor=supervisor, may_stop=False,
        on_sleep=lambda _: os.kill(os.getpid(), signal.SIGINT),
    )  # fmt: skip
    assert followed.is_interrupted
    assert supervisor.stopped == []


def test_a_dead_supervisor_is_started_again_and_it_is_said() -> None:
    stream, supervisor = io.StringIO(), FakeSupervisor(is_alive=False)
    _follow(FakeReader(*[RUNNING] * 12, DONE), view=PlainView(stream), supervisor=supervisor)
    assert supervisor.is_alive
    assert stream.getvalue().count("the supervisor was gone") == 1


def test_a_pipe_and_a_dumb_terminal_get_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_view(io.StringIO()), PlainView)
    leader, follower = pty.openpty()
    with os.fdopen(leader), os.fdopen(follower, "w") as stream:
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(make_view(stream), PlainView)
        monkeypatch.setenv("TERM", "xterm-256color")
        assert isinstance(make_view(stream), BarsView)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_bars_fit_the_terminal(width: int) -> None:
    console = Console(width=width, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
    rows = [replace(RUNNING, id=f"{RUNNING.id}{number}") for number in range(40)] + [QUEUED]
    lines = console.render_lines(live_rows(rows, console.height), pad=False)
    assert len(lines) == 22
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)


def test_at_80_columns_nothing_of_a_row_is_cut_off() -> None:
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
    (line, overall) = console.render_lines(live_rows([RUNNING, QUEUED], console.height), pad=False)
    text = "".join(segment.text for segment in line)
    assert text.startswith("rpc_pipeline-w3-r0-3fa9c1 ")
    assert text.split()[-7:] == ["epoch", "3/10", "loss", "0.123", "12,346/s", "ETA", "1:12"]
    assert "".join(segment.text for segment in overall).strip() == "0/2 runs  1 queued  1 running"


def test_on_a_terminal_finished_runs_stay_and_the_cursor_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    received = bytearray()

    def drain() -> None:
        while True:
            try:
                received.extend(os.read(leader, 4096))
            except OSError:  # the other end is closed
                return

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(follower, "w") as stream:
        _follow(FakeReader(QUEUED, STARTING, RUNNING, *[LATER] * 50, DONE), FakeReader(FAILED), view=BarsView(stream))
    reader.join(timeout=10)
    os.close(leader)
    text = received.decode()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert len(re.findall("epoch 4/10", text)) == 1, "fifty equal polls are drawn once"
    assert "rank 1: CUDA out of memory" in text
    assert text.count("succeeded") == 1


def test_what_is_left_is_told_only_where_something_tells_it() -> None:
    assert expected_rest_s([RUNNING, QUEUED]) is None
    assert expected_rest_s([DONE]) is None
    assert expected_rest_s([DONE, RUNNING, QUEUED, QUEUED]) == 72.0 + 2 * 100.0
    assert describe_overall([DONE, RUNNING, QUEUED]) == "1/3 runs  1 queued  1 running  about 2:52 left"
