"""What the experiment file comes to: its errors, or its runs and all there is to know of the one under the cursor."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from engine.catalog import STRATEGY_TRAITS
from engine.core.errors import Problem
from engine.core.spec import RunSpec
from engine.core.wording import count
from engine.store import ResultsPaths
from tui.beside import Beside
from tui.output import strip_escapes
from tui.plan_command import commands_of, topology_of
from tui.plan_reading import PlanReading, check_key, check_planned
from tui.theme import STATE_MARKS, state_color
from tui.view.exported import Exported
from tui.view.plan_detail import Checked, describe_run
from tui.view.plan_view import NEW, PLAN_COLUMNS, export_plan, export_problems, problem_line
from tui.view.session import Session
from tui.view.snapshot import EMPTY, Snapshot
from tui.view.table import Cell
from tui.widgets.empty_state import EmptyState
from tui.widgets.live_table import LiveTable
from tui.widgets.plan_facts import PlanFacts
from tui.widgets.plan_problems import PlanProblems

__all__ = ["PlanSide"]

MANY_RUNS = 500
"""More rows than that are not filled in while keys wait."""


class PlanSide(Vertical):
    """The list (of runs or errors) over the facts of a run.

    Args:
        beside: does what takes long.
        session: where the results are, and what may be done.
    """

    class PlaceWanted(Message):
        """The place of an error is to be shown in the editor."""

        def __init__(self, problem: Problem) -> None:
            super().__init__()
            self.problem = problem

    def __init__(self, beside: Beside, session: Session) -> None:
        super().__init__(id="plan-right")
        self._beside = beside
        self._session = session
        self.table = LiveTable(PLAN_COLUMNS, is_ascii=session.is_ascii)
        self.problems = PlanProblems()
        self.facts = PlanFacts()
        self.list = Vertical(self.table, self.problems, empty := EmptyState(), id="plan-list")
        self._empty = empty
        self.reading = PlanReading(text="")
        self._snapshot = EMPTY
        self._checked: dict[str, Checked] = {}
        self._to_check: list[RunSpec] = []
        self._is_checking = False

    def compose(self) -> ComposeResult:
        """List and facts."""
        yield self.list
        yield self.facts

    @property
    def kind(self) -> str:
        """What the list is: ``runs``, ``problems``, or ``empty``."""
        if self.reading.plan is not None:
            return "runs"
        return "problems" if self.reading.problems else "empty"

    @property
    def place_of_keys(self) -> Widget | None:
        """What is to have the keys where nothing else has them."""
        lists: dict[str, Widget] = {"runs": self.table, "problems": self.problems}
        return lists.get(self.kind)

    @property
    def cells(self) -> dict[str, Cell]:
        """The cell of each state."""
        return {state: self._state_cell(state) for state in (NEW, *STATE_MARKS)}

    def show_nothing(self, title: str, steps: list[tuple[str, str]]) -> None:
        """Say why there is nothing, and how to begin."""
        self._empty.show(title, steps)
        self.show(PlanReading(text=""), self._snapshot)

    def show(self, reading: PlanReading, snapshot: Snapshot) -> None:
        """Show what a text came to; its states are those of ``snapshot``, or of a newer one shown meanwhile."""
        self.reading = reading
        for name in ("runs", "problems", "empty"):
            self.list.set_class(name == self.kind, f"-{name}")
        self.set_class(self.kind != "runs", "-without-runs")
        self.problems.set_problems(reading.problems)
        if reading.plan is None:
            self.list.border_title = "Errors" if reading.problems else "Runs"
            self.list.border_subtitle = "enter goes there" if reading.problems else ""
        self._show_runs()
        if self._snapshot.revision > snapshot.revision:
            self.take_snapshot(self._snapshot)
        else:
            self._snapshot = snapshot

    def take_snapshot(self, snapshot: Snapshot) -> None:
        """Take the states of the results folder; of very many runs beside the screen."""
        self._snapshot = snapshot
        reading, cells = self.reading, self.cells
        if len(reading.runs) <= MANY_RUNS:
            self._take_states(reading.at(snapshot, cells))
        else:
            self._beside.do("states", lambda: reading.at(snapshot, cells), self._take_states)

    def move_to(self, tag: str) -> None:
        """Put the cursor on a run."""
        if self.table.move_to(tag):
            self.table.focus()

    def open(self) -> bool:
        """Show what the interpreter of the run says, or the place of the error; False where there is neither."""
        if self.kind == "problems" and self.problems.current is not None:
            self.post_message(self.PlaceWanted(self.problems.current))
        elif self.kind == "runs":
            self._check()
            self.facts.focus()
        return self.kind != "empty"

    def copied(self) -> str:
        """The torchrun command of the run under the cursor, or the error."""
        if self.kind == "problems":
            return problem_line(self.problems.current) if self.problems.current is not None else ""
        found = self.reading.runs.get(self.table.cursor_key or "")
        return "\n".join(self._commands(found[0])) if found is not None else ""

    def exported(self, name: str) -> Exported:
        """The runs, or the errors."""
        reading = self.reading
        if reading.plan is None:
            columns, rows = export_problems(reading.problems)
        else:
            columns, rows = export_plan(reading.plan, reading.states)
        return Exported(name=name, columns=columns, rows=rows)

    def on_live_table_moved(self, message: LiveTable.Moved) -> None:
        """Another run is under the cursor."""
        message.stop()
        self._show_details()
        self.facts.scroll_home(animate=False)

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        """Two clicks."""
        message.stop()
        self.open()

    def on_plan_problems_opened(self, message: PlanProblems.Opened) -> None:
        """A click on an error."""
        message.stop()
        self.post_message(self.PlaceWanted(message.problem))

    def _take_states(self, reading: PlanReading | Exception) -> None:
        if isinstance(reading, PlanReading) and reading.plan is self.reading.plan:
            self.reading = reading
            self._show_runs()

    def _show_runs(self) -> None:
        reading, plan = self.reading, self.reading.plan
        if plan is None:
            return
        self.table.set_rows(reading.rows)
        several = f" in {count(len(plan.experiments), 'experiment')}" if len(plan.experiments) > 1 else ""
        num_new = sum(state == NEW for state in reading.states.values())
        title = f"{count(len(reading.runs), 'run')}{several} · {num_new:,} new"
        if self.list.border_title != title:
            self.list.border_title = title
            self.list.border_subtitle = "" if self._session.is_readonly else "l launches"
        self._show_details()

    def _state_cell(self, state: str) -> Cell:
        mark = "+" if state == NEW else STATE_MARKS.get(state, " ")
        shown = state if self._session.is_ascii else f"{mark} {state}"
        return (shown, "accent" if state == NEW else state_color(state))

    def _show_details(self) -> None:
        tag = self.table.cursor_key or ""
        found = self.reading.runs.get(tag)
        if found is None:
            self.facts.border_title = ""
            self.facts.set_facts(())
            return
        spec, experiment = found
        checked = self._known(spec)
        row = self._snapshot.row(tag)
        self.facts.border_title = strip_escapes(spec.id)
        self.facts.set_facts(
            describe_run(
                spec,
                experiment,
                topology_of(spec, checked.num_gpus),
                STRATEGY_TRAITS[spec.config.strategy],
                state=self.reading.states.get(tag, NEW),
                reason=row.reason if row is not None else "",
                commands=self._commands(spec),
                checked=checked,
            )
        )

    def _commands(self, spec: RunSpec) -> list[str]:
        return commands_of(spec, ResultsPaths(Path(self._session.results)), self._known(spec).num_gpus)

    def _known(self, spec: RunSpec) -> Checked:
        return self._checked.get(check_key(spec), Checked())

    def _check(self) -> None:
        """Ask the interpreter of the run under the cursor, unless it was asked."""
        found = self.reading.runs.get(self.table.cursor_key or "")
        if found is None:
            return
        known = self._checked.get(check_key(found[0]))
        if known is None or known.problems:
            self._checked[check_key(found[0])] = Checked(is_running=True)
            self._to_check.append(found[0])
            self._check_next()
            self._show_details()

    def _check_next(self) -> None:
        """One at a time: each loads torch and trains a step."""
        if self._to_check and not self._is_checking:
            self._is_checking = True
            spec = self._to_check.pop(0)
            self._beside.do("check", lambda: check_planned(spec), lambda value: self._learn(check_key(spec), value))

    def _learn(self, key: str, checked: Checked | Exception) -> None:
        if isinstance(checked, Exception):
            checked = Checked(problems=(f"unexpected {type(checked).__name__}: {checked}",))
        self._checked[key] = checked
        self._is_checking = False
        self._show_details()
        self._check_next()
