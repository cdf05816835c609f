"""The screen: modes, themes, and the way of news from the feed to what is seen."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, ClassVar, Protocol

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter, Monochrome, NoColor
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from tui.actions import RunActions
from tui.charts.painter import Painter
from tui.keys import KEYS, MODES, Mode, keys_of
from tui.messages import ComparisonReady, CurvesChanged, SnapshotReady, SourcesChanged
from tui.screens.base import ModeScreen
from tui.terminal_watch import end_soon, watch_terminal
from tui.theme import DARK, LIGHT, THEMES
from tui.view.ports import FeedPort
from tui.view.session import Session

__all__ = ["DdptuiApp", "Feed", "screen_of"]

_NO_COLOR = NoColor()

DRAWING_SHARE = 0.06
"""Of a core, for charts of data that grows: where many lines are costly to draw, they are drawn less often."""


class Feed(FeedPort, Protocol):
    """What the app starts and stops beside what screens ask of it."""

    def start(self, post: Callable[[Message], Any]) -> None:
        """Begin reading; news are posted."""
        ...

    def close(self) -> None:
        """End within a second."""
        ...


def screen_of(mode: Mode) -> type[ModeScreen]:
    """The screen of a mode, loaded when it is shown for the first time: the first paint waits for nothing else."""
    found: type[ModeScreen] = getattr(import_module(f"tui.screens.{mode}"), f"{mode.name_shown}Screen")
    return found


def make_screen(mode: Mode) -> ModeScreen:
    """A new screen of a mode."""
    return screen_of(mode)()


class _Painted(Message):
    def __init__(self, deliver: Callable[[], None]) -> None:
        super().__init__()
        self.deliver = deliver


class DdptuiApp(RunActions, App[None], inherit_bindings=False):
    """One results folder on the screen.

    Args:
        feed: not started yet.
        session: the choices to begin with.
        mode: shown first.
        theme: one of ``THEMES``.
    """

    TITLE = "ddptui"
    CSS_PATH = "app.tcss"
    MODES: ClassVar[Any] = {mode.value: partial(make_screen, mode) for mode in MODES}
    BINDINGS: ClassVar[list[BindingType]] = []
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 (Textual declares it so)
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012 (the same)
    PAUSE_GC_ON_SCROLL = True
    feed: Feed

    def __init__(self, feed: Feed, session: Session, *, mode: Mode = Mode.RUNS, theme: str = THEMES[0]) -> None:
        self.DEFAULT_MODE = mode.value  # type: ignore[misc] # of this app: no empty screen is shown before it
        super().__init__()
        self.feed = feed
        self.session = session
        self.painter = Painter(lambda deliver: self._hand_over(deliver), self._complain_of_drawing)
        self._curves_timer: Timer | None = None
        self._drawn_s = self._drawn_spent_s = 0.0
        for own in (DARK, LIGHT):
            self.register_theme(own)
        self.theme = theme

    def on_mount(self) -> None:
        """Begin to read and draw."""
        self.painter.start()
        self.feed.start(self.post_message)
        self._leave_when_the_terminal_does()

    def on_unmount(self) -> None:
        """No thread of ours outlives the screen."""
        self.feed.close()
        self.painter.close()

    @property
    def mode_screen(self) -> ModeScreen | None:
        """The screen of the mode that is shown, also below a modal."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, ModeScreen)), None)

    def go(self, mode: str, tag: str | None = None, rank: int | None = None) -> None:
        """Show a mode, of that run and rank where given."""
        if tag is not None:
            self.session.current = tag
        self.switch_mode(mode)
        screen = self.mode_screen
        if screen is not None and (tag is not None or rank is not None):
            screen.call_after_refresh(screen.open_for, tag, rank)

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        """The results folder is different."""
        self._tell(lambda screen: screen.show_snapshot(message.snapshot))

    def on_curves_changed(self, _message: CurvesChanged) -> None:
        """Curves have grown: they are shown at once, or as soon as drawing has not cost too much."""
        if self._curves_timer is not None:
            return
        cost_s = self.painter.spent_s - self._drawn_spent_s
        wait_s = self._drawn_s + cost_s / DRAWING_SHARE - time.monotonic()
        if wait_s <= 0:
            self._show_curves()
        else:
            self._curves_timer = self.set_timer(wait_s, self._show_curves)

    def _show_curves(self) -> None:
        self._curves_timer = None
        self._drawn_s, self._drawn_spent_s = time.monotonic(), self.painter.spent_s
        self._tell(lambda screen: screen.show_curves())

    def on_sources_changed(self, _message: SourcesChanged) -> None:
        """Logs have grown."""
        self._tell(lambda screen: screen.show_sources())

    def on_comparison_ready(self, _message: ComparisonReady) -> None:
        """The comparison is different."""
        self._tell(lambda screen: screen.show_comparison())

    def on__painted(self, message: _Painted) -> None:
        """A picture is ready."""
        message.deliver()

    def action_freeze(self) -> None:
        """Pause the display, or show what came meanwhile."""
        self.session.is_frozen = not self.session.is_frozen
        self.refresh_mode()

    def refresh_mode(self) -> None:
        """Show everything anew in the mode that is seen."""
        screen = self.mode_screen
        if screen is not None and screen.is_mounted:
            screen.show_all()

    def action_next_pane(self) -> None:
        """Focus the next pane."""
        self.screen.focus_next()

    def action_previous_pane(self) -> None:
        """Focus the previous pane."""
        self.screen.focus_previous()

    def action_next_theme(self) -> None:
        """Next colours."""
        place = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(place + 1) % len(THEMES)]

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual chooses how to leave out colours once; the terminal's own colours must be left out, not greyed."""
        filters = super().get_line_filters()
        if not self.no_color or not self.native_ansi_color:
            return filters
        return [_NO_COLOR if isinstance(found, Monochrome) else found for found in filters]

    def get_system_commands(self, screen: Screen[Any]) -> Any:
        """The palette: every key of the mode by name."""
        mode = screen.MODE if isinstance(screen, ModeScreen) else None
        for key in keys_of(mode) if mode is not None else KEYS:
            if key.id in ("command_palette", "back"):
                continue
            action = f"app.{key.id}" if key.is_of_app else f"screen.{key.id}"
            yield SystemCommand(f"{key.label}  ({key.shown})", key.help, lambda action=action: self._run(action))

    def _run(self, action: str) -> None:
        self.call_later(self.run_action, action)

    def _tell(self, say: Callable[[ModeScreen], None]) -> None:
        screen = self.mode_screen
        if screen is not None and screen.is_mounted and not self.session.is_frozen:
            say(screen)

    def _hand_over(self, deliver: Callable[[], None]) -> None:
        self.post_message(_Painted(deliver))

    def _complain_of_drawing(self, error: Exception) -> None:
        self._hand_over(lambda: self.notify(f"a chart could not be drawn: {error}", severity="warning"))

    def _leave_when_the_terminal_does(self) -> None:
        """SIGHUP, SIGTERM and a terminal that is gone end the screen in order; the runs are not ours to end."""
        import asyncio

        loop = asyncio.get_running_loop()

        def hang_up() -> None:
            end_soon()
            self.exit()

        try:
            loop.add_signal_handler(signal.SIGTERM, self.exit)
            loop.add_signal_handler(signal.SIGHUP, hang_up)
        except (RuntimeError, ValueError):  # not the main thread: a test
            return

        def gone() -> None:
            end_soon()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.exit)

        watch_terminal(gone)


def _mode_action(mode: Mode) -> Callable[[DdptuiApp], None]:
    def go(app: DdptuiApp) -> None:
        app.go(mode.value)

    go.__doc__ = f"Show {mode.name_shown}."
    return go


for _mode in MODES:
    setattr(DdptuiApp, f"action_mode_{_mode}", _mode_action(_mode))
