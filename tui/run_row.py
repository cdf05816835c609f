"""One run as listings and the follower show it, read from its files alone: nothing here asks a process."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.core.fields import mapping, whole
from engine.core.state import RunState, is_active, is_terminal
from engine.store import read_json
from tui.run_names import NamedRun
from tui.view.run_row import RunRow

if TYPE_CHECKING:
    from engine.tail import RunFollower

__all__ = ["RunReader"]


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
        state, status = _effective_state(self.run)
        figures = self._figures(state)
        row = self._make_row(state, status, figures)
        self._final = row if row.is_terminal and read_json(self.run.paths.summary) is not None else None
        return row

    def _is_still(self, row: RunRow) -> bool:
        status = read_json(self.run.paths.status) or {}
        return status.get("state") == row.state and status.get("attempt") == row.attempt

    def _figures(self, state: str) -> dict[str, Any]:
        """What the run has reached: from its summary once it has ended, from its event lines before."""
        if state == RunState.QUEUED:
            return {}
        summary = read_json(self.run.paths.summary) if is_terminal(RunState(state)) else None
        return _figures_of_summary(summary, self._config) if summary is not None else self._figures_of_events()

    def _figures_of_events(self) -> dict[str, Any]:
        if self._follower is None:
            from engine.tail import RunFollower  # loads pydantic: only where a run is going on

            self._follower = RunFollower(self.run.paths, self._spec)
        return asdict(self._follower.read_all().progress())

    def _make_row(self, state: str, status: dict[str, Any], figures: dict[str, Any]) -> RunRow:
        config = self._config
        return RunRow(
            experiment=self.run.experiment,
            id=self.run.paths.run_id,
            point=self._spec.get("point"),
            repeat=self._spec.get("repeat"),
            state=state,
            reason=str(status.get("reason") or ""),
            attempt=status.get("attempt"),
            strategy=config.get("strategy"),
            world_size=figures.get("world_size") or config.get("world_size"),
            num_devices=figures.get("num_devices") or self._spec.get("num_devices"),
            progress=_progress(state, figures),
            epoch=figures.get("epoch"),
            num_epochs=figures.get("num_epochs") or config.get("epochs"),
            step=figures.get("step"),
            num_steps=figures.get("num_steps"),
            loss=figures.get("loss"),
            samples_per_s=figures.get("samples_per_s"),
            test_accuracy=figures.get("test_accuracy"),
            elapsed_s=figures.get("elapsed_s"),
            eta_s=figures.get("eta_s") if state == RunState.RUNNING else None,
            queued_s=status.get("queued_s"),
            started_s=status.get("started_s"),
            ended_s=status.get("ended_s"),
            folder=str(self.run.paths.root),
        )


def _effective_state(run: NamedRun) -> tuple[str, dict[str, Any]]:
    """What the status says; of a run that is said to be active, what is true of it."""
    status = read_json(run.paths.status) or {}
    state = status.get("state")
    if state not in set(RunState):
        return RunState.QUEUED.value, status
    if not is_active(RunState(state)):
        return str(state), status
    from engine.overview import read_run  # asks for processes: only where one may be alive

    found = read_run(run.paths)
    return found.state.value, {**status, **found.status, "reason": found.reason}


def _figures_of_summary(summary: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    num_epochs, num_done = whole(summary, "epochs_done"), whole(summary, "num_steps")
    return {
        "world_size": summary.get("world_size"),
        "num_devices": summary.get("num_devices"),
        "epoch": num_epochs - 1 if num_epochs else None,
        "step": num_done - 1 if num_done else None,
        "num_steps": _planned_steps(summary, config),
        "loss": mapping(summary, "final").get("train_loss"),
        "samples_per_s": mapping(summary, "throughput").get("samples_per_s"),
        "test_accuracy": mapping(summary, "final").get("test_accuracy"),
        "elapsed_s": mapping(summary, "time").get("real_s"),
    }


def _planned_steps(summary: dict[str, Any], config: dict[str, Any]) -> int | None:
    epochs, per_epoch = whole(config, "epochs"), whole(summary, "steps_per_epoch")
    limits = [whole(mapping(config, "stop"), "steps"), epochs * per_epoch if epochs and per_epoch else None]
    return min((limit for limit in limits if limit is not None), default=None)


def _progress(state: str, figures: dict[str, Any]) -> float | None:
    if state == RunState.SUCCEEDED:
        return 1.0
    step, num_steps = figures.get("step"), figures.get("num_steps")
    if step is not None and num_steps:
        return min(float(step + 1) / float(num_steps), 1.0)
    elapsed_s, eta_s = figures.get("elapsed_s"), figures.get("eta_s")
    if elapsed_s is not None and eta_s is not None and elapsed_s + eta_s > 0:
        return float(elapsed_s / (elapsed_s + eta_s))
    return 0.0 if state == RunState.QUEUED else None
