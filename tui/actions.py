"""What the keys of the table do that are the app's: they ask where it is due, then act through the supervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.message import Message
from textual.screen import Screen

from engine.core.errors import DdptuiError
from engine.core.wording import count
from engine.store import ResultsPaths, read_json
from tui import orders
from tui.keys import Mode
from tui.modals.choice import Choice, ChoiceModal
from tui.modals.diff import DiffModal
from tui.modals.help import HelpModal
from tui.modals.note import LineModal
from tui.output import strip_escapes
from tui.screens.base import ModeScreen
from tui.view.ports import FeedPort
from tui.view.run_row import RunRow
from tui.view.session import Session

if TYPE_CHECKING:
    from engine.core.commands import Reply

__all__ = ["RunActions"]


class _Done(Message):
    """Something that was done beside the screen is over."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then


class RunActions(App[Any]):
    """Mixed into the app: one ``action_<id>`` per key of the app that is about runs, files or leaving."""

    feed: FeedPort
    session: Session

    @property
    def mode_screen(self) -> ModeScreen | None:
        """The screen of the mode that is shown, also below a modal."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, ModeScreen)), None)

    # --- runs -------------------------------------------------------------------------------------------------------

    def action_launch(self) -> None:
        """Start the runs of the plan, as it is shown."""
        if not self._may_change():
            return
        from tui.modals.launch import LaunchModal
        from tui.start_runs import LaunchRequest

        plan = self._plan_screen()
        request = plan.launch_request() if plan is not None else None
        if plan is None and self.session.file:
            request = LaunchRequest(file=self.session.file, results=self._results())
        if request is None:
            where = "i begins one here" if self._is_in(Mode.PLAN) and not self.session.file else "6 shows why"
            self._say(f"launch: there is no experiment file that can be started; {where}", "warning")
            return
        self.push_screen(LaunchModal(request, self.feed.snapshot), lambda done: self._show_launched(done is True))

    def action_stop(self) -> None:
        """Stop runs, after a question."""
        self._end_runs("Stop", grace_s=20.0)

    def action_kill(self) -> None:
        """Kill runs, after a question."""
        self._end_runs("Kill", grace_s=0.0)

    def action_retry(self) -> None:
        """Queue ended runs again."""
        rows = self._chosen(lambda row: row.is_terminal, "retry: none of these runs has ended")
        done = [row for row in rows if row.state == "succeeded"]
        if done:
            what = count(len(rows), "run")
            lines = [f"{row.tag}  (succeeded: its result is replaced)" for row in done]
            modal = ChoiceModal(f"Run {what} again?", lines, [Choice("r", f"queue {what} again", "yes")])
            self._ask(modal, lambda _: self._order(lambda results: orders.retry(results, _keys(rows))))
        elif rows:
            self._order(lambda results: orders.retry(results, _keys(rows)))

    def action_hold(self) -> None:
        """Hold the queue, or let it go on."""
        if self._may_change():
            is_held = not self.feed.snapshot.is_held
            self._order(lambda results: orders.hold(results, is_held=is_held))

    def action_earlier(self) -> None:
        """Move a queued run forward."""
        self._move(-1)

    def action_later(self) -> None:
        """Move a queued run back."""
        self._move(1)

    def action_delete(self) -> None:
        """Delete ended runs, after a question."""
        rows = self._chosen(lambda row: row.is_terminal, "delete: only runs that have ended can be deleted")
        if rows:
            what = count(len(rows), "run")
            choices = [Choice("D", f"delete {what} and all their files", "delete")]
            lines = [*(f"{row.tag}  ({row.state})" for row in rows), "", "logs, models and figures go with them"]
            self._ask(ChoiceModal(f"Delete {what}?", lines, choices, is_danger=True), lambda _: self._delete(rows))

    def action_pin(self) -> None:
        """Pin runs, or unpin them where all are pinned."""
        rows = self._chosen(lambda _: True, "pin: there is no run here")
        if rows:
            is_pinned = not all(row.is_pinned for row in rows)
            self._annotate(rows, is_pinned=is_pinned)

    def action_note(self) -> None:
        """Write a note on runs."""
        rows = self._chosen(lambda _: True, "note: there is no run here")
        if rows:
            title = f"Note on {rows[0].id}" if len(rows) == 1 else f"Note on {len(rows)} runs"
            modal = LineModal(title, value=rows[0].note, placeholder="what is worth knowing about it")
            self._ask(modal, lambda note: self._annotate(rows, note=note))

    # --- looking and taking away ------------------------------------------------------------------------------------

    def action_diff(self) -> None:
        """Show what two runs were told differently."""
        tags = self._tags()
        rows = [row for row in (self.feed.snapshot.row(tag) for tag in tags) if row is not None]
        if len(rows) != 2:
            self._say("diff: mark two runs with space first", "warning")
            return
        left, right = ((row.id, read_json(self._results().run(row.experiment, row.id).run) or {}) for row in rows)
        self.push_screen(DiffModal(left, right))

    def action_report(self) -> None:
        """Read the report of the experiment of the current run; it is made where it is older than its runs."""
        row = self.feed.snapshot.row(self.session.current)
        comparison = self.feed.comparison()
        name = comparison.experiment if comparison is not None and self._is_in(Mode.COMPARE) else None
        name = name or (row.experiment if row is not None else None)
        if name is None:
            self._say("report: there is no experiment yet", "warning")
            return
        from tui.report_reading import read_report

        self._say(f"making the report of {name}" if not self.session.is_readonly else f"reading the report of {name}")
        results, is_readonly = self._results(), self.session.is_readonly
        self._beside(lambda: read_report(results, name, may_make=not is_readonly), lambda text: self._show(name, text))

    def action_export(self) -> None:
        """Write what is shown into a file."""
        screen = self.mode_screen
        if screen is None:
            return
        exported = screen.exported()
        offers = [
            Choice("c", "CSV: the values of the table", "csv") if exported.columns else None,
            Choice("p", "PNG: the charts", "png") if exported.charts else None,
            Choice("s", "SVG: the screen as it is", "svg"),
            Choice("t", "text", "txt") if exported.text or exported.columns else None,
        ]
        choices = [choice for choice in offers if choice is not None]
        lines = [f"{screen.MODE.name_shown}: {len(exported.rows):,} rows, {count(len(exported.charts), 'chart')}"]
        self._ask(ChoiceModal("Export as", lines, choices), self._ask_where)

    def action_copy(self) -> None:
        """Copy what is under the cursor."""
        screen = self.mode_screen
        text = screen.copied() if screen is not None else ""
        if not text:
            self._say("nothing to copy here")
            return
        self.copy_to_clipboard(text)
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        self._say(f"copied: {strip_escapes(shown.splitlines()[0])}")

    def action_copy_selection(self) -> None:
        """Copy the selected text; ctrl+c never stops anything."""
        text = self.screen.get_selected_text()
        if text:
            self.copy_to_clipboard(text)
            self._say("copied the selection")
        else:
            self._say("nothing is selected; ctrl+c stops nothing here: s stops runs, q leaves")

    def action_help(self) -> None:
        """The keys."""
        screen = self.mode_screen
        self.push_screen(HelpModal(screen.MODE if screen is not None else Mode.RUNS))

    # --- leaving ----------------------------------------------------------------------------------------------------

    def action_ask_quit(self) -> None:
        """Leave; where runs go on, ask what is to become of them."""
        rows = [row for row in self.feed.snapshot.rows if not row.is_terminal and _is_taken(row, self.feed)]
        lines = [f"{row.tag}  ({row.state})" for row in rows]
        choices = [Choice("d", "detach: the runs go on without this screen", "detach")]
        if rows and not self.session.is_readonly:
            choices.append(Choice("s", f"stop {count(len(rows), 'run')}, then leave", "stop"))
        unsaved = self._unsaved()
        if unsaved:
            lines.append(f"{unsaved} has unsaved changes, which are lost")
            choices = [*choices[1:], Choice("d", "leave all the same", "detach")] if not rows else choices
        if not lines:
            self.exit()
            return
        title = f"{count(len(rows), 'run')} go on" if len(rows) > 1 else "1 run goes on" if rows else "Leave?"
        modal = ChoiceModal(title, lines, choices)
        self._ask(modal, lambda answer: self._leave(answer, rows))

    # --- how it is done ---------------------------------------------------------------------------------------------

    def carry_out(self, what: str, tags: Sequence[str]) -> None:
        """Begin an action on runs, as if they were marked and its key was pressed."""
        kept, self.session.marked = self.session.marked, list(tags)
        try:
            getattr(self, f"action_{what}")()
        finally:
            self.session.marked = kept

    def on__done(self, message: _Done) -> None:
        """Go on, on the screen's own thread."""
        message.then()

    def go(self, mode: str, tag: str | None = None, rank: int | None = None) -> None:
        """Show a mode; the app's own."""
        raise NotImplementedError

    def _show_launched(self, is_done: bool) -> None:
        if is_done:
            self.feed.look_now()
            self.go(Mode.RUNS.value)

    def _plan_screen(self) -> Any:
        """The screen of Plan where it was opened before, else None."""
        stack = self._screen_stacks.get(Mode.PLAN.value, [])
        return next((s for s in stack if isinstance(s, ModeScreen) and s.MODE is Mode.PLAN), None)

    def _end_runs(self, verb: str, *, grace_s: float) -> None:
        rows = self._chosen(lambda row: not row.is_terminal, f"{verb.lower()}: these runs have ended already")
        if not rows:
            return
        what = count(len(rows), "run")
        key = verb[0].lower() if grace_s else verb[0]
        words = "SIGTERM, they finish their step and leave" if grace_s else "SIGKILL, at once: the step is lost"
        choices = [Choice(key, f"{verb.lower()} {what}: {words}", "yes")]
        lines = [f"{row.tag}  ({row.state})" for row in rows]
        modal = ChoiceModal(f"{verb} {what}?", lines, choices, is_danger=True)
        self._ask(modal, lambda _: self._order(lambda results: orders.stop(results, _keys(rows), grace_s=grace_s)))

    def _delete(self, rows: Sequence[RunRow]) -> None:
        gone = {row.tag for row in rows}
        self.session.marked = [tag for tag in self.session.marked if tag not in gone]
        self._order(lambda results: orders.delete(results, _keys(rows)))

    def _move(self, by: int) -> None:
        waiting = set(self.feed.snapshot.queue)
        rows = self._chosen(lambda row: row.tag in waiting, "only runs that wait in the queue can be moved")
        if rows:
            self._order(lambda results: orders.move(results, _keys(rows), by), is_quiet=True)

    def _annotate(self, rows: Sequence[RunRow], *, is_pinned: bool | None = None, note: str | None = None) -> None:
        results = self._results()

        def write() -> str:
            for row in rows:
                orders.annotate(results.run(row.experiment, row.id), is_pinned=is_pinned, note=note)
            return ""

        self._beside(write, lambda _: self.feed.look_now())

    def _leave(self, answer: str, rows: Sequence[RunRow]) -> None:
        if answer == "stop":
            self._say(f"stopping {count(len(rows), 'run')}")
            results = Path(self.session.results)
            self._beside(
                lambda: orders.stop(results, _keys(rows), timeout_s=10.0).message,
                lambda message: self.exit(message=f"{message}; `ddptui` shows how they end"),
            )
        else:
            going_on = f"{count(len(rows), 'run')} go on; `ddptui` shows them again" if len(rows) > 1 else ""
            one = "1 run goes on; `ddptui` shows it again" if len(rows) == 1 else None
            self.exit(message=going_on or one)

    def _ask_where(self, ending: str) -> None:
        screen = self.mode_screen
        if screen is None:
            return
        svg = self.export_screenshot(title="ddptui") if ending == "svg" else ""
        exported = screen.exported()
        modal = LineModal("Write to", value=f"ddptui-{exported.name}.{ending}")

        def write(name: str) -> None:
            from tui.export_view import write_view

            self._beside(
                lambda: str(write_view(exported, Path(name).expanduser(), svg=svg)),
                lambda path: self._say(f"written: {path}"),
            )

        self._ask(modal, write)

    def _show(self, name: str, text: str) -> None:
        from tui.modals.report import ReportModal

        self.push_screen(ReportModal(f"Report of {name}", text, str(self._results().experiment(name).report_html)))

    def _order(self, give: Callable[[Path], Reply], *, is_quiet: bool = False) -> None:
        """Give an order to the supervisor beside the screen, and say what it answered."""
        results = Path(self.session.results)

        def hear(reply: Reply) -> None:
            if not reply.ok or not is_quiet:
                self._say(reply.message, "information" if reply.ok else "warning")
            self.feed.look_now()

        self._beside(lambda: give(results), hear)

    def _beside(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do ``work`` on a thread that cannot hold up the leaving, then ``then`` on the screen's own."""

        def do() -> None:
            try:
                value = work()
            except (DdptuiError, OSError) as error:
                line = " ".join(str(error).split())
                self.post_message(_Done(lambda: self._say(line, "error")))
            except Exception as error:  # noqa: BLE001 - a fault of ours is one line, and the screen goes on
                line = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
                self.post_message(_Done(lambda: self._say(line, "error")))
            else:
                self.post_message(_Done(lambda: then(value)))

        threading.Thread(target=do, name="order", daemon=True).start()

    def _ask(self, modal: Screen[Any], then: Callable[[str], None]) -> None:
        def answered(answer: str | None) -> None:
            if answer is not None and (answer or isinstance(modal, LineModal)):
                then(answer)

        self.push_screen(modal, answered)

    def _chosen(self, is_fit: Callable[[RunRow], bool], otherwise: str) -> list[RunRow]:
        """The runs an action is about; empty, with a word to the person, where it may not or cannot be."""
        if not self._may_change():
            return []
        rows = [row for row in (self.feed.snapshot.row(tag) for tag in self._tags()) if row is not None]
        fit = [row for row in rows if is_fit(row)]
        if not fit:
            self._say(otherwise if rows else "there is no run here", "warning")
        return fit

    def _may_change(self) -> bool:
        if self.session.is_readonly:
            self._say("read only: nothing can be changed from here (started with --readonly)", "warning")
        return not self.session.is_readonly

    def _tags(self) -> Iterable[str]:
        screen = self.mode_screen
        return screen.targets() if screen is not None else ()

    def _is_in(self, mode: Mode) -> bool:
        screen = self.mode_screen
        return screen is not None and screen.MODE is mode

    def _unsaved(self) -> str:
        """The name of an experiment file with changes that are not saved, or ""."""
        plan = self._plan_screen()
        return str(plan.unsaved_name) if plan is not None else ""

    def _results(self) -> ResultsPaths:
        return ResultsPaths(Path(self.session.results))

    def _say(self, text: str, severity: Any = "information") -> None:
        """Say it, unless it is still to be read."""
        shown = strip_escapes(text)
        if not any(notice.message == shown for notice in self._notifications):
            self.notify(shown, severity=severity, markup=False)


def _keys(rows: Sequence[RunRow]) -> list[tuple[str, str]]:
    return [(row.experiment, row.id) for row in rows]


def _is_taken(row: RunRow, feed: FeedPort) -> bool:
    """Whether the supervisor has it in hand: a run that was never queued does not go on."""
    return row.is_active or row.tag in feed.snapshot.queue
