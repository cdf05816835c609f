"""What the screens of the six modes share: the two bars, the keys of the table, and how news reach them."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.keys import Mode, keys_of
from tui.view.exported import Exported
from tui.view.ports import FeedPort, ScreenApp
from tui.view.session import Session
from tui.view.snapshot import Snapshot
from tui.widgets.key_bar import KeyBar
from tui.widgets.top_bar import TopBar

__all__ = ["ModeScreen"]


class ModeScreen(Screen[None]):
    """The screen of one mode.

    A subclass names its ``MODE``, composes its body and has an ``action_<id>`` for each key of its mode that is not
    the app's. The ``show_*`` methods are called on the screen's thread when there is news, only while the screen is
    the one that is seen and the display is not paused, and all of them once when it comes back into sight.
    """

    MODE: ClassVar[Mode]
    AUTO_FOCUS: ClassVar[str | None] = "*"

    def __init_subclass__(cls, **options: Any) -> None:
        mode = getattr(cls, "MODE", None)
        if mode is not None:
            cls.BINDINGS = _bindings(mode)
        super().__init_subclass__(**options)

    @property
    def port(self) -> ScreenApp:
        """The app, as far as screens may know it."""
        return cast("ScreenApp", self.app)

    @property
    def feed(self) -> FeedPort:
        """What reads."""
        return self.port.feed

    @property
    def session(self) -> Session:
        """What was chosen."""
        return self.port.session

    def compose(self) -> ComposeResult:
        """The bars, and the body between them."""
        yield TopBar(self.MODE, self.session)
        yield from self.compose_body()
        yield KeyBar(self.MODE, is_readonly=self.session.is_readonly)

    def compose_body(self) -> ComposeResult:
        """The widgets between the bars."""
        raise NotImplementedError

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """The results folder is different; subclasses go on from here."""
        self.query_one(TopBar).show(snapshot)

    def show_curves(self) -> None:
        """Watched curves have grown."""

    def show_sources(self) -> None:
        """Added sources have grown."""

    def show_comparison(self) -> None:
        """The watched comparison is different."""

    def show_all(self) -> None:
        """Everything anew: after coming into sight, and when a choice of the session was changed elsewhere."""
        self.show_snapshot(self.feed.snapshot)
        self.show_curves()
        self.show_sources()
        self.show_comparison()

    def on_screen_resume(self) -> None:
        """It is seen again."""
        if self.is_mounted:
            self.call_after_refresh(self.show_all)

    def open_for(self, tag: str | None, rank: int | None) -> None:
        """Somebody went to this mode with a run or a rank in mind."""

    def targets(self) -> tuple[str, ...]:
        """The tags of the runs an action is about."""
        return self.session.drawn()

    def exported(self) -> Exported:
        """What is shown, as values."""
        return Exported(name=self.MODE.value)

    def copied(self) -> str:
        """What the copy key takes: the line or cell under the cursor."""
        return ""

    def action_back(self) -> None:
        """Leave what was opened last."""

    def action_zoom_pane(self) -> None:
        """Give the whole screen to the focused pane, or give it back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)


def _bindings(mode: Mode) -> list[BindingType]:
    return [
        Binding(
            ",".join(key.keys),
            f"app.{key.id}" if key.is_of_app else f"screen.{key.id}",
            key.label,
            show=key.in_bar,
            id=f"{mode}.{key.id}",
        )
        for key in keys_of(mode)
    ]
