"""Talk to the supervisor of a results folder: ``stop``, and what the follower needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine import control
from engine.core.errors import DdptuiError, InputError
from engine.core.lifecycle import Rerun
from engine.core.spec import RunSpec
from engine.store import ResultsPaths
from tui.output import say, write_line
from tui.run_names import find_run, list_named_runs
from tui.run_row import RunReader

__all__ = ["Supervisor", "stop_runs"]


class Supervisor:
    """The supervisor of one results folder, as the commands see it.

    Args:
        results: the folder.
    """

    def __init__(self, results: ResultsPaths) -> None:
        self._results = results.root

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


def stop_runs(results: ResultsPaths, names: Sequence[str], *, every: bool) -> int:
    """Stop the named runs, or all that are queued or going on.

    Raises:
        InputError: no such run, or no run was named.
    """
    if every == bool(names):
        raise InputError("name the runs to stop, or give --all (not both)")
    runs = list_named_runs(results) if every else [find_run(results, name) for name in names]
    views = [RunReader(run).read() for run in runs]
    ended = [view for view in views if view.is_terminal]
    tags = [view.tag for view in views if not view.is_terminal]
    for view in ended if not every else []:
        say(f"{view.tag} has ended already: {view.state}")
    if not tags:
        say("nothing to stop")
        return 0
    say(Supervisor(results).stop(tags))
    for tag in tags:
        write_line(tag)
    return 0
