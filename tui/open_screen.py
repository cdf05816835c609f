"""Open the screen on a results folder."""

from __future__ import annotations

import gc
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.core.errors import InputError
from engine.store import ResultsPaths
from tui.given import Given

if TYPE_CHECKING:
    from tui.feed.feed import Feed  # loads Textual: only where the screen is opened

__all__ = ["ScreenOptions", "cache_dir", "check_terminal", "open_screen"]


@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """What was asked for on the command line.

    Attributes:
        results: the results folder.
        file: the experiment file for Plan, or "".
        is_readonly: nothing may be changed.
        is_ascii: plain characters only.
        has_mouse: whether mouse events are asked for.
        theme: a name, or "" for what suits.
        mode: shown first.
    """

    results: ResultsPaths
    file: str = ""
    is_readonly: bool = False
    is_ascii: bool = False
    has_mouse: bool = True
    theme: str = ""
    mode: str = "runs"

    @classmethod
    def of(cls, given: Given, results: Path | None = None, file: str = "") -> ScreenOptions:
        """What the options before the command ask for, with the experiment file of this folder in Plan.

        Args:
            given: those options.
            results: given after the command.
            file: given after the command.
        """
        return cls(
            results=ResultsPaths(results or given.results or Path("results")),
            file=file or ("experiments.toml" if Path("experiments.toml").is_file() else ""),
            is_readonly=given.is_readonly,
            is_ascii=given.is_ascii,
            has_mouse=given.has_mouse,
            theme=given.theme,
        )


def open_screen(options: ScreenOptions) -> int:
    """Show the screen until it is left; return the exit code.

    Raises:
        InputError: this terminal cannot show it, or an option is unknown.
    """
    check_terminal()
    _suit_the_terminal()
    gc.disable()  # what is loaded and made until the first picture stays: looking for garbage in it takes a tenth more
    try:
        return _read_and_show(options)
    finally:
        gc.enable()


def _read_and_show(options: ScreenOptions) -> int:
    """The runs are read while the screen is being loaded."""
    from tui.feed.feed import Feed

    feed = Feed(options.results, cache_dir=cache_dir())
    feed.read_ahead()
    try:
        return _show(options, feed)
    finally:
        feed.close()


def _show(options: ScreenOptions, feed: Feed) -> int:
    from tui.app import DdptuiApp
    from tui.keys import Mode
    from tui.theme import THEMES
    from tui.view.session import Session

    if options.theme and options.theme not in THEMES:
        raise InputError(f"--theme {options.theme}: unknown; allowed are {', '.join(THEMES)}")
    session = Session(
        results=str(options.results.root),
        host=socket.gethostname().partition(".")[0],
        file=options.file,
        is_readonly=options.is_readonly,
        is_ascii=options.is_ascii or os.environ.get("TERM") == "linux",
    )
    app = DdptuiApp(feed, session, mode=Mode(options.mode), theme=options.theme or _fitting_theme(THEMES))
    app.call_after_refresh(_collect_again)
    app.run(mouse=options.has_mouse)
    return app.return_code or 0


def _collect_again() -> None:
    """From now on look for garbage, but never again in what the start has left."""
    gc.freeze()
    gc.enable()


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/ddptui``: what may be lost, since the results folder may be read only."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "ddptui"


def check_terminal() -> None:
    """Make sure that this terminal can show the screen.

    Raises:
        InputError: it cannot.
    """
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise InputError("the screen needs a terminal; use --headless, or `ddptui ls --watch` in a pipe")
    if not sys.stderr.isatty():
        raise InputError("the screen is drawn on stderr, which goes elsewhere; do not redirect it, or use --headless")
    if os.environ.get("TERM", "") in ("", "dumb"):
        term = os.environ.get("TERM", "")
        raise InputError(f"the terminal (TERM={term!r}) cannot draw; use --headless or `ddptui ls --watch`")


def _suit_the_terminal() -> None:
    """Textual reads these as it is imported: nothing is animated, and over SSH fewer frames are drawn."""
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if os.environ.get("SSH_CONNECTION"):
        os.environ.setdefault("TEXTUAL_FPS", "30")


def _fitting_theme(themes: tuple[str, ...]) -> str:
    """Ours where the terminal has colours enough; the terminal's own sixteen else."""
    few = os.environ.get("TERM") in ("linux", "xterm", "xterm-16color", "vt100", "ansi", "screen")
    has_many = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
    return "ansi-dark" if few and not has_many else themes[0]
