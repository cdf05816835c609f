from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from screen_driver import FakeFeed, screen_text

from engine.core.errors import DdptuiError, InputError
from engine.core.plan import Plan
from engine.store import ResultsPaths
from tui.app import DdptuiApp
from tui.check import CheckResult, Estimate
from tui.keys import Mode
from tui.modals.launch import LaunchModal
from tui.plan_command import describe_cost
from tui.run_names import NamedRun
from tui.start_runs import LaunchRequest, Started, begin
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import Snapshot

FILE = """\
[defaults]
model = "lenet5"
dataset = "digits"
global_batch_size = 64
epochs = 2
optimizer = { name = "sgd", lr = 0.05 }

[[experiment]]
name = "first"
repeats = 2
[experiment.matrix]
strategy = ["single", "ddp"]
world_size = [1, 2]
"""


class Machine:
    """What checks and starts in the tests, and what it was told."""

    def __init__(self) -> None:
        self.may_check = threading.Event()
        self.may_check.set()
        self.problem: DdptuiError | None = None
        self.refusal: DdptuiError | None = None
        self.checked: list[list[str]] = []
        self.started: list[tuple[list[str], str]] = []

    def check_runs(self, specs: Any) -> CheckResult:
        assert self.may_check.wait(30)
        self.checked.append([spec.id for spec in specs])
        if self.problem is not None:
            raise self.problem
        facts = {"num_steps": 10, "step_s": 1.0, "check_s": 1.0, "num_parameters": 1000}
        return CheckResult(points={spec.point: facts for spec in specs}, interpreters={"python": {"torch": "2.99"}})

    def begin(self, plan: Plan, results: ResultsPaths, *, rerun: str, check: CheckResult, tell: Any) -> Started:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(([spec.id for spec in plan.runs], rerun))
        taken = [NamedRun(spec.experiment, results.run(spec.experiment, spec.id)) for spec in plan.runs]
        return Started(check=check, taken=taken, num_skipped=1)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("tui.modals.launch.check_runs", machine.check_runs)
    monkeypatch.setattr("tui.modals.launch.begin", machine.begin)
    return machine


