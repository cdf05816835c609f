"""A folder from a stranger is safe to open: nothing in it is executed, steers the terminal or leads out of it."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from screen_driver import screen_text
from stranger import FORMULA, Stranger

from engine.store import ResultsPaths
from tui.app import DdptuiApp
from tui.cli import main
from tui.feed.feed import Feed
from tui.view.session import Session

RUN = "ddp-w2-r0-aaaaaa"


def steering(text: str) -> set[str]:
    """What of a text would steer a terminal or turn its direction."""
    allowed = {"\n", "\t"}
    return {c for c in text if (unicodedata.category(c) in ("Cc", "Cs") and c not in allowed) or c in "\u202e\u2066"}


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stranger:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Stranger(tmp_path)


@pytest.fixture
def call(stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Give a command on the folder; what it wrote on both streams has nothing that steers a terminal."""

    def run(*words: str) -> tuple[int, str]:
        code = main(["--results", str(stranger.root), *words])
        output = capsys.readouterr()
        said = output.out + output.err
        assert steering(said) == set(), words
        assert "unexpected" not in said, said
        assert "Traceback" not in said
        return code, output.out

    return run


def test_no_command_that_reads_is_harmed(stranger: Stranger, call: Callable[..., tuple[int, str]]) -> None:
    before = stranger.outside_content()
    for words in (
        ("ls",),
        ("ls", "runs", "--once"),
        ("ls", "compare"),
        ("ls", "logs"),
        ("ls", "logs", RUN),
        ("show", RUN),
        ("show", "nasty/ddp-w1-r0-bbbbbb"),
        ("show", "nasty/ddp-w1-r0-dddddd"),
        ("show", "odd"),
        ("logs", RUN),
        ("logs", RUN, "--tail", "3"),
        ("logs", "nasty/ddp-w1-r0-dddddd"),
        ("logs", "odd"),
        ("export", "nasty", "--what", "events"),
        ("export", "nasty", "--what", "runs"),
        ("clean", "--dry-run"),
    ):
        code, _ = call(*words)
        assert code in (0, 2), words
    for words in (("ls", "--json"), ("show", RUN, "--json"), ("clean", "--json")):
        code, out = call(*words)
        assert code == 0
        json.loads(out)
    _, listed = call("ls")
    assert RUN in listed
    assert "secret" not in listed, "a link leads out of the folder"
    assert call("show", "linked-w1")[0] == 2
    assert stranger.outside_content() == before
    assert not stranger.proof.exists(), "something of the folder was executed"
    assert not ResultsPaths(stranger.root).supervisor_log.exists(), "a supervisor was started"


def test_the_report_says_what_is_there_and_nothing_else(
    stranger: Stranger, call: Callable[..., tuple[int, str]]
) -> None:
    before = stranger.outside_content()
    assert call("report", "nasty")[0] == 2, "its plots would go elsewhere"
    (stranger.root / "nasty" / "plots").unlink()
    assert call("report", "nasty")[0] == 0
    html = (stranger.root / "nasty" / "report.html").read_text()
    markdown = (stranger.root / "nasty" / "report.md").read_text()
    assert "<script" not in html
    prose = re.sub(r"^(`{3,}).*?^\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)  # code is shown as it stands
    assert "nasty" in prose
    assert not re.search(r"(?<!\\)<script", prose)
    assert not re.search(r"(?<!\\)!\[i", prose)
    tables = [path.read_text() for path in sorted((stranger.root / "nasty").glob("*.csv"))]
    for text in (html, markdown, *tables):
        assert steering(text) == set()
    assert tables
    assert not any(re.search(rf"(?:^|,)\"?{re.escape(FORMULA[:5])}", text, re.MULTILINE) for text in tables)
    assert stranger.outside_content() == before, "a link led the report out of the folder"
    assert not stranger.proof.exists()


def test_the_screen_shows_every_mode_and_nothing_steers_it(stranger: Stranger, tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    async def look() -> None:
        feed = Feed(ResultsPaths(stranger.root), cache_dir=tmp_path / "cache" / "ddptui")
        app = DdptuiApp(feed, Session(results=str(stranger.root), host="here"))
        async with app.run_test(size=(160, 50)) as pilot:
            for _ in range(200):
                await pilot.pause(0.05)
                if RUN in screen_text(app):
                    break
            for key in ("space", "down", "space", "1", "2", "3", "4", "5", "6", "1", "d", "escape"):
                await pilot.press(key)
                await pilot.pause(0.2)
                app.painter.wait_idle(10)
                await pilot.pause()
                seen[f"{len(seen)} {key}"] = screen_text(app)
            app.exit()

    asyncio.run(look())
    assert RUN in seen["3 1"]
    for key, text in seen.items():
        assert steering(text) == set(), key
    assert not stranger.proof.exists()
    assert not ResultsPaths(stranger.root).supervisor_log.exists()
