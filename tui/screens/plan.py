"""The Plan mode: the experiment file, its errors as it is edited, and the runs it makes."""

from __future__ import annotations

from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer

from engine.core.wording import count
from engine.store import ResultsPaths
from tui.beside import Beside
from tui.keys import Mode
from tui.output import strip_escapes
from tui.plan_reading import PlanReading, read_text
from tui.screens.base import ModeScreen
from tui.start_runs import LaunchRequest
from tui.view.exported import Exported
from tui.view.snapshot import Snapshot
from tui.widgets.key_bar import KeyBar
from tui.widgets.plan_file_pane import PlanFilePane
from tui.widgets.plan_side import PlanSide

__all__ = ["PlanScreen"]

DELAY_S = 0.3
"""After the last key, before the text is planned anew."""

DEFAULT_FILE = "experiments.toml"


class PlanScreen(ModeScreen):
    """The file at the left, what it comes to at the right."""

    MODE = Mode.PLAN
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    PlanScreen {
        #plan-body { height: 1fr; }
        #plan-file { width: 2fr; }
        #plan-right { width: 3fr; }
        #plan-list, PlanFacts {
            border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
        }
        #plan-list:focus-within, PlanFacts:focus { border: round $primary; border-title-color: $primary; }
        #plan-list { height: 2fr; min-height: 5; }
        PlanFacts { height: 3fr; }
        #plan-list > * { display: none; }
        #plan-list.-runs > LiveTable, #plan-list.-problems > PlanProblems, #plan-list.-empty > EmptyState {
            display: block;
        }
        #plan-right.-without-runs PlanFacts { display: none; }
        #plan-right.-without-runs #plan-list { height: 1fr; }
        &.-narrow {
            #plan-body { layout: vertical; }
            #plan-file, #plan-right { width: 1fr; }
            #plan-right { height: 1fr; }
            #plan-file { height: 1; border: none; border-top: round $border; }
        }
        &.-narrow.-editing {
            #plan-file { height: 1fr; border: round $primary; }
            #plan-right { height: 8; }
            #plan-list { height: 1fr; }
            PlanFacts { display: none; }
        }
        &.-narrow.-editing.-short #plan-right { height: 6; }
        .-away { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._beside = Beside(lambda then: self.app.call_later(then))
        self._pane: PlanFilePane
        self._side: PlanSide
        self._timer: Timer | None = None
        self._is_opened = False

    # --- what the app may ask ---------------------------------------------------------------------------------------

    @property
    def has_unsaved(self) -> bool:
        """Whether the file has changes that are not saved."""
        return self._is_opened and self._pane.has_unsaved

    @property
    def unsaved_name(self) -> str:
        """The name of the file with changes that are not saved, or ""."""
        return Path(self._pane.file).name if self.has_unsaved else ""

    def launch_request(self) -> LaunchRequest | None:
        """What a launch would start: the text as it is shown; None where there is none."""
        if not self._is_opened or self._pane.has_nothing or self._pane.disk.problems:
            return None
        return LaunchRequest(
            file=self._pane.file,
            results=ResultsPaths(Path(self.session.results)),
            text=self._pane.text,
            is_modified=self._pane.has_unsaved,
        )

    # --- what is shown ----------------------------------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        """The file, and what it comes to."""
        self._pane = PlanFilePane(self._beside, is_readonly=self.session.is_readonly)
        self._side = PlanSide(self._beside, self.session)
        with Horizontal(id="plan-body"):
            yield self._pane
            yield self._side

    def on_mount(self) -> None:
        """Read the file."""
        self._side.show_nothing("reading the file", [])
        self._pane.open(self.session.file or DEFAULT_FILE)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """States of the runs may be different, and so may the file."""
        super().show_snapshot(snapshot)
        if self._is_opened:
            self._pane.look()
            self._side.take_snapshot(snapshot)

    def open_for(self, tag: str | None, rank: int | None) -> None:  # noqa: ARG002 - a plan has no ranks
        """Put the cursor on a run."""
        if tag is not None:
            self._side.move_to(tag)

    def copied(self) -> str:
        """The torchrun command of the run under the cursor, or the error."""
        return self._side.copied()

    def exported(self) -> Exported:
        """The runs, or the errors."""
        return self._side.exported(self.MODE.value)

    # --- from text to runs ------------------------------------------------------------------------------------------

    def on_plan_file_pane_text_changed(self) -> None:
        """Plan it, once the keys are still."""
        was_opened, self._is_opened = self._is_opened, True
        if self._timer is not None:
            self._timer.stop()
        if was_opened and self._pane.editor.has_focus:
            self._timer = self.set_timer(DELAY_S, self._plan)
        else:
            self._plan()

    def on_plan_file_pane_file_named(self, message: PlanFilePane.FileNamed) -> None:
        """From now on it is the session's."""
        self.session.file = message.file

    def on_plan_side_place_wanted(self, message: PlanSide.PlaceWanted) -> None:
        """Into the editor, where the error is."""
        self._unzoom()
        self._pane.editor.focus()
        self._pane.editor.go_to(message.problem.line, message.problem.column)

    def _plan(self) -> None:
        pane, snapshot, cells = self._pane, self.feed.snapshot, self._side.cells
        text, file = pane.text, pane.file
        if pane.has_nothing:
            self._offer_a_beginning()
        elif pane.disk.problems:
            self._take(PlanReading(text=text, problems=pane.disk.problems), snapshot)
        else:
            self._beside.do(
                "plan",
                lambda: read_text(text, file).at(snapshot, cells),
                lambda reading: self._take(reading, snapshot),
            )

    def _take(self, reading: PlanReading | Exception, snapshot: Snapshot) -> None:
        if isinstance(reading, Exception):
            words = f"the file cannot be planned: unexpected {type(reading).__name__}: {reading}"
            self.notify(strip_escapes(words), severity="error", markup=False)
            return
        self._side.show(reading, snapshot)
        is_valid = reading.plan is not None
        self._pane.tell(
            f"valid: {count(len(reading.runs), 'run')}" if is_valid else count(len(reading.problems), "error"),
            lines={problem.line for problem in reading.problems},
        )
        self._keep_focus()

    def _offer_a_beginning(self) -> None:
        steps = [("i", "begins one here, with a starter"), ("ddptui init", "writes the starter into a file")]
        self._side.show_nothing(f"there is no {self._pane.file}", steps[self.session.is_readonly :])
        self._pane.tell("", lines=set())

    def _keep_focus(self) -> None:
        """Nothing has the keys that is not seen; and at first the list has them."""
        side, focused, wanted = self._side, self.focused, self._side.place_of_keys
        is_well = focused is wanted or (focused is side.facts and side.kind == "runs")
        if wanted is not None and not is_well and (focused is None or side in focused.ancestors):
            self.call_after_refresh(wanted.focus)

    # --- keys -------------------------------------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Into the editor."""
        self._unzoom()
        self._pane.edit()

    def action_edit_outside(self) -> None:
        """Into $EDITOR."""
        self._pane.edit_outside()

    def action_save(self) -> None:
        """Save the file."""
        self._pane.save()

    def action_open(self) -> None:
        """The run's details with a check, the place of the error, or a file to begin with."""
        if not self._side.open() and self._is_opened:
            self._pane.edit()

    def action_back(self) -> None:
        """From the editor or the details to the list; a zoom first."""
        target = self._side.place_of_keys
        if not self._unzoom() and target is not None:
            target.focus()

    def action_zoom_pane(self) -> None:
        """Give the whole screen to the focused pane, or give it back."""
        if self._unzoom() or self.focused is None:
            return
        panes = (self._pane, self._side.list, self._side.facts)
        chosen = next((pane for pane in panes if pane in self.focused.ancestors_with_self), None)
        for pane in panes if chosen is not None else ():
            pane.set_class(pane is not chosen, "-away")
        self._side.set_class(chosen is self._pane, "-away")

    def _unzoom(self) -> bool:
        away = list(self.query(".-away"))
        for pane in away:
            pane.remove_class("-away")
        return bool(away)

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        """On a narrow screen the file is a line until it has the keys."""
        self.set_class(self.focused is not None and self._pane in self.focused.ancestors, "-editing")
        self.query_one(KeyBar).show_typing(self.focused is self._pane.editor)
