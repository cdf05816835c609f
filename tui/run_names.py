"""Which run a person means by a name: its id, a unique beginning of it, ``experiment/run``, or an experiment of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from engine.core.errors import InputError
from engine.core.fields import sequence
from engine.store import ResultsPaths, RunPaths, list_experiments, list_runs, read_json

__all__ = ["NamedRun", "find_experiments", "find_run", "list_named_runs"]


@dataclass(frozen=True)
class NamedRun:
    """A run folder and the experiment it stands in."""

    experiment: str
    paths: RunPaths

    @property
    def tag(self) -> str:
        """``experiment/run``: the name that is never ambiguous."""
        return f"{self.experiment}/{self.paths.run_id}"


def list_named_runs(results: ResultsPaths) -> list[NamedRun]:
    """Every run of the results folder, by experiment; as on the screen in the order of its plan, others after them."""
    return [NamedRun(name, paths) for name in list_experiments(results) for paths in _in_order(results, name)]


def _in_order(results: ResultsPaths, experiment: str) -> list[RunPaths]:
    folder = results.experiment(experiment)
    planned = [run_id for run_id in sequence(read_json(folder.plan) or {}, "run_ids") if isinstance(run_id, str)]
    place = {run_id: number for number, run_id in enumerate(planned)}
    return sorted(list_runs(folder), key=lambda run: place.get(run.run_id, len(place)))


def find_run(results: ResultsPaths, name: str) -> NamedRun:
    """Return the one run that ``name`` means.

    Raises:
        InputError: there is none, or there are several.
    """
    runs = list_named_runs(results)
    wanted = name.strip("/")
    matches = _matching(runs, wanted)
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = ", ".join(run.tag for run in matches[:4]) + (", ..." if len(matches) > 4 else "")
        raise InputError(f"run {name!r} is ambiguous: {some}")
    if not runs:
        raise InputError(f"no run {name!r}: there are no runs in {results.root}")
    known = {run.paths.run_id for run in runs} | {run.tag for run in runs}
    raise InputError(f"no run {name!r} in {results.root}{_did_you_mean(wanted, sorted(known))}")


def _matching(runs: Sequence[NamedRun], name: str) -> list[NamedRun]:
    """Exact names before beginnings of names; an experiment means its run where it has only one."""
    exact = [run for run in runs if name in (run.paths.run_id, run.tag)]
    if exact or not name:
        return exact
    if "/" in name:
        return [run for run in runs if run.tag.startswith(name)]
    return [run for run in runs if run.paths.run_id.startswith(name)] or [run for run in runs if run.experiment == name]


def find_experiments(results: ResultsPaths, name: str | None) -> list[str]:
    """Return the experiment called ``name``, or all of them for None.

    Raises:
        InputError: there is none.
    """
    experiments = list_experiments(results)
    if name is None:
        if not experiments:
            raise InputError(f"no experiments in {results.root}; start some with `ddptui run FILE`")
        return experiments
    if name.strip("/") not in experiments:
        raise InputError(f"no experiment {name!r} in {results.root}{_did_you_mean(name, experiments)}")
    return [name.strip("/")]


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """Compared with whole names, and with beginnings of the same length: those may be typed too."""
    beginnings = {one[: len(name)]: one for one in reversed(known)}
    close = get_close_matches(name, known, n=1) or [
        beginnings[beginning] for beginning in get_close_matches(name, list(beginnings), n=1)
    ]
    return f"; did you mean {close[0]}?" if close else "; `ddptui ls` shows what there is"
