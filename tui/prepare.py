"""From what the user gave to a plan: read the file, expand it, look at the results folder. Nothing is started here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.catalog import plan_catalog
from engine.codedigest import make_code_digest
from engine.core.document import decode_text
from engine.core.errors import InputError
from engine.core.plan import ExperimentPlan, Plan, make_plan
from engine.ownership import check_own_folder
from engine.store import ResultsPaths, make_folder

__all__ = ["check_results_folder", "plan_file", "plan_text", "read_plan"]


def read_plan(file: str, *, sets: Sequence[str] = (), only: Sequence[str] = (), is_smoke: bool = False) -> Plan:
    """Read and expand an experiment file.

    Args:
        file: as the user named it.
        sets: ``KEY=VALUE`` of ``--set``.
        only: experiments or points of ``--only``.
        is_smoke: every point for five steps.

    Raises:
        InputError: the file cannot be read, or what it says cannot be run; every problem.
    """
    return plan_text(_read_text(file), file, sets=sets, only=only, is_smoke=is_smoke)


def plan_text(
    text: str, file: str, *, sets: Sequence[str] = (), only: Sequence[str] = (), is_smoke: bool = False
) -> Plan:
    """As ``read_plan``, of a text that need not stand in ``file`` (yet).

    Raises:
        InputError: what it says cannot be run; every problem.
    """
    project_dir = str(Path(file).resolve().parent)
    return make_plan(
        text,
        file,
        catalog=plan_catalog(),
        sets=list(sets),
        only=list(only),
        smoke=is_smoke,
        project_dir=project_dir,
        code_digest=make_code_digest(project_dir),
    )


def plan_file(plan: Plan, experiment: ExperimentPlan, results: ResultsPaths) -> dict[str, Any]:
    """What ``plan.json`` holds for one experiment of the plan: of its runs those selected now or made before."""
    selected = {spec.id for spec in experiment.runs}
    folders = results.experiment(experiment.name)
    run_ids = [run_id for run_id in experiment.run_ids if run_id in selected or folders.run(run_id).run.is_file()]
    return {
        "format": 1,
        "experiment": experiment.name,
        "description": experiment.description,
        "file": plan.file,
        "toml": experiment.toml,
        "sets": list(plan.sets),
        "is_smoke": plan.is_smoke,
        "run_ids": run_ids,
        "reference": experiment.reference,
        "baseline": experiment.baseline,
        "notes": experiment.notes,
        "on_error": experiment.on_error,
        "repeats": experiment.repeats,
        "position": plan.experiments.index(experiment),
    }


def _read_text(file: str) -> str:
    path = Path(file)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = "; `ddptui init` writes one to begin with" if path.name == "experiments.toml" else ""
        raise InputError(f"{file}: no such file{hint}") from None
    except IsADirectoryError:
        inside = path / "experiments.toml"
        hint = f"; did you mean {inside}?" if inside.is_file() else ""
        raise InputError(f"{file}: is a folder, not an experiment file{hint}") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise InputError(f"{file!r}: not a file name") from None
    return decode_text(content, file)


def check_results_folder(results: Path, *, may_make: bool = True) -> None:
    """Make sure that runs can be written.

    Args:
        results: the results folder.
        may_make: make it, and try to write; else only look.

    Raises:
        InputError: it cannot be used.
    """
    if not may_make:
        _look_at(results)
        return
    try:
        results.parent.mkdir(parents=True, exist_ok=True)
        make_folder(results)
        check_own_folder(results)
        with tempfile.TemporaryFile(dir=results):
            pass
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"results folder {results}: is not a folder; choose another with --results DIR") from None
    except OSError as error:
        message = f"results folder {results}: cannot be written: {error.strerror}; choose another with --results DIR"
        raise InputError(message) from None


def _look_at(results: Path) -> None:
    nearest = next((folder for folder in (results, *results.absolute().parents) if folder.exists()), results)
    if not nearest.is_dir():
        raise InputError(f"results folder {results}: {nearest} is not a folder; choose another with --results DIR")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"results folder {results}: {nearest} cannot be written; choose another with --results DIR")
