from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_results import MadeResults
from screen_driver import FakeFeed, screen_lines, screen_text

from engine.core.errors import Problem
from tui.app import DdptuiApp
from tui.check import CheckResult
from tui.keys import Mode
from tui.plan_reading import PlanReading, read_text
from tui.run_names import list_named_runs
from tui.run_row import RunReader
from tui.screens.plan import PlanScreen
from tui.view.plan_detail import Checked
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import Snapshot

VALID = """\
[defaults]
model = "lenet5"
dataset = "digits"
global_batch_size = 64
epochs = 2
optimizer = { name = "sgd", lr = 0.05 }

[[experiment]]
name = "first"
[experiment.matrix]
strategy = ["single", "ddp"]
world_size = [1, 2]
"""

MANY = VALID.replace(
    "world_size = [1, 2]",
    f"""seed = {list(range(100))}
"optimizer.lr" = {[number / 100 for number in range(1, 51)]}""",
)

SIZES = [(120, 40), (80, 24)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiments.toml"
    path.write_text(VALID)
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _rows(results: MadeResults) -> tuple[RunRow, ...]:
    return tuple(RunReader(run).read() for run in list_named_runs(results.paths))


class Plan:
    """The Plan mode of an app under test."""

    def __init__(self, app: DdptuiApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> PlanScreen:
        screen = self.app.mode_screen
        assert isinstance(screen, PlanScreen)
        return screen

    @property
    def text(self) -> str:
        return screen_text(self.app)

    @property
    def editor(self) -> Any:
        return self.screen.query_one("PlanEditor")

    async def until(self, is_so: Callable[[], bool], what: str = "") -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline, f"{what}\n{self.text}"
            await self.pilot.pause(0.02)

    async def sees(self, *words: str) -> None:
        await self.until(lambda: all(word in self.text for word in words), f"waiting for {words}")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type_at_end(self, text: str) -> None:
        await self.press("i", "ctrl+end")
        for character in text:
            await self.press("enter" if character == "\n" else character)


def drive(
    session: Session,
    feed: FakeFeed,
    work: Callable[[Plan], Awaitable[None]],
    *,
    size: tuple[int, int] = (120, 40),
) -> None:
    async def run() -> None:
        app = DdptuiApp(feed, session, mode=Mode.PLAN)  # type: ignore[arg-type]
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await work(Plan(app, pilot))

    asyncio.run(run())


@pytest.mark.parametrize("size", SIZES)
def test_the_file_and_the_runs_it_makes_are_shown(
    session: Session, feed: FakeFeed, file: Path, size: tuple[int, int]
) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("experiments.toml", "3 runs · 3 new", "single-w1-r0", "ddp-w2-r0", "itself", "new")
        await plan.press("down", "down", "tab", "end")
        await plan.sees("--log-dir=", "notes", "ddp-w2-r0")
        assert "nproc-per-node=2" in plan.screen.copied()
        assert "\n" not in plan.screen.copied()
        exported = plan.screen.exported()
        assert [row[exported.columns.index("world_size")] for row in exported.rows] == [1, 1, 2]

    drive(session, feed, work, size=size)


def test_runs_that_are_there_are_not_new_when_the_folder_was_read_before_the_file(
    session: Session, feed: FakeFeed, file: Path, results: MadeResults
) -> None:
    session.file = str(file)
    ids = [spec.id for spec, _ in read_text(VALID, str(file)).runs.values()]
    for run_id in ids:
        results.run(run_id, experiment="first").begin().end()
    feed.snapshot = Snapshot(revision=3, read_s=1.0, rows=_rows(results))

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs · 0 new", "3 succeeded")
        await plan.pilot.pause(0.1)
        assert "3 runs · 0 new" in plan.text

    drive(session, feed, work)


@pytest.mark.parametrize("size", SIZES)
def test_an_error_that_is_typed_is_shown_with_its_line_and_goes_when_it_is_mended(
    session: Session, feed: FakeFeed, file: Path, size: tuple[int, int]
) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.type_at_end("colour = 3")
        await plan.sees("line 13", "colour", "1 error", "modified")
        assert "line 13" in plan.screen.copied()
        assert plan.screen.has_unsaved
        for _ in range(len("colour = 3")):
            await plan.press("backspace")
        await plan.sees("single-w1-r0", "valid: 3 runs")
        await plan.until(lambda: "modified" not in plan.text)
        assert not plan.screen.has_unsaved

    drive(session, feed, work, size=size)


def test_all_errors_stand_there_at_once_and_enter_goes_to_the_line(
    session: Session, feed: FakeFeed, file: Path
) -> None:
    file.write_text(VALID.replace("epochs = 2", "epochs = 0").replace('"ddp"', '"dpp"'))
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("line 5", "line 11", "dpp", "2 errors")
        await plan.press("down", "enter")
        assert plan.editor.has_focus
        assert plan.editor.cursor_location[0] == 10
        bar = screen_lines(plan.app)[-1]
        for words in ("esc back", "ctrl+e $EDITOR", "ctrl+s save", "f1 help", "ctrl+q quit"):
            assert words in bar
        assert "launch" not in bar, "it would be typed"
        await plan.press("escape")
        assert not plan.editor.has_focus
        bar = screen_lines(plan.app)[-1]
        assert "i edit" in bar
        assert "l launch" in bar
        assert "q quit" in bar

    drive(session, feed, work)


def test_saving_writes_the_file_and_keeps_its_mode_and_its_link(session: Session, feed: FakeFeed, file: Path) -> None:
    real = file.with_name("real.toml")
    file.rename(real)
    real.chmod(0o640)
    file.symlink_to(real)
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.type_at_end("# more")
        await plan.sees("modified")
        await plan.press("ctrl+s")
        await plan.sees("saved experiments.toml")
        assert real.read_text() == VALID + "# more"
        assert stat.S_IMODE(real.stat().st_mode) == 0o640
        assert file.is_symlink()
        assert "modified" not in plan.text

    drive(session, feed, work)


@pytest.mark.parametrize(
    ("key", "in_file", "in_mine", "shown"),
    [
        ("o", VALID + "# mine", None, "# mine"),
        ("m", VALID + "# theirs", VALID + "# mine", "# theirs"),
        ("d", VALID + "# theirs", None, "# theirs"),
        ("escape", VALID + "# theirs", None, "# mine"),
    ],
)
def test_a_file_that_was_changed_on_disk_is_not_overwritten_without_a_word(
    session: Session, feed: FakeFeed, file: Path, key: str, in_file: str, in_mine: str | None, shown: str
) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.type_at_end("# mine")
        file.write_text(VALID + "# theirs")
        await plan.press("ctrl+s")
        await plan.sees("was changed on disk", "overwrite it")
        assert file.read_text() == VALID + "# theirs"
        await plan.press("x", key)
        await plan.until(lambda: "overwrite it" not in plan.text and plan.screen._beside.wait_idle(0))
        await plan.sees(shown)
        assert file.read_text() == in_file
        mine = file.with_name("experiments.toml.mine")
        assert (mine.read_text() if mine.exists() else None) == in_mine

    drive(session, feed, work)


def test_a_change_on_disk_is_taken_up_where_nothing_would_be_lost(session: Session, feed: FakeFeed, file: Path) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        file.write_text(VALID.replace("[1, 2]", "[1, 2, 4]"))
        feed.show(Snapshot(revision=1, read_s=1.0))
        await plan.sees("4 runs", "ddp-w4-r0")
        await plan.type_at_end("# mine")
        file.write_text(VALID)
        feed.show(Snapshot(revision=2, read_s=2.0))
        await plan.sees("changed on disk")
        assert "# mine" in plan.editor.text
        assert "[1, 2, 4]" in plan.editor.text

    drive(session, feed, work)


def test_a_read_only_session_can_change_nothing(session: Session, feed: FakeFeed, file: Path) -> None:
    session.file, session.is_readonly = str(file), True

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs", "read only")
        await plan.press("i", "x", "ctrl+s", "ctrl+e")
        await plan.pilot.click("PlanEditor")
        await plan.press("x", "delete", "ctrl+k", "backspace")
        assert plan.editor.text == VALID
        assert not plan.screen.has_unsaved
        assert file.read_text() == VALID

    drive(session, feed, work)


@pytest.mark.parametrize("size", SIZES)
def test_without_a_file_the_starter_is_offered_and_not_saved_by_itself(
    session: Session, feed: FakeFeed, tmp_path: Path, size: tuple[int, int]
) -> None:
    async def work(plan: Plan) -> None:
        await plan.sees("there is no experiments.toml", "ddptui init", "begins one here")
        assert plan.screen.launch_request() is None
        await plan.press("i")
        await plan.sees("not saved yet", "valid: 9 runs")
        assert plan.screen.unsaved_name == "experiments.toml"
        assert not (tmp_path / "experiments.toml").exists()
        await plan.press("ctrl+s")
        await plan.sees("saved experiments.toml")
        assert 'name = "first"' in (tmp_path / "experiments.toml").read_text()
        assert plan.app.session.file == "experiments.toml"

    drive(session, feed, work, size=size)


def test_ten_thousand_runs_are_listed_and_planning_them_does_not_hold_up_typing(
    session: Session, feed: FakeFeed, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(MANY)
    session.file = str(file)
    has_begun, may_end = threading.Event(), threading.Event()

    def slow(text: str, file: str) -> PlanReading:
        if "# a" in text:
            has_begun.set()
            assert may_end.wait(30)
            return PlanReading(text=text, problems=(Problem(message="as it was at a"),))
        return read_text(text, file)

    monkeypatch.setattr("tui.screens.plan.read_text", slow)

    async def work(plan: Plan) -> None:
        await plan.sees("10,000 runs")
        await plan.press("end")
        await plan.until(lambda: plan.screen._side.table.cursor_key == plan.screen._side.reading.rows[-1].key)
        await plan.type_at_end("# a")
        await plan.until(has_begun.is_set)
        await plan.press(*"bcde", "escape")
        assert "# abcde" in plan.text
        assert "10,000 runs" in plan.text
        may_end.set()
        await plan.sees("as it was at a")

    drive(session, feed, work)


EDITABLE = {
    "windows.toml": (VALID.replace("\n", "\r\n").encode(), "valid: 3 runs"),
    "tabs.toml": (VALID.replace("model =", "model\t=").encode(), "valid: 3 runs"),
    "bom.toml": (b"\xef\xbb\xbf" + VALID.encode(), "byte order mark"),
    "nul.toml": (VALID.encode() + b"# a\0b\n", "this is not text"),
    "empty.toml": (b"", "1 error"),
}

LOCKED = {
    "latin1.toml": (VALID.encode() + b"# \xff\n", "is not UTF-8 text"),
    "form-feed.toml": (VALID.encode() + b"# a\x0cb \xe2\x80\xa8 c\n", "not valid TOML"),
    "mixed.toml": (VALID.encode() + b"# a\r\n# b\n", "valid: 3 runs"),
    "large.toml": (b"x" * (3 << 20), "larger than 2 MiB"),
}


def test_strange_files_come_out_as_they_went_in_with_what_was_typed(
    session: Session, feed: FakeFeed, tmp_path: Path
) -> None:
    async def work(plan: Plan) -> None:
        for name, (content, said) in EDITABLE.items():
            (tmp_path / name).write_bytes(content)
            plan.screen._pane.open(name)
            await plan.sees(name, said)
            assert plan.editor.text.encode() == content
            await plan.type_at_end("#")
            await plan.press("ctrl+s", "escape")
            await plan.sees(f"saved {name}")
            assert (tmp_path / name).read_bytes() == content + b"#"

    drive(session, feed, work)


def test_a_file_that_the_editor_could_not_keep_as_it_is_cannot_be_edited_here(
    session: Session, feed: FakeFeed, tmp_path: Path
) -> None:
    async def work(plan: Plan) -> None:
        for name, (content, said) in LOCKED.items():
            (tmp_path / name).write_bytes(content)
            plan.screen._pane.open(name)
            await plan.sees(name, said, "read only")
            await plan.press("i", "x", "ctrl+s")
            await plan.pilot.click("PlanEditor")
            await plan.press("x", "enter", "backspace", "ctrl+s", "escape")
            await plan.sees("not saved: ")
            assert (tmp_path / name).read_bytes() == content

    drive(session, feed, work)


def test_a_folder_and_a_pipe_are_an_error_and_not_waited_for(session: Session, feed: FakeFeed, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    session.file = str(pipe)

    async def work(plan: Plan) -> None:
        await plan.sees("is no ordinary file", "1 error")
        assert plan.screen.launch_request() is None

    drive(session, feed, work)


def test_escape_sequences_of_the_file_reach_neither_editor_nor_errors(
    session: Session, feed: FakeFeed, file: Path
) -> None:
    file.write_text(VALID.replace('"lenet5"', '"\x1b[31mred\x07"') + "# \x9b2J\n")
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("error", "␛[31mred␇")
        assert not {"\x1b", "\x07", "\x9b"} & set(plan.text)

    drive(session, feed, work)


def test_states_of_the_results_folder_stand_beside_the_runs(
    session: Session, feed: FakeFeed, results: MadeResults, file: Path
) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 new")
        run_id = plan.screen._side.table.cursor_key.split("/")[1]  # type: ignore[union-attr]
        results.run(run_id, experiment="first", strategy="single").begin().steps(2).end()
        feed.show(Snapshot(revision=1, read_s=1.0, rows=_rows(results)))
        await plan.sees("✓ succeeded", "3 runs · 2 new", "a launch skips it")

    drive(session, feed, work)


def test_entering_a_run_asks_the_interpreter_and_says_what_each_rank_will_see(
    session: Session, feed: FakeFeed, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: dict[str, Any] = {
        "train_samples": 1000,
        "test_samples": 200,
        "num_steps": 30,
        "steps_per_epoch": 15,
        "step_s": 0.1,
    }
    seen = {
        "num_samples": 1000,
        "per_share": [480, 480],
        "seen_ratio": 0.96,
        "overlap_ratio": 0.0,
        "order_changed": True,
    }
    facts["coverage"] = [seen]
    asked = []

    def check(specs: Any) -> CheckResult:
        asked.append([spec.id for spec in specs])
        return CheckResult(points={specs[0].point: {**facts, "check_s": 1.0, "num_parameters": 10}})

    monkeypatch.setattr("tui.plan_reading.check_runs", check)
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs", "n/a: enter asks")
        await plan.press("end", "enter")
        await plan.sees("1,000 to train on", "32 (0-31)", "32 (32-63)", "480", "48.0%", "40 of 1,000", "about 5.2s")
        assert len(asked) == 1
        await plan.press("enter")
        assert len(asked) == 1
        await plan.press("escape", "home")
        await plan.sees("n/a: enter asks")

    drive(session, feed, work)


def test_a_check_that_fails_says_why_and_may_be_tried_again(
    session: Session, feed: FakeFeed, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[Checked] = iter([Checked(problems=("torch is not installed",)), Checked(facts={"num_steps": 1})])
    monkeypatch.setattr("tui.widgets.plan_side.check_planned", lambda spec: next(answers))
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.press("enter")
        await plan.sees("torch is not installed")
        await plan.press("enter")
        await plan.until(lambda: "torch is not installed" not in plan.text)

    drive(session, feed, work)


def test_the_own_editor_gets_the_file_and_what_it_wrote_is_shown(
    session: Session, feed: FakeFeed, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "my editor"
    script.write_text('#!/bin/sh\necho "$1" > seen\nprintf "%s\\n" "# by $2" >> "$2"\n')
    script.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{script}' --wait")
    monkeypatch.setattr(DdptuiApp, "suspend", lambda app: contextlib.nullcontext())
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.press("ctrl+e")
        await plan.sees(f"# by {file}"[:20])
        assert (tmp_path / "seen").read_text() == "--wait\n"
        await plan.type_at_end("# unsaved")
        await plan.press("ctrl+e")
        await plan.sees("has changes that are not", "save, then edit")
        await plan.press("s")
        await plan.until(lambda: file.read_text().count("# by") == 2)
        assert "# unsaved" in file.read_text()
        await plan.until(lambda: plan.editor.text == file.read_text())

    drive(session, feed, work)


def test_an_editor_that_is_not_there_is_one_line(
    session: Session, feed: FakeFeed, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor -x")
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.press("ctrl+e")
        await plan.sees("$VISUAL names no-such-editor")

    drive(session, feed, work)


def test_letters_are_text_while_the_editor_has_the_keys_and_escape_gives_them_back(
    session: Session, feed: FakeFeed, file: Path
) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.sees("3 runs")
        await plan.type_at_end("# 12 q l z ?")
        assert plan.editor.text.endswith("# 12 q l z ?")
        await plan.press("escape", "z")
        assert not plan.editor.parent.display or "[defaults]" not in plan.text
        await plan.press("escape")
        await plan.sees("[defaults]")

    drive(session, feed, work)


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (300, 80)])
def test_any_size_shows_what_fits(session: Session, feed: FakeFeed, file: Path, size: tuple[int, int]) -> None:
    session.file = str(file)

    async def work(plan: Plan) -> None:
        await plan.until(lambda: plan.screen._side.reading.plan is not None)
        await plan.press("i", "x", "escape", "tab", "z", "z")
        await plan.until(lambda: bool(plan.screen._side.reading.problems))

    drive(session, feed, work, size=size)
