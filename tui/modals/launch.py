"""Start the runs of the plan: what will start, how, and what it will cost; then the key that does it."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from engine.core.errors import DdptuiError, InputError
from engine.core.lifecycle import Rerun
from engine.core.plan import Plan
from engine.core.wording import count
from tui.beside import Beside
from tui.check import CheckResult, check_runs
from tui.modals.base import PanelModal
from tui.output import strip_escapes
from tui.plan_command import describe_cost, estimate_plan, num_gpus_of
from tui.start_runs import LaunchRequest, Started, begin, make_launch_plan
from tui.view.launch_view import RERUNS, count_plan, describe_launch, queue_words, queued_tags
from tui.view.plan_view import problem_line
from tui.view.snapshot import Snapshot
from tui.view.table import Pieces
from tui.widgets.plan_facts import PlanFacts

__all__ = ["LaunchModal"]


class LaunchModal(PanelModal[bool]):
    """Answers True once runs were queued, None where nothing was; what came of it is also a notice.

    Args:
        request: what is to be started.
        snapshot: of the results folder, for what is there and what waits.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "smoke", "smoke"),
        Binding("r", "rerun", "rerun"),
        Binding("enter", "start", "start"),
    ]
    DEFAULT_CSS = """
    LaunchModal > Vertical { width: 84; }
    LaunchModal PlanFacts { height: auto; max-height: 100%; background: $surface; padding: 0; }
    LaunchModal #launch-foot { height: auto; margin-top: 1; }
    """

    def __init__(self, request: LaunchRequest, snapshot: Snapshot) -> None:
        super().__init__("Launch", keys="s smoke · r rerun · esc starts nothing")
        self._request = request
        self._snapshot = snapshot
        self._is_smoke = False
        self._rerun: Rerun = "missing"
        self._plans: dict[bool, Plan | DdptuiError | None] = {}
        self._checks: dict[bool, CheckResult | DdptuiError | None] = {}
        self._is_armed = False
        self._is_starting = False
        self._facts = PlanFacts()
        self._foot = Static("", id="launch-foot", markup=False)
        self._beside = Beside(lambda then: self._from().call_later(then))

    def compose_panel(self) -> ComposeResult:
        """What will start, and the key."""
        yield self._facts
        yield self._foot

    def on_mount(self) -> None:
        """Plan and check."""
        self._home = self.app
        self._prepare()

    def action_smoke(self) -> None:
        """Five steps each, or the whole training."""
        if not self._is_starting:
            self._is_smoke, self._is_armed = not self._is_smoke, False
            self._prepare()

    def action_rerun(self) -> None:
        """Next rule."""
        if not self._is_starting:
            rules = list(RERUNS)
            self._rerun = rules[(rules.index(self._rerun) + 1) % len(rules)]
            self._draw()

    def action_start(self) -> None:
        """Queue the runs, as soon as the check is through."""
        plan, check = self._plan, self._check
        if self._is_starting or isinstance(plan, DdptuiError) or isinstance(check, DdptuiError):
            return
        if plan is None or check is None:
            self._is_armed = True
        elif self._num_queued:
            self._is_starting = True
            request, rerun = self._request, self._rerun
            self._beside.do(
                "start",
                lambda: begin(plan, request.results, rerun=rerun, check=check, tell=lambda _line: None),
                self._started,
            )
        self._draw()

    @property
    def _plan(self) -> Plan | DdptuiError | None:
        return self._plans.get(self._is_smoke)

    @property
    def _check(self) -> CheckResult | DdptuiError | None:
        return self._checks.get(self._is_smoke)

    @property
    def _num_queued(self) -> int:
        plan = self._plan
        return len(queued_tags(plan, self._snapshot, self._rerun)) if isinstance(plan, Plan) else 0

    def _from(self) -> Any:
        """The app: it outlives this modal, and so do the notices."""
        return self._home

    def _prepare(self) -> None:
        """Plan, then check, each once per kind of launch."""
        is_smoke, request = self._is_smoke, self._request
        if is_smoke not in self._plans:
            self._plans[is_smoke] = None
            self._beside.do(
                f"plan {is_smoke}",
                lambda: make_launch_plan(request, is_smoke=is_smoke),
                lambda plan: self._take_plan(is_smoke, plan),
            )
        self._draw()

    def _take_plan(self, is_smoke: bool, plan: Plan | Exception) -> None:
        self._plans[is_smoke] = _known(plan)
        if isinstance(plan, Plan):
            self._beside.do(
                f"check {is_smoke}", lambda: check_runs(plan.runs), lambda check: self._take_check(is_smoke, check)
            )
        self._draw()

    def _take_check(self, is_smoke: bool, check: CheckResult | Exception) -> None:
        self._checks[is_smoke] = _known(check)
        if self._is_armed and is_smoke == self._is_smoke and self.is_attached:
            self.action_start()
        self._draw()

    def _started(self, started: Started | Exception) -> None:
        """Say it where it is seen, whether or not this modal still is."""
        app = self._from()
        if isinstance(started, Exception):
            self._is_starting = False
            app.notify(strip_escapes(str(started)), severity="error", markup=False)
            self._draw()
            return
        app.notify(strip_escapes(started.line()), markup=False)
        app.feed.look_now()
        if self.is_attached:
            self.dismiss(True)

    def _draw(self) -> None:
        if not self.is_attached:
            return
        plan = self._plan
        file = strip_escapes(self._request.file)
        more = "  (with changes that are not saved in it)" if self._request.is_modified else ""
        self._panel.border_title = f"Launch {file}{more}".replace("[", r"\[")
        self._foot.update(self._foot_words())
        if not isinstance(plan, Plan):
            self._facts.set_facts(())
            return
        own = [f"{spec.experiment}/{spec.id}" for spec in plan.runs]
        self._facts.set_facts(
            describe_launch(
                count_plan(plan, self._snapshot, self._rerun),
                is_smoke=self._is_smoke,
                rerun=self._rerun,
                results=str(self._request.results.root),
                queue=queue_words(self._snapshot, own),
                check=self._check_words(),
                expected=self._expected(plan),
            )
        )

    def _check_words(self) -> Pieces:
        check = self._check
        if check is None:
            return (("checking that these runs can train here", "text-muted"),)
        if isinstance(check, DdptuiError):
            return ((str(check), "error"),)
        versions = {facts.get("torch") for facts in check.interpreters.values()} - {None}
        return (("these runs can train here", "success"), (f"  torch {', '.join(sorted(map(str, versions)))}", ""))

    def _expected(self, plan: Plan) -> str:
        check = self._check
        if not isinstance(check, CheckResult):
            return "n/a" if isinstance(check, DdptuiError) else "n/a yet"
        estimates = estimate_plan(plan, check.points, num_gpus_of(check))
        queued = queued_tags(plan, self._snapshot, self._rerun)
        return describe_cost([estimates[tag] for tag in queued])

    def _foot_words(self) -> Text:
        plan, check = self._plan, self._check
        if plan is None:
            return Text("planning")
        if isinstance(plan, DdptuiError):
            problems = plan.problems if isinstance(plan, InputError) else []
            lines = [problem_line(problem) for problem in problems[:8]] or [str(plan)]
            rest = [f"and {len(problems) - 8} more"] if len(problems) > 8 else []
            return Text(strip_escapes("\n".join([*lines, *rest])), style=self._error_style(), overflow="fold")
        if self._is_starting:
            return Text("queueing them")
        if isinstance(check, DdptuiError):
            return Text("nothing can start like this: esc, then put it right in the file (6) and launch again")
        if self._is_armed:
            return Text("they start as soon as the check is through; esc leaves it")
        if not self._num_queued:
            return Text("there is nothing to start by this rule: r chooses another")
        words = Text.assemble(("  enter  ", "bold reverse"), f"  start {count(self._num_queued, 'run')}")
        return words if check is not None else words.append(" when the check is through")

    def _error_style(self) -> str:
        return self.app.theme_variables.get("error", "red") if not self.app.current_theme.ansi else "red"


def _known(value: Any) -> Any:
    """What was raised, as an error that can be shown."""
    if isinstance(value, Exception) and not isinstance(value, DdptuiError):
        return DdptuiError(f"unexpected {type(value).__name__}: {' '.join(str(value).split())}")
    return value