class Question:
    """The launch question over an app under test."""

    def __init__(self, app: DdptuiApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot
        self.answers: list[bool | None] = []

    def ask(self, request: LaunchRequest, snapshot: Snapshot) -> None:
        self.app.push_screen(LaunchModal(request, snapshot), self.answers.append)

    async def sees(self, *words: str) -> None:
        await self.until(lambda: all(word in screen_text(self.app) for word in words), str(words))

    async def until(self, is_so: Callable[[], bool], what: str = "") -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline, f"waiting for {what}\n{screen_text(self.app)}"
            await self.pilot.pause(0.02)


def drive(
    session: Session,
    feed: FakeFeed,
    work: Callable[[Question], Awaitable[None]],
    *,
    text: str | None = FILE,
    snapshot: Snapshot | None = None,
    size: tuple[int, int] = (120, 40),
) -> None:
    async def run() -> None:
        app = DdptuiApp(feed, session, mode=Mode.PLAN)  # type: ignore[arg-type]
        async with app.run_test(size=size, notifications=True) as pilot:
            question = Question(app, pilot)
            request = LaunchRequest(file="experiments.toml", results=ResultsPaths(Path(session.results)), text=text)
            question.ask(request, snapshot or Snapshot(revision=1, read_s=1.0))
            await pilot.pause()
            await work(question)

    asyncio.run(run())


def _row(run_id: str, state: str) -> RunRow:
    unknown = dict.fromkeys(
        ("point", "repeat", "attempt", "strategy", "world_size", "num_devices", "progress", "epoch", "num_epochs",
         "step", "num_steps", "loss", "samples_per_s", "test_accuracy", "elapsed_s", "eta_s", "queued_s", "started_s",
         "ended_s")
    )  # fmt: skip
    return RunRow(experiment="first", id=run_id, state=state, reason="", folder="", **unknown)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_what_will_start_is_said_and_enter_starts_it(
    session: Session, feed: FakeFeed, machine: Machine, size: tuple[int, int]
) -> None:
    async def work(question: Question) -> None:
        await question.sees("Launch experiments.toml", "first", "6 runs: 6 new", "begins at once", "torch 2.99")
        await question.sees("start 6 runs", "about 1:12")
        await question.pilot.press("enter")
        await question.until(lambda: question.answers == [True])
        await question.sees("6 runs queued; 1 run skipped")
        assert machine.started == [(machine.checked[0], "missing")]
        assert feed.num_looks == 1

    drive(session, feed, work, size=size)


def test_smoke_and_rerun_change_what_starts(session: Session, feed: FakeFeed, machine: Machine) -> None:
    async def work(question: Question) -> None:
        await question.sees("start 6 runs")
        await question.pilot.press("s", "r", "r")
        await question.sees("first-smoke", "3 runs: 3 new", "all", "start 3 runs")
        await question.pilot.press("enter")
        await question.until(lambda: bool(machine.started))
        assert machine.started[0][1] == "all"
        assert len(machine.started[0][0]) == 3

    drive(session, feed, work)


def test_runs_that_succeeded_are_skipped_and_others_ahead_are_counted(
    session: Session, feed: FakeFeed, machine: Machine
) -> None:
    async def plan_ids() -> list[str]:
        from tui.prepare import plan_text

        return [spec.id for spec in plan_text(FILE, "experiments.toml").runs]

    ids = asyncio.run(plan_ids())
    states = ["succeeded", "failed", "running", "succeeded"]
    rows = tuple(_row(run_id, state) for run_id, state in zip(ids, states, strict=False))
    snapshot = Snapshot(revision=1, read_s=1.0, rows=rows, queue=("other/run",), is_held=True)

    async def work(question: Question) -> None:
        await question.sees("2 new, 1 again, 1 queued or running already, 2 skipped", "start 3 runs")
        await question.sees("behind 1 running and 1 waiting", "the queue is held")
        await question.pilot.press("r")
        await question.sees("1 again", "start 1 run")

    drive(session, feed, work, snapshot=snapshot)


def test_enter_before_the_check_is_through_starts_when_it_is(
    session: Session, feed: FakeFeed, machine: Machine
) -> None:
    machine.may_check.clear()

    async def work(question: Question) -> None:
        await question.sees("checking that these runs can train here", "when the check is through")
        await question.pilot.press("enter")
        await question.sees("they start as soon as the check is through")
        assert machine.started == []
        machine.may_check.set()
        await question.until(lambda: question.answers == [True])
        assert len(machine.started) == 1

    drive(session, feed, work)


def test_escape_starts_nothing_even_when_the_check_ends_later(
    session: Session, feed: FakeFeed, machine: Machine
) -> None:
    machine.may_check.clear()

    async def work(question: Question) -> None:
        await question.sees("checking that these runs can train here")
        await question.pilot.press("enter", "escape")
        await question.until(lambda: question.answers == [None])
        machine.may_check.set()
        await question.until(lambda: bool(machine.checked))
        await question.pilot.pause(0.1)
        assert machine.started == []

    drive(session, feed, work)


def test_what_cannot_train_here_cannot_be_started(session: Session, feed: FakeFeed, machine: Machine) -> None:
    machine.problem = InputError("torch is not installed for python3")

    async def work(question: Question) -> None:
        await question.sees("torch is not installed for python3", "nothing can start like this", "esc starts nothing")
        assert "enter starts" not in screen_text(question.pilot.app)
        await question.pilot.press("enter")
        await question.pilot.pause(0.1)
        assert machine.started == []
        assert question.answers == []

    drive(session, feed, work)


def test_a_file_with_errors_says_them_all(session: Session, feed: FakeFeed, machine: Machine) -> None:
    async def work(question: Question) -> None:
        await question.sees("line 5: ", "line 12: ")
        await question.pilot.press("enter")
        assert machine.checked == []

    drive(session, feed, work, text=FILE.replace("epochs = 2", "epochs = 0").replace('"ddp"', '"dpp"'))


def test_a_supervisor_that_refuses_leaves_the_question_open(session: Session, feed: FakeFeed, machine: Machine) -> None:
    machine.refusal = DdptuiError("first: the supervisor is leaving")

    async def work(question: Question) -> None:
        await question.sees("start 6 runs")
        await question.pilot.press("enter")
        await question.sees("the supervisor is leaving", "start 6 runs")
        assert question.answers == []

    drive(session, feed, work)


def test_begin_tells_everything_and_queues_what_the_supervisor_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui.prepare import plan_text

    def enqueue(supervisor: Any, experiment: str, plan: Any, runs: Any, rerun: str) -> dict[str, Any]:
        assert rerun == "failed"
        return {"queued": [runs[0].id], "skipped": [spec.id for spec in runs[1:]]}

    monkeypatch.setattr("tui.start_runs.Supervisor.enqueue", enqueue)
    monkeypatch.setattr("tui.start_runs.check_runs", Machine().check_runs)
    plan, told = plan_text(FILE, str(tmp_path / "experiments.toml")), []
    started = begin(plan, ResultsPaths(tmp_path / "results"), rerun="failed", tell=told.append)
    assert started.line() == "1 run queued; 5 runs skipped"
    assert [run.tag for run in started.taken] == [f"first/{plan.runs[0].id}"]
    assert told[1] == "checking that these runs can train here"
    assert "have not failed: skipped" in told[2]
    assert told[3].startswith("1 run, expected: about 12s")


def test_what_is_expected_of_some_runs_is_said_though_nothing_is_known_of_others() -> None:
    known, unknown = (
        Estimate(num_steps=9, time_s=36.0, disk_bytes=2048),
        Estimate(num_steps=None, time_s=None, disk_bytes=None),
    )
    assert describe_cost([known, known]) == "about 1:12, 4.0 KiB on disk"
    assert describe_cost([known, unknown]) == "about 36s, 2.0 KiB on disk, and 1 run of which it is not known"
    assert describe_cost([unknown]) == "n/a"
