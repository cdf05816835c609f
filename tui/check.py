"""Ask each interpreter that will train whether it can, before anything is queued: torch, devices, model and data."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import DdptuiError, InputError
from engine.core.spec import RunConfig, RunSpec
from engine.launchers.torchrun import NO_INTERPRETER, SETUP_FAILED, after_setup

__all__ = ["CheckResult", "Estimate", "ask_worker", "check_runs", "estimate_run"]

TIMEOUT_S = 300.0
"""Importing torch from a cold network file system takes minutes."""

NUM_STARTS = 2
"""torchrun and then the ranks: each starts the interpreter and loads torch."""

EVENT_BYTES_PER_RANK_S = 2000
"""About four lines a second of about half a KiB each (DESIGN 4.3)."""

_WHILE = {"--check": " as it tried a step of each point", "--evaluate": " as it evaluated the model"}

_INSTALL = "; install it there, or name another interpreter with the key python"


@dataclass(frozen=True)
class CheckResult:
    """What the interpreters said.

    Attributes:
        points: by point: num_parameters, num_steps, step_s, ..., and check_s, the CPU seconds that the check took: on a
            busy machine it waits, and how long says nothing of the runs.
        interpreters: by interpreter: torch, torchvision, cuda, num_gpus, gpus.
    """

    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    interpreters: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run is expected to cost; None is unknown."""

    num_steps: int | None
    time_s: float | None
    disk_bytes: int | None


def check_runs(specs: Sequence[RunSpec]) -> CheckResult:
    """Run ``engine.worker --check`` once per interpreter, environment and set-up, on one run of each point.

    Raises:
        InputError: an interpreter cannot train, or points do not fit; every problem once, with its points.
        DdptuiError: the check itself broke.
    """
    result = CheckResult()
    problems: dict[tuple[str, str], list[str]] = {}
    for group in _groups(specs):
        begun_s = _cpu_of_children_s()
        answer = _ask(group)
        check_s = _cpu_of_children_s() - begun_s
        python = group[0].config.python or sys.executable
        result.interpreters[python] = {key: value for key, value in answer.items() if key != "points"}
        for point, facts in (answer.get("points") or {}).items():
            result.points[point] = {**facts, "check_s": check_s}
            experiment = next((spec.experiment for spec in group if spec.point == point), "")
            for problem in facts.get("problems") or []:
                problems.setdefault((experiment, problem), []).append(point)
    if problems:
        lines = [f"{experiment}: {', '.join(points)}: {problem}" for (experiment, problem), points in problems.items()]
        raise InputError("\n".join(lines))
    return result


def _cpu_of_children_s() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def estimate_run(spec: RunSpec, facts: Mapping[str, Any], num_ranks: int) -> Estimate:
    """Estimate a run from the check's measured step.

    Training is the planned steps times the measured step, or the time budget where that is shorter; an evaluation takes
    a third of a step for as many samples (forward only); start-up takes twice the CPU time of the check, which starts
    the same interpreter and builds the same model and data: torchrun loads torch, and its ranks load it after that.
    Disk is the event lines of all ranks over that time, and the weights in 32 bits.
    """
    num_steps, step_s = facts.get("num_steps"), facts.get("step_s")
    budget_s = spec.config.stop.minutes * 60 if spec.config.stop.minutes else None
    steps_s = num_steps * step_s if num_steps is not None and step_s is not None else None
    trained_s = min((s for s in (steps_s, budget_s) if s is not None), default=None)
    time_s = None
    if trained_s is not None:
        time_s = NUM_STARTS * facts.get("check_s", 0.0) + trained_s * (1 + _evaluation_ratio(spec, facts))
    weights = facts.get("num_parameters")
    disk_bytes = None
    if time_s is not None and weights is not None:
        disk_bytes = int(time_s * EVENT_BYTES_PER_RANK_S * num_ranks) + 4 * int(weights)
    return Estimate(num_steps=num_steps, time_s=time_s, disk_bytes=disk_bytes)


