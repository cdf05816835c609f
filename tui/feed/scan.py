"""Which runs a results folder holds, found without reading them: folders are listed again only when they changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.fields import mapping, sequence, text, whole_or
from engine.store import ExperimentPaths, ResultsPaths, RunPaths, is_safe_name, read_json
from tui.hidden_folders import is_experiment, is_hidden
from tui.view.snapshot import ExperimentView

__all__ = ["Scanner"]

SETTLED_S = 2.0
"""A folder whose time is younger than this may change again without a new time: file systems count in ticks."""

RELIST_S = 30.0
"""After so long a folder is listed whatever its time says: a network file system may hold back an old one."""

_Signature = tuple[int, int, int]


@dataclass(slots=True)
class _Listing:
    """The folders in one folder, as of the last listing."""

    path: str
    names: dict[str, bool] = field(default_factory=dict)
    """Per name whether it is a symbolic link."""
    _signature: _Signature | None = None
    _listed_s: float = float("-inf")

    def update(self, now_s: float) -> None:
        """List again if the folder may have changed; raises OSError."""
        status = os.stat(self.path)
        signature = _signature_of(status)
        if signature == self._signature and 0 <= now_s - self._listed_s < RELIST_S:
            return
        with os.scandir(self.path) as entries:
            self.names = {entry.name: entry.is_symlink() for entry in entries if _is_folder(entry)}
        is_settled = now_s - status.st_mtime > SETTLED_S
        self._signature, self._listed_s = (signature if is_settled else None), now_s


@dataclass(slots=True)
class _Experiment:
    paths: ExperimentPaths
    listing: _Listing
    view: ExperimentView
    runs: dict[str, RunPaths] = field(default_factory=dict)
    plan_signature: _Signature | None = None
    has_plan: bool = False
    has_runs: bool = False


class Scanner:
    """Looks into the results folder again and again.

    Args:
        results: may not exist yet.

    Attributes:
        runs: the folder of every run by tag, by experiment, in the order of the plan, then the others by id. A folder
            may hold no ``run.json`` yet.
        experiments: those that have a plan or a folder of runs, by name.
        has_been_there: whether the results folder was ever seen.
        problem: "" or one line: why nothing can be found.
        hidden: experiments and runs that are left out, since their folders have other names than ddptui gives.
    """

    def __init__(self, results: ResultsPaths) -> None:
        self.results = results
        self.runs: dict[str, RunPaths] = {}
        self.experiments: tuple[ExperimentView, ...] = ()
        self.has_been_there = False
        self.problem = ""
        self.hidden: tuple[str, ...] = ()
        self._root = _Listing(os.fspath(results.root))
        self._known: dict[str, _Experiment] = {}

    def look(self, now_s: float) -> None:
        """Find what is there now. What cannot be listed for another reason than being gone stays as it was."""
        try:
            self._root.update(now_s)
        except (FileNotFoundError, NotADirectoryError):
            self._root = _Listing(self._root.path)
            self._known = {}
            self.problem = f"{self.results.root} is gone: deleted, moved or unmounted" if self.has_been_there else ""
        except OSError as error:
            self.problem = f"cannot read {self.results.root}: {error.strerror or error}"
            return
        else:
            self.has_been_there = True
            self.problem = ""
            self._update_experiments(now_s)
        self.hidden = self._find_hidden()
        self.experiments = tuple(e.view for e in self._known.values())
        self.runs = {f"{name}/{run_id}": e.runs[run_id] for name, e in self._known.items() for run_id in _ordered(e)}

    def _update_experiments(self, now_s: float) -> None:
        known: dict[str, _Experiment] = {}
        for name in sorted(name for name in self._root.names if is_safe_name(name)):
            experiment = self._known.get(name) or self._new_experiment(name)
            try:
                self._update_plan(experiment)
                self._update_runs(experiment, now_s)
            except OSError as error:
                self.problem = f"cannot read {experiment.paths.root}: {error.strerror or error}"
            if experiment.has_plan or experiment.has_runs:
                known[name] = experiment
        self._known = dict(sorted(known.items(), key=lambda item: (item[1].view.position, item[0])))

    def _find_hidden(self) -> tuple[str, ...]:
        others = (name for name in sorted(self._root.names) if is_hidden(name))
        experiments = [name for name in others if is_experiment(self.results.experiment(name))]
        runs = [
            f"{name}/{run}" for name, known in self._known.items() for run in sorted(known.listing.names)
            if is_hidden(run)
        ]  # fmt: skip
        return (*experiments, *runs)

    def _new_experiment(self, name: str) -> _Experiment:
        paths = self.results.experiment(name)
        return _Experiment(paths, _Listing(os.fspath(paths.runs)), ExperimentView(name=name))

    def _update_plan(self, experiment: _Experiment) -> None:
        try:
            signature = _signature_of(os.stat(experiment.paths.plan))
        except (FileNotFoundError, NotADirectoryError):
            signature = None
        if signature != experiment.plan_signature:
            experiment.plan_signature = signature
            experiment.has_plan = signature is not None
            experiment.view = _view_of(experiment.view.name, read_json(experiment.paths.plan) or {})

    def _update_runs(self, experiment: _Experiment, now_s: float) -> None:
        before = experiment.listing.names
        try:
            experiment.listing.update(now_s)
        except (FileNotFoundError, NotADirectoryError):
            experiment.listing = _Listing(experiment.listing.path)
            experiment.runs, experiment.has_runs = {}, False
            return
        experiment.has_runs = True
        if experiment.listing.names is not before:
            experiment.runs = {
                name: experiment.runs.get(name) or experiment.paths.run(name)
                for name, is_link in sorted(experiment.listing.names.items())
                if is_safe_name(name) and not (is_link and _leads_out(experiment.paths.run(name), experiment.paths))
            }


def _ordered(experiment: _Experiment) -> list[str]:
    planned = [run_id for run_id in dict.fromkeys(experiment.view.run_ids) if run_id in experiment.runs]
    return planned + sorted(experiment.runs.keys() - set(planned))


def _view_of(name: str, plan: Mapping[str, Any]) -> ExperimentView:
    return ExperimentView(
        name=name,
        description=text(plan, "description") or "",
        file=text(plan, "file") or "",
        position=whole_or(plan, "position", 0),
        run_ids=tuple(run_id for run_id in sequence(plan, "run_ids") if isinstance(run_id, str)),
        reference=mapping(plan, "reference"),
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _leads_out(run: RunPaths, experiment: ExperimentPaths) -> bool:
    try:
        return not Path(run.root).resolve().is_relative_to(Path(experiment.root).resolve())
    except (OSError, RuntimeError):
        return True


def _signature_of(status: os.stat_result) -> _Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino
