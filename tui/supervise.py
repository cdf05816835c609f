"""Talk to the supervisor of a results folder: ``pause``, ``retry``, and what the follower needs of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine import control
from engine.core.errors import DdptuiError, InputError
from engine.core.lifecycle import Rerun
from engine.core.spec import RunSpec
from engine.core.state import RunState
from engine.logout import warn_of_logout
from engine.store import ResultsPaths
from tui.output import say, write_line
from tui.run_names import find_run, list_named_runs
from tui.run_row import RunReader

__all__ = ["Supervisor", "hold_queue", "retry_runs"]


class Supervisor:
    """The supervisor of one results folder, as the commands see it.

    Args:
        results: the folder.
    """

    def __init__(self, results: ResultsPaths) -> None:
        self._results = results.root

    def warn(self, tell: Callable[[str], None]) -> None:
        """Tell what would end a supervisor that is to be started now before its runs are through: a logout."""
        if control.is_supervisor_alive(self._results) is False and (line := warn_of_logout()):
            tell(line)

    def ensure(self) -> bool:
        """Start a supervisor if there is none; return whether one was started.

        Raises:
            DdptuiError: none can be started.
        """
        return control.ensure_supervisor(self._results)

    def enqueue(self, experiment: str, plan: dict[str, Any], runs: Sequence[RunSpec], rerun: Rerun) -> dict[str, Any]:
        """Queue the runs of one experiment; return the ids that were ``queued`` and ``skipped``.

        Raises:
            DdptuiError: it was refused, or nobody answers.
        """
        reply = control.enqueue(self._results, experiment=experiment, plan=plan, runs=runs, rerun=rerun)
        if not reply.ok:
            raise DdptuiError(f"{experiment}: {reply.message}")
        return reply.data

    def stop(self, tags: Sequence[str]) -> str:
        """Ask for runs (``experiment/run``) to be stopped; return the answer, which comes before they have ended.

        Raises:
            DdptuiError: it was refused, or nobody answers.
        """
        pairs = [tag.partition("/") for tag in tags]
        reply = control.stop(self._results, [(experiment, run_id) for experiment, _, run_id in pairs])
        if not reply.ok:
            raise DdptuiError(reply.message)
        return reply.message


def hold_queue(results: ResultsPaths, *, is_held: bool) -> int:
    """Hold the queue, or let it go on.

    Raises:
        InputError: there is no such folder.
        DdptuiError: nobody answers.
    """
    if not results.root.is_dir():
        raise InputError(f"no results folder {results.root}")
    say(_expect(control.hold(results.root, is_held=is_held)))
    return 0


def retry_runs(results: ResultsPaths, names: Sequence[str], *, failed: bool) -> int:
    """Queue the named runs again, or all that did not succeed; with neither take up what a dead supervisor left.

    Raises:
        InputError: no such run, or both were given.
        DdptuiError: nobody answers.
    """
    if failed and names:
        raise InputError("name the runs to retry, or give --failed (not both)")
    if not results.root.is_dir():
        raise InputError(f"no results folder {results.root}")
    if not failed and not names:
        supervisor = Supervisor(results)
        supervisor.warn(say)
        started = supervisor.ensure()
        going = "a supervisor is at work, nothing was left behind; name the runs to retry, or give --failed"
        say("started a supervisor, which takes up what was left" if started else going)
        return 0
    runs = list_named_runs(results) if failed else [find_run(results, name) for name in names]
    views = [RunReader(run).read() for run in runs]
    wanted = (RunState.FAILED, RunState.LOST, RunState.STOPPED)
    chosen = [view for view in views if view.is_terminal and (not failed or view.state in wanted)]
    for view in views if not failed else []:
        if not view.is_terminal:
            say(f"{view.tag} has not ended: {view.state}")
    if not chosen:
        say("nothing to retry")
        return 0
    say(_expect(control.retry(results.root, [(view.experiment, view.id) for view in chosen])))
    for view in chosen:
        write_line(view.tag)
    return 0


def _expect(reply: control.Reply) -> str:
    if not reply.ok:
        raise DdptuiError(reply.message)
    return reply.message
