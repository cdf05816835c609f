"""An enqueue command becomes run folders and queue entries."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core.commands import Enqueue
from engine.core.lifecycle import choose_runs, stored_state
from engine.core.run_queue import QueueEntry, RunKey
from engine.core.spec import RunSpec
from engine.core.state import RunState
from engine.overview import read_run
from engine.store import ResultsPaths, RunPaths, read_json, write_json

__all__ = ["Intake", "take_in"]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What an enqueue command came to.

    Attributes:
        new: what is to be put into the queue, in the order of the plan.
        busy: ids that are queued or active already.
        skipped: ids that the rerun rule leaves out.
    """

    new: list[QueueEntry]
    busy: list[str]
    skipped: list[str]


def take_in(command: Enqueue, results: ResultsPaths, *, busy: set[RunKey], now_s: float) -> Intake:
    """Write ``plan.json`` and the ``run.json`` of every run that is not busy; choose what is to run.

    Carrying the same command out twice does no harm.

    Args:
        command: checked.
        results: the folder.
        busy: what the queue holds.
        now_s: Unix seconds.

    Raises:
        OSError: a file cannot be written; nothing is queued then.
    """
    experiment = results.experiment(command.experiment)
    states: dict[str, RunState | None] = {}
    for spec in command.runs:
        paths = experiment.run(spec.id)
        if (command.experiment, spec.id) in busy:
            states[spec.id] = RunState.QUEUED
            continue
        states[spec.id] = _last_state(paths)
        write_json(paths.run, spec.model_dump(mode="json"))
        _refresh_summary(paths, spec)
    write_json(experiment.plan, command.plan)
    chosen, skipped = choose_runs(states, command.rerun)
    is_stop_on_error = command.plan.get("on_error") == "stop"
    entries = [
        QueueEntry(experiment=command.experiment, run_id=run_id, is_stop_on_error=is_stop_on_error, queued_s=now_s)
        for run_id in chosen
    ]
    return Intake(
        new=[entry for entry in entries if entry.key not in busy],
        busy=[entry.run_id for entry in entries if entry.key in busy],
        skipped=skipped,
    )


def _last_state(paths: RunPaths) -> RunState | None:
    """None for what never ran; a status that says active is not believed, since the queue does not know the run."""
    return read_run(paths).state if stored_state(read_json(paths.status)) is not None else None


def _refresh_summary(paths: RunPaths, spec: RunSpec) -> None:
    """The file may have got another axis or baseline since this run was made; its results are the same (same hash)."""
    summary = read_json(paths.summary)
    named = {"axes": spec.axes, "baseline": spec.baseline}
    if summary is not None and any(summary.get(key) != value for key, value in named.items()):
        write_json(paths.summary, {**summary, **named})
