"""One run as listings and the follower show it, read from its files alone: nothing here asks a process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.annotation import Annotation, read_annotation
from engine.core.fields import mapping, number, sequence, text, whole
from engine.core.state import RunState, is_active, is_terminal
from engine.store import RunPaths, read_json
from tui.run_names import NamedRun
from tui.view.run_row import UNREADABLE, RunRow, known_state

if TYPE_CHECKING:
    from engine.tail import RunFollower

__all__ = ["RunReader", "effective_state", "figures_of_summary", "make_row"]

_NONFINITE = re.compile(r"loss (?:is (?:NaN|infinite)|was not finite)\b.* step (\d{1,15})")
"""How the reason and the confounds of a run say it: its summary has no field for it."""

_MAX_ATTEMPTS = 10
"""So many of the newest are looked through for one that hung."""

_TORN = "cannot be read: it is no JSON object"


class RunReader:
    """Read one run again and again, cheaply: ``run.json`` once, event lines only from where the last call ended.

    Args:
        run: the folder and its experiment.
    """

    def __init__(self, run: NamedRun) -> None:
        self.run = run
        self._spec = read_json(run.paths.run) or {}
        self._config = mapping(self._spec, "config")
        self._follower: RunFollower | None = None
        self._final: RunRow | None = None

    def read(self) -> RunRow:
        """Return the run as its files say now."""
        if self._final is not None and self._is_still(self._final):
            return self._final
        state, status = effective_state(self.run.paths)
        row = make_row(self.run.paths, self._spec, status, self._figures(state), state, read_annotation(self.run.paths))
        self._final = row if row.is_terminal and read_json(self.run.paths.summary) is not None else None
        return row

    def _is_still(self, row: RunRow) -> bool:
        status = read_json(self.run.paths.status) or {}
        return status.get("state") == row.state and status.get("attempt") == row.attempt

    def _figures(self, state: str) -> dict[str, Any]:
        """What the run has reached: from its summary once it has ended, from its event lines before."""
        if state == RunState.QUEUED:
            return {}
        known = known_state(state)
        if known is None:
            return {}
        summary = read_json(self.run.paths.summary) if is_terminal(known) else None
        return figures_of_summary(summary, self._config) if summary is not None else self._figures_of_events()

    def _figures_of_events(self) -> dict[str, Any]:
        if self._follower is None:
            from engine.tail import RunFollower  # loads msgspec: only where a run is going on

            self._follower = RunFollower(self.run.paths, self._spec)
        fold = self._follower.read_all()
        return {**asdict(fold.progress()), "nonfinite_step": fold.first_nonfinite_step()}


def effective_state(paths: RunPaths) -> tuple[str, dict[str, Any]]:
    """Return what the status says, with the status; of a run that is said to be active, what is true of it.

    Where there is no status yet, the run waits; where it or ``run.json`` is torn, it is ``UNREADABLE`` and the reason
    names the file.
    """
    found = read_json(paths.status)
    status = found or {}
    state = status.get("state")
    if found is None and paths.status.exists():
        return UNREADABLE, {"reason": f"{paths.status.name} {_TORN}"}
    if found is not None and not (isinstance(state, str) and state in set(RunState)):
        said = "no state" if state is None else f"state {state!r}, which is none"
        return UNREADABLE, {**status, "reason": f"{paths.status.name} says {said}"}
    if state in (None, RunState.QUEUED) and read_json(paths.run) is None and paths.run.exists():
        return UNREADABLE, {**status, "reason": f"{paths.run.name} {_TORN}"}
    if state is None:
        return RunState.QUEUED.value, status
    if not is_active(RunState(state)):
        return str(state), status
    from engine.overview import read_run  # asks for processes: only where one may be alive

    view = read_run(paths)
    return view.state.value, {**status, **view.status, "reason": view.reason}


def make_row(
    paths: RunPaths,
    spec: Mapping[str, Any],
    status: Mapping[str, Any],
    figures: Mapping[str, Any],
    state: str,
    annotation: Annotation,
) -> RunRow:
    """Make the row of a run; values of a wrong type are unknown.

    Args:
        paths: its folder.
        spec: ``run.json``.
        status: ``status.json`` with the reason of the effective state.
        figures: what it has reached: of ``figures_of_summary``, or the fields of a progress.
        state: the effective state.
        annotation: what a person said of it.
    """
    config = mapping(spec, "config")
    reason = str(status.get("reason") or "")
    nonfinite_step = figures.get("nonfinite_step")
    return RunRow(
        experiment=paths.root.parent.parent.name,
        id=paths.run_id,
        point=text(spec, "point"),
        repeat=whole(spec, "repeat"),
        state=state,
        reason=reason,
        attempt=whole(status, "attempt"),
        strategy=text(config, "strategy"),
        world_size=figures.get("world_size") or whole(config, "world_size") or text(config, "world_size"),
        num_devices=figures.get("num_devices") or whole(spec, "num_devices"),
        progress=_progress(state, figures),
        epoch=figures.get("epoch"),
        num_epochs=figures.get("num_epochs") or whole(config, "epochs"),
        step=figures.get("step"),
        num_steps=figures.get("num_steps"),
        loss=figures.get("loss"),
        samples_per_s=figures.get("samples_per_s"),
        test_accuracy=figures.get("test_accuracy"),
        elapsed_s=figures.get("elapsed_s"),
        eta_s=figures.get("eta_s") if state == RunState.RUNNING else None,
        queued_s=number(status, "queued_s"),
        started_s=number(status, "started_s"),
        ended_s=number(status, "ended_s"),
        folder=str(paths.root),
        last_event_s=figures.get("last_event_s"),
        nonfinite_step=_nonfinite_step(reason) if nonfinite_step is None else nonfinite_step,
        axes=mapping(spec, "axes"),
        is_pinned=annotation.is_pinned,
        note=annotation.note,
        dossier=_dossier(paths, whole(status, "attempt") or 0, state),
    )


def _dossier(paths: RunPaths, attempt: int, state: str) -> str:
    """Of the newest attempt that hung; what has succeeded at once has not."""
    if state in (RunState.QUEUED, RunState.SUCCEEDED) and attempt <= 1:
        return ""
    newest = (paths.attempt(number) for number in range(attempt, max(attempt - _MAX_ATTEMPTS, 0), -1))
    found = next((one for one in newest if one.dossier.exists()), None)
    if found is None:
        return ""
    return str(found.dossier_text if found.dossier_text.exists() else found.dossier)


def figures_of_summary(summary: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run has reached, as its summary says."""
    num_epochs, num_done = whole(summary, "epochs_done"), whole(summary, "num_steps")
    final = mapping(summary, "final")
    loss = number(final, "train_loss")  # no epoch was finished, or a script counts none: as it was told last
    return {
        "world_size": whole(summary, "world_size"),
        "num_devices": whole(summary, "num_devices"),
        "epoch": num_epochs - 1 if num_epochs else None,
        "step": num_done - 1 if num_done else None,
        "num_steps": _planned_steps(summary, config),
        "loss": number(summary, "last_loss") if loss is None else loss,
        "samples_per_s": number(mapping(summary, "throughput"), "samples_per_s"),
        "test_accuracy": number(final, "test_accuracy"),
        "elapsed_s": number(mapping(summary, "time"), "real_s"),
        "nonfinite_step": _nonfinite_step(" ".join(map(str, sequence(summary, "confounds")))),
    }


def _planned_steps(summary: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    epochs, per_epoch = whole(config, "epochs"), whole(summary, "steps_per_epoch")
    limits = [whole(mapping(config, "stop"), "steps"), epochs * per_epoch if epochs and per_epoch else None]
    return min((limit for limit in limits if limit is not None), default=None)


def _progress(state: str, figures: Mapping[str, Any]) -> float | None:
    if state == RunState.SUCCEEDED:
        return 1.0
    step, num_steps = figures.get("step"), figures.get("num_steps")
    if step is not None and num_steps:
        return min(float(step + 1) / float(num_steps), 1.0)
    elapsed_s, eta_s = figures.get("elapsed_s"), figures.get("eta_s")
    if elapsed_s is not None and eta_s is not None and elapsed_s + eta_s > 0:
        return float(elapsed_s / (elapsed_s + eta_s))
    return 0.0 if state == RunState.QUEUED else None


def _nonfinite_step(words: str) -> int | None:
    found = _NONFINITE.search(words)
    return None if found is None else int(found[1])
