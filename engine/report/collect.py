"""Gather what an experiment left in its folder, finished or not, whatever a stranger put there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.analysis.published import Published, read_reference
from engine.analysis.scaling import PointRow, make_points
from engine.core.errors import InputError
from engine.core.events import Event
from engine.core.fields import mapping, sequence, text
from engine.core.state import is_terminal
from engine.overview import read_run
from engine.report.wording import show_figure
from engine.store import AttemptPaths, ExperimentPaths, ResultsPaths, RunPaths, is_safe_name, list_runs, read_json
from engine.tail import RunFollower, read_events

__all__ = ["ExperimentData", "RunData", "environments", "events_of", "is_safe_name", "read_experiment"]

_EVENT_FILE = re.compile(r"(?:rank|node)(\d+)\.jsonl")


@dataclass(frozen=True, kw_only=True)
class RunData:
    """One run: its folder, ``run.json`` and summary (the file's, or made of its lines so far)."""

    paths: RunPaths
    spec: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.paths.run_id

    @property
    def state(self) -> str:
        """As the files say."""
        return text(self.summary, "state") or "unknown"

    @property
    def reason(self) -> str:
        """Why it is in that state, or ""."""
        return text(self.summary, "reason") or ""


@dataclass(frozen=True, kw_only=True)
class ExperimentData:
    """What a report is made of.

    Attributes:
        runs: those of the current plan, in its order; every run of the folder where there is no plan.
        notes: what could not be read or was refused.
    """

    name: str
    paths: ExperimentPaths
    plan: Mapping[str, Any]
    runs: tuple[RunData, ...]
    points: tuple[PointRow, ...]
    notes: tuple[str, ...]

    @property
    def data_notes(self) -> list[str]:
        """What the runs say of their data, such as that it is synthetic."""
        return list(dict.fromkeys(note for run in self.runs if (note := text(run.summary, "data_note")) is not None))

    @property
    def is_made_up(self) -> bool:
        """Whether any run trained on synthetic data: pictures and tables are to say so."""
        return any("synthetic" in note for note in self.data_notes)

    @cached_property
    def published(self) -> Published:
        """What others have published, matched to our points."""
        return read_reference(mapping(self.plan, "reference"), self.points, show_figure)

    def runs_of(self, point: str) -> list[RunData]:
        """The runs whose figures stand for a point: the succeeded ones, else all that have any."""
        runs = [run for run in self.runs if (text(run.spec, "point") or run.run_id) == point]
        return [run for run in runs if run.state == "succeeded"] or runs


def read_experiment(results: Path, name: str) -> ExperimentData:
    """Read the folder of one experiment.

    Raises:
        InputError: there is no such experiment in ``results``.
    """
    paths = ResultsPaths(results).experiment(name)
    if not is_safe_name(name) or not paths.root.is_dir():
        raise InputError(f"no experiment {name!r} in {results}")
    plan = read_json(paths.plan) or {}
    run_paths, notes = _find_runs(paths, plan)
    if not run_paths and not plan:
        raise InputError(f"{paths.root} holds neither a plan nor runs")
    runs = tuple(_read_run(run) for run in run_paths)
    points = make_points([(run.spec, run.summary) for run in runs])
    return ExperimentData(name=name, paths=paths, plan=plan, runs=runs, points=tuple(points), notes=tuple(notes))


def _find_runs(paths: ExperimentPaths, plan: Mapping[str, Any]) -> tuple[list[RunPaths], list[str]]:
    planned = sequence(plan, "run_ids")
    if not planned:
        return [run for run in list_runs(paths) if is_safe_name(run.run_id)], []
    found: list[RunPaths] = []
    notes: list[str] = []
    root = paths.root.resolve()
    for run_id in planned:
        if not isinstance(run_id, str) or not is_safe_name(run_id):
            notes.append(f"refused a run id that is none: {str(run_id)[:80]!r}")
            continue
        run = paths.run(run_id)
        if not run.root.resolve().is_relative_to(root):
            notes.append(f"refused run {run_id}: its folder leads out of the experiment")
        else:
            found.append(run)
    return found, notes


def _read_run(paths: RunPaths) -> RunData:
    """A finished run's summary is read; any other's is made of its lines so far, with its state as it is in truth."""
    view = read_run(paths)
    spec = view.spec or {"id": paths.run_id}
    summary = read_json(paths.summary)
    if summary is None or not is_terminal(view.state) or summary.get("state") != view.state:
        summary = RunFollower(paths, spec).summary({**view.status, "state": view.state.value, "reason": view.reason})
    return RunData(paths=paths, spec=spec, summary=summary)


def environments(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """The nodes that the runs used, one entry per host."""
    envs = [env for run in runs for env in sequence(run.summary, "env") if isinstance(env, dict)]
    return list({text(env, "host") or str(index): env for index, env in enumerate(envs)}.values())


def events_of(attempt: AttemptPaths, only: str = "") -> Iterator[Event]:
    """The attempt's events, file by file in the order of rank.

    Args:
        attempt: of a run.
        only: how the names of the files begin: ``rank`` or ``node``; all of them by default.
    """
    folder = attempt.root / "events"
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return
    matched = [(match[1], name) for name in names if (match := _EVENT_FILE.fullmatch(name)) and name.startswith(only)]
    for _, name in sorted(matched, key=lambda item: (not item[1].startswith("rank"), int(item[0]))):
        yield from (event for event in read_events(folder / name) if event is not None)
