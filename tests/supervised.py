"""What the tests of supervisor, control and overview share: a results folder, specs, waiting."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine import wake
from engine.core.spec import Optimizer, RunConfig, RunSpec
from engine.processes import end_tree, run_marks
from engine.store import ResultsPaths, list_experiments, list_runs, read_json

EXPERIMENT = "exp"


def make_spec(run_id: str, *, nodes: int = 1, max_restarts: int = 0, **orders: str) -> RunSpec:
    """A run whose fake node runner does what ``orders`` say (FAKE_ is put in front)."""
    config = RunConfig(
        model="mlp",
        dataset="digits",
        strategy="ddp",
        global_batch_size=8,
        epochs=1,
        optimizer=Optimizer(lr=0.1),
        world_size=nodes,
        nodes=nodes,
        max_restarts=max_restarts,
        env={f"FAKE_{name.upper()}": value for name, value in orders.items()},
    )
    return RunSpec(
        id=run_id,
        experiment=EXPERIMENT,
        point=run_id,
        repeat=0,
        axes={},
        baseline=None,
        baseline_reason="",
        config=config,
        num_devices=nodes,
        project_dir="",
        code_digest="",
    )


def make_plan(specs: list[RunSpec], *, on_error: str = "continue") -> dict[str, object]:
    return {"format": 1, "experiment": EXPERIMENT, "run_ids": [spec.id for spec in specs], "on_error": on_error}


def state_of(root: Path, run_id: str) -> str | None:
    return (read_json(ResultsPaths(root).run(EXPERIMENT, run_id).status) or {}).get("state")


def reason_of(root: Path, run_id: str) -> str:
    return (read_json(ResultsPaths(root).run(EXPERIMENT, run_id).status) or {}).get("reason", "")


def wait_until(claim: Callable[[], object], *, timeout_s: float = 120.0) -> None:
    """Wait for ``claim``; fail when it does not come true."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def wait_for_state(root: Path, run_id: str, *states: str) -> None:
    wait_until(lambda: state_of(root, run_id) in states)


def wait_for_leave(root: Path) -> None:
    """Wait until no supervisor owns the folder."""
    wait_until(lambda: wake.lock_holder(ResultsPaths(root)) is None)


@contextmanager
def cleaned_up(root: Path) -> Iterator[Path]:
    """End what a test leaves: its supervisor by its handle, its node runners by their marks."""
    try:
        yield root
    finally:
        holder = wake.lock_holder(ResultsPaths(root))
        if holder is not None and wake.is_supervisor_alive(root):
            os.kill(holder.pid, signal.SIGKILL)
        for name in list_experiments(ResultsPaths(root)):
            for paths in list_runs(ResultsPaths(root).experiment(name)):
                if not (read_json(paths.status) or {}).get("ended_s"):
                    end_tree(run_marks(paths, name), grace_s=0)
