"""``python -m engine.worker --evaluate``: test a saved model on the data of its run, in one process.

Reads ``{"run": RunSpec, "model": path, "device": name or null, "num_threads": n or null}`` from stdin and writes one
JSON line: ``problem`` (one line, "" where there is none) or the device, threads and torch of the evaluation, and for
each split that the run evaluates (validation, test) ``samples``, ``loss``, ``accuracy``, ``metrics`` and ``eval_s``.

The same code in batches of the same size as in the run: with as many threads, a model of one process gives the very
numbers that its run gave. The shards of several ranks are cut otherwise, and their sums differ in the last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.errors import DdptuiError, InputError
from engine.core.spec import RunSpec
from engine.worker.beat import NoBeat
from engine.worker.context import RankContext, read_context
from engine.worker.datasets.bundle import DatasetBundle, load_bundle
from engine.worker.evaluation import Evaluation
from engine.worker.own_code import describe_error, project_on_path
from engine.worker.question import answer_stdin
from engine.worker.strategies.interface import Task
from engine.worker.strategies.single import Single
from engine.worker.task import build_task

__all__ = ["evaluate_model", "main"]

_FIGURES = ("samples", "loss", "accuracy", "metrics", "eval_s")


def main() -> int:
    """Answer the request on stdin; return the exit code."""
    return answer_stdin(evaluate_model)


def evaluate_model(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer, as this module describes it."""
    spec = _plain(RunSpec.model_validate(request["run"]))
    if request.get("num_threads"):
        torch.set_num_threads(int(request["num_threads"]))
    try:
        path = Path(request["model"])
        context = _context(str(request.get("device") or spec.config.device))
        state = _read_state(path)  # the data may take long to load
        bundle = load_bundle(spec, may_fetch=True)
        task = build_task(spec, bundle, context)
        return {"problem": "", **_evaluate(spec, _with_weights(task, state, path.name), bundle, context)}
    except Exception as error:  # noqa: BLE001 (whatever the data or the user's code raises is the finding)
        return {"problem": str(error) if isinstance(error, DdptuiError) else describe_error(error, spec.project_dir)}


def _plain(spec: RunSpec) -> RunSpec:
    """Nothing is compiled for a single pass, and the weights that a run began with may be gone by now."""
    changes = {"compile": False, "weights": None}
    return spec.model_copy(update={"config": spec.config.model_copy(update=changes)})


def _context(device: str) -> RankContext:
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("it is to be evaluated on a GPU, and torch finds none here; give --device cpu")
    return read_context(device=device, backend="auto")


def _evaluate(spec: RunSpec, task: Task, bundle: DatasetBundle, context: RankContext) -> dict[str, Any]:
    strategy = Single(task, context)
    strategy.set_up()
    lines = _Lines()
    with project_on_path(spec.project_dir):
        Evaluation(strategy, task, bundle, context.device, lines, NoBeat()).run(0, 0)
    return {
        "device": context.device.type,
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "note": bundle.note,
        "splits": lines.splits,
    }


class _Lines:
    """Keeps what an evaluation says, by split."""

    def __init__(self) -> None:
        self.splits: dict[str, dict[str, Any]] = {}

    def write(self, kind: str, **fields: Any) -> None:  # noqa: ARG002 (there is one kind)
        """See ``EvalLines``."""
        self.splits[fields["split"]] = {name: fields[name] for name in _FIGURES}


def _with_weights(task: Task, state: Mapping[str, Any], name: str) -> Task:
    """Return the task with a model that is made with saved weights; every one of them must fit."""

    def build_model() -> nn.Module:
        model = task.build_model()
        _check_fit(state, model.state_dict(), name)
        try:
            model.load_state_dict(state, strict=True)
        except (RuntimeError, ValueError) as error:  # what the model's own code refuses
            raise InputError(f"{name} does not fit the model: {describe_error(error)}") from error
        return model

    return replace(task, build_model=build_model)


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is not there")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = describe_error(error).partition(". ")[0]  # torch goes on for some sentences
        raise InputError(f"{path} is damaged, or no model that ddptui saved ({said})") from error
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state_dict (names with tensors)")
    return {str(key): value for key, value in state.items()}


def _check_fit(state: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    """Name the first difference; torch's own message begins with a line that says nothing."""
    for key in [*wanted, *(key for key in state if key not in wanted)]:
        there, here = _describe(state, key), _describe(wanted, key)
        if there != here:
            raise InputError(
                f"{name} does not fit the model: {key} {there} in the file, and {here} in the model as it is made now"
            )


def _describe(state: Mapping[str, Any], key: str) -> str:
    if key not in state:
        return "is missing"
    value = state[key]
    return f"is {list(value.shape)}" if isinstance(value, Tensor) else "is there"
