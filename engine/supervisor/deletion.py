"""Delete a run: at once for everybody who looks, and never half."""

from __future__ import annotations

import shutil
import tempfile

from engine.core.fields import sequence
from engine.store import ResultsPaths, read_json, write_json

__all__ = ["delete_run", "empty_trash"]

_PREFIX = "deleted-"


def delete_run(results: ResultsPaths, experiment: str, run_id: str) -> bool:
    """Delete the folder of a run and its place in the plan; return whether there was one.

    The folder is moved out of sight first, so that nobody sees a half deleted run, whatever happens meanwhile.

    Raises:
        OSError: it cannot be moved; it is as it was.
    """
    paths = results.run(experiment, run_id)
    if not paths.root.is_dir() or paths.root.is_symlink():
        return False
    trash = tempfile.mkdtemp(prefix=_PREFIX, dir=results.control)
    try:
        paths.root.rename(f"{trash}/{run_id}")
    finally:
        shutil.rmtree(trash, ignore_errors=True)
    plan_path = results.experiment(experiment).plan
    plan = read_json(plan_path)
    if plan is not None and run_id in sequence(plan, "run_ids"):
        write_json(plan_path, {**plan, "run_ids": [name for name in sequence(plan, "run_ids") if name != run_id]})
    return True


def empty_trash(results: ResultsPaths) -> None:
    """Remove what a supervisor that was killed while deleting has left."""
    for folder in results.control.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