def _evaluation_ratio(spec: RunSpec, facts: Mapping[str, Any]) -> float:
    """Seconds of evaluation per second of training; the last epoch is always evaluated, 0 where nothing is known."""
    samples = (facts.get("test_samples") or 0) + (facts.get("validation_samples") or 0)
    every = spec.config.evaluate_every
    if not every or not facts.get("train_samples"):
        return 0.0
    return float(samples) / float(facts["train_samples"]) / 3 / min(every, spec.config.epochs or every)


def _groups(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """One run of each point, by what starts its interpreter."""
    groups: dict[str, dict[str, RunSpec]] = {}
    for spec in specs:
        config = spec.config
        key = json.dumps([config.python, config.env, config.setup, spec.project_dir], sort_keys=True)
        groups.setdefault(key, {}).setdefault(spec.point, spec)
    return [list(group.values()) for group in groups.values()]


def _ask(group: Sequence[RunSpec]) -> dict[str, Any]:
    request = {"runs": [spec.model_dump(mode="json") for spec in group]}
    return ask_worker(group[0].config, "--check", request, answered_by="points")


def ask_worker(
    config: RunConfig,
    question: str,
    request: Mapping[str, Any],
    *,
    answered_by: str,
    timeout_s: float | None = TIMEOUT_S,
) -> dict[str, Any]:
    """Ask the interpreter of a run something that needs torch.

    Args:
        config: says which interpreter, its set-up and environment.
        question: ``--check``, ``--data`` or ``--evaluate``.
        request: what the worker reads.
        answered_by: a key that an answer has, whatever the exit code was.
        timeout_s: how long to wait; None for as long as it takes.

    Raises:
        InputError: the interpreter cannot train.
        DdptuiError: the worker broke.
    """
    python = config.python or sys.executable
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **config.env, "PYTHONSAFEPATH": "1"}
    argv = after_setup(config.setup, [python, "-m", "engine.worker", question])
    try:
        done = subprocess.run(
            argv, input=json.dumps(request).encode(), capture_output=True, env=env, timeout=timeout_s, check=False
        )
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"python: no interpreter {python!r} here; give its path, or leave python out") from None
    except PermissionError:
        raise InputError(f"python: {python!r} cannot be executed") from None
    except OSError as error:
        raise InputError(f"python: {python!r} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise DdptuiError(f"{python} -m engine.worker {question} did not answer within {timeout_s:.0f} s") from None
    return _read_answer(python, done, question, answered_by)


def _read_answer(
    python: str, done: subprocess.CompletedProcess[bytes], question: str, answered_by: str
) -> dict[str, Any]:
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if isinstance(answer, dict) and (done.returncode == 0 or answer.get(answered_by) is not None):
        return answer
    raise _explain(python, done, question)


def _explain(python: str, done: subprocess.CompletedProcess[bytes], question: str) -> DdptuiError:
    """Turn what a failed check wrote into one line: whose fault, and what to do."""
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if last.startswith(SETUP_FAILED):
        before = f" (it said: {lines[-2]})" if len(lines) > 1 else ""
        return InputError(f"setup: {last.removeprefix('ddptui: ')}{before}")
    if last.startswith(NO_INTERPRETER):
        return InputError(f"python: {last.removeprefix('ddptui: ')} after the setup lines; give its path")
    if "No module named 'torch'" in last:
        return InputError(f"torch is not installed for {python}{_INSTALL}")
    if "torchvision" in last:
        return InputError(f"torchvision does not work for {python}: {last}")
    if "No module named 'engine" in last or "No module named engine" in last:
        return InputError(f"ddptui is not installed for {python}{_INSTALL}")
    said = f"; its last words: {last}" if last else "; it said nothing"
    check = f"{python} -m engine.worker {question}"
    if done.returncode < 0:
        return DdptuiError(f"{check} was killed by {_name_signal(-done.returncode)}{_WHILE.get(question, '')}{said}")
    if done.returncode == 0:
        return InputError(f"{check} ended without an answer: no Python, or your model ended it{said}")
    return InputError(f"{python} cannot train: {last or f'exit code {done.returncode} without a word'}")


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
