"""What listings show of runs: their files, and a state that never says running of what is not."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from engine.core.fields import number, text, whole_or
from engine.core.lifecycle import NodeExit, Outcome, effective_outcome, stored_state
from engine.core.state import RunState, is_active
from engine.processes import Handle, describe_reboot, has_rebooted, is_alive
from engine.store import AttemptPaths, ResultsPaths, RunPaths, is_full, list_experiments, list_runs, read_json

__all__ = ["RunView", "list_views", "num_nodes", "read_exits", "read_run"]


_MAX_NODES = 4096
"""What a folder says may be nonsense; each node is a look at a file."""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run as it is now.

    Attributes:
        paths: its folder.
        experiment: the name of its experiment.
        spec: ``run.json``; empty where it cannot be read.
        status: ``status.json`` as stored; empty where there is none.
        state: the effective state.
        reason: one line, or "".
        attempt: the newest attempt that was begun; 0 for none.
        queued_s, started_s, ended_s: Unix seconds, None where unknown.
    """

    paths: RunPaths
    experiment: str
    spec: dict[str, Any]
    status: dict[str, Any]
    state: RunState
    reason: str
    attempt: int
    queued_s: float | None = None
    started_s: float | None = None
    ended_s: float | None = None

    @property
    def run_id(self) -> str:
        """The name of its folder."""
        return self.paths.run_id


def list_views(results: ResultsPaths, *, now_s: float | None = None) -> list[RunView]:
    """Return every run of the folder, by experiment and name."""
    experiments = [results.experiment(name) for name in list_experiments(results)]
    return [read_run(paths, now_s=now_s) for experiment in experiments for paths in list_runs(experiment)]


def read_run(paths: RunPaths, *, now_s: float | None = None) -> RunView:
    """Read one run; what is missing or broken is empty, and its state is what it is in truth.

    Args:
        paths: the run's folder.
        now_s: Unix seconds; the clock's where None.
    """
    view = _read_once(paths, time.time() if now_s is None else now_s)
    if is_active(stored_state(view.status) or RunState.QUEUED) and view.state is not stored_state(view.status):
        # The supervisor may have written the end while we looked at its processes.
        again = read_json(paths.status) or {}
        if again.get("state") != view.status.get("state"):
            return replace(_read_once(paths, time.time() if now_s is None else now_s), spec=view.spec)
    return view


def num_nodes(spec: dict[str, Any]) -> int:
    """How many node runners the run has."""
    config = spec.get("config")
    return min(max(whole_or(config, "nodes", 1), 1), _MAX_NODES) if isinstance(config, dict) else 1


def read_exits(attempt: AttemptPaths, nodes: int) -> dict[int, NodeExit | None]:
    """Return per node rank how it ended; None for those that have not said."""
    values = {node_rank: read_json(attempt.exit(node_rank)) for node_rank in range(nodes)}
    return {rank: None if value is None else NodeExit.from_json(value) for rank, value in values.items()}


def _read_once(paths: RunPaths, now_s: float) -> RunView:
    spec, status = read_json(paths.run) or {}, read_json(paths.status) or {}
    attempt = whole_or(status, "attempt", 0)
    outcome = _outcome(paths, spec, status, now_s)
    return RunView(
        paths=paths,
        experiment=paths.root.parent.parent.name,
        spec=spec,
        status=status,
        state=outcome.state,
        reason=outcome.reason,
        attempt=attempt,
        queued_s=number(status, "queued_s"),
        started_s=number(status, "started_s"),
        ended_s=number(status, "ended_s"),
    )


def _outcome(paths: RunPaths, spec: dict[str, Any], status: dict[str, Any], now_s: float) -> Outcome:
    state = stored_state(status)
    if state is None or not is_active(state):
        return Outcome(state=state or RunState.QUEUED, reason=text(status, "reason") or "")
    nodes = num_nodes(spec)
    attempt = paths.attempt(whole_or(status, "attempt", 0))
    supervisor = Handle.from_json(status.get("handle"))
    runners = [Handle.from_json(read_json(attempt.handle(node_rank))) for node_rank in range(nodes)]
    is_runner_alive = _any_alive(runners)  # before the exits are read: a runner writes its exit, then ends
    outcome = effective_outcome(
        status,
        read_exits(attempt, nodes),
        is_supervisor_alive=False if supervisor is None else is_alive(supervisor),
        is_runner_alive=is_runner_alive,
        age_s=max(now_s - (number(status, "updated_s") or 0.0), 0.0),
        host="" if supervisor is None else supervisor.host,
        is_disk_full=is_full(paths.root),
    )
    if outcome.state is RunState.LOST and any(runner is not None and has_rebooted(runner) for runner in runners):
        return replace(outcome, reason=describe_reboot())
    return outcome


def _any_alive(runners: list[Handle | None]) -> bool | None:
    """None where nobody is known to live but somebody may: a runner on another host, or one that is not known."""
    answers = [None if runner is None else is_alive(runner) for runner in runners]
    if True in answers:
        return True
    return None if None in answers else False
