"""What every mode looks like, as pictures that people look at: tests/tui/screen/snapshots/*.svg.

Clock, host and time zone are fixed. With ``UPDATE_SNAPSHOTS=1`` in the environment this test makes them anew: look at
each before it is committed. Where rich or textual is of another version than made them, only the text is compared:
colours and letters are theirs to draw.
"""

from __future__ import annotations

import asyncio
import html
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from made_results import T0_S, MadeResults, decaying_loss
from rich.color import ColorSystem
from screen_driver import settle

from engine.processes import this_process
from tui.app import DdptuiApp
from tui.feed.feed import Feed
from tui.keys import Mode
from tui.view.session import Session
from tui.widgets import top_bar

FOLDER = Path(__file__).parent / "snapshots"
VERSIONS = f"rich {version('rich')}, textual {version('textual')}\n"
SIZES = ((120, 40), (80, 24))
NOW_S = T0_S + 15.0

FILE = """\
[defaults]
model = "lenet5"
dataset = "digits"
global_batch_size = 64
epochs = 6
optimizer = { name = "sgd", lr = 0.02, momentum = 0.9 }

[[experiment]]
name = "digits"
baseline = { strategy = "single" }
repeats = 3

[experiment.matrix]
strategy = ["single", "ddp"]
world_size = [1, 2, 4]
"""

CASES = {
    "runs": ("runs", ""),
    "charts": ("runs", "space,home,space,space,2"),
    "compare": ("compare", ""),
    "ranks": ("runs", "4"),
    "logs": ("runs", "5"),
    "plan": ("plan", ""),
    "help": ("runs", "question_mark"),
    "quit": ("runs", "q"),
    "stop": ("runs", "s"),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A moment that stands still, in a zone of its own."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(top_bar.time, "time", lambda: NOW_S)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all pictures, made once."""
    return fill(MadeResults(tmp_path_factory.mktemp("made") / "results")).root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> MadeResults:
    """A copy that is the test's own."""
    shutil.copytree(made, tmp_path / "results")
    return MadeResults(tmp_path / "results")


def fill(results: MadeResults) -> MadeResults:
    """Three finished points with repeats, a run that goes on with a slow rank, one that failed, one that waits."""
    for repeat in range(3):
        seconds = 0.03 + 0.0003 * repeat
        single = results.run(f"single-w1-r{repeat}-a1b2c3", strategy="single", repeat=repeat)
        single.begin().steps(60, step_s=seconds).evaluate(1, 0.91 + repeat / 200).sample_node(15).end()
        double = results.run(f"ddp-w2-r{repeat}-d4e5f6", world_size=2, repeat=repeat)
        double.begin().steps(60, step_s=seconds * 0.6).evaluate(1, 0.92 - repeat / 200).sample_node(10).end()
    live = results.run("ddp-w4-r0-0a1b2c", world_size=4).begin()
    live.steps(20).steps(15, slow_rank=1).steps(15, loss=lambda step: math.nan if step > 380 else decaying_loss(step))
    live.sample_node(14)
    live.log(0, "epoch 0 loss 1.9\n").log(1, "\x1b[31mred\x1b[0m 10%\r 90%\r100%\n")
    live.log(1, "WARNING: the loader is slow\n", is_err=True)
    failed = results.run("ddp-w4-r1-0a1b2c", world_size=4, repeat=1).begin().steps(5)
    failed.log(3, 'Traceback (most recent call last):\n  File "train.py", line 3\nRuntimeError: broke\n', is_err=True)
    failed.end("failed", "rank 3: RuntimeError: broke (train.py:3)")
    results.run("ddp-w4-r2-0a1b2c", world_size=4, repeat=2)
    results.queue("digits/ddp-w4-r2-0a1b2c")
    live.status("running", handle=this_process().to_json(), updated_s=NOW_S)
    return results


def picture(root: Path, mode: str, keys: str, size: tuple[int, int], *, theme: str = "", **choices: Any) -> str:
    """Drive the real app with the real feed; return the screen as SVG."""
    session = Session(results=str(root), host="box-01", file=choices.pop("file", ""), **choices)
    more = {"theme": theme} if theme else {}
    app = DdptuiApp(Feed(_paths(root), cache_dir=None, clock=lambda: NOW_S), session, mode=Mode(mode), **more)

    app.console._color_system = ColorSystem.TRUECOLOR  # what a test's console has is less than what terminals have

    async def drive() -> str:
        async with app.run_test(size=size) as pilot:
            await _read(app, pilot)
            for key in keys.split(",") if keys else ():
                await pilot.press(key)
                await pilot.pause()
            await _read(app, pilot)
            return app.export_screenshot(title="ddptui")

    return asyncio.run(drive())


async def _read(app: DdptuiApp, pilot: Any) -> None:
    """Wait until nothing is read or drawn any more: the picture stands still."""
    deadline = time.monotonic() + 20
    seen, since = "", 0
    while since < 4:  # for longer than the feed waits between two pictures of what grows; each look is a costly one
        assert time.monotonic() < deadline, "the screen does not come to rest"
        await settle(app, pilot, 1)
        await asyncio.sleep(0.4)
        now = app.export_screenshot(title="ddptui")
        seen, since = now, since + 1 if now == seen else 0


def _paths(root: Path) -> Any:
    from engine.store import ResultsPaths

    return ResultsPaths(root)


def compare(name: str, svg: str) -> None:
    """Hold a picture against the kept one."""
    path, versions = FOLDER / f"{name}.svg", FOLDER / "VERSIONS"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(svg)
        versions.write_text(VERSIONS)
        return
    kept = path.read_text()
    if versions.read_text() != VERSIONS:
        kept, svg = _text(kept), _text(svg)
    assert _text(svg) == _text(kept)
    assert svg == kept, f"{name}: the same text in other colours"


def _text(svg: str) -> str:
    lines: dict[str, list[str]] = {}
    for row, words in re.findall(r'<text[^>]* y="([^"]+)"[^>]*>(.*?)</text>', svg):
        lines.setdefault(row, []).append(html.unescape(words))
    return "\n".join("".join(words).replace("\xa0", " ").rstrip() for words in lines.values())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", CASES)
def test_a_mode_looks_as_it_did(
    name: str, size: tuple[int, int], folder: MadeResults, clock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode, keys = CASES[name]
    (tmp_path / "experiments.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    svg = picture(Path("results"), mode, keys, size, file="experiments.toml")
    compare(f"{name}-{size[0]}x{size[1]}", svg)


def test_an_empty_folder_says_how_to_begin(clock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compare("empty-80x24", picture(Path("results"), "runs", "", (80, 24)))


def test_the_light_theme(folder: MadeResults, clock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compare("light-120x40", picture(Path("results"), "runs", "", (120, 40), theme="ddptui-light"))


def test_plain_characters(folder: MadeResults, clock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    svg = picture(Path("results"), "runs", "2", (80, 24), is_ascii=True)
    compare("ascii-80x24", svg)
    assert not [character for character in _text(svg) if ord(character) > 0x2500 and character not in "│─╭╮╰╯"]
