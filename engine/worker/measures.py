"""Losses and metrics by name: what the outputs ``[B, classes]`` of a model are held against."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from engine.core.errors import InputError, Problem
from engine.core.spec import RunSpec
from engine.worker.own_code import describe_error, is_own, load_own

__all__ = ["LOSSES", "Measure", "count_correct", "find_loss", "find_metrics"]

Measure = Callable[[Tensor, Tensor], Tensor]


def count_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how many samples have their highest score ``[B, classes]`` at their target: a 0-d tensor."""
    return (outputs.argmax(dim=1) == targets).sum()


def _count_in_top(k: int, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how many samples have their target among their ``k`` highest scores: a 0-d tensor."""
    if k == 1:
        return count_correct(outputs, targets)
    return (outputs.topk(min(k, outputs.shape[1]), dim=1).indices == targets[:, None]).sum()


def _mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of the outputs to 1 for the sample's class and 0 for the others."""
    return F.mse_loss(outputs, F.one_hot(targets, outputs.shape[1]).to(outputs.dtype))


def _binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Each score as a logit of its own: yes for the sample's class, no for the others; the mean over both."""
    return F.binary_cross_entropy_with_logits(outputs, F.one_hot(targets, outputs.shape[1]).to(outputs.dtype))


LOSSES: dict[str, Measure] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "mse": _mean_squared_error,
    "bce": _binary_cross_entropy,
}
_LOSS_ARGS: dict[str, set[str]] = {"cross_entropy": {"label_smoothing"}}


def find_loss(spec: RunSpec) -> Measure:
    """Return the loss that the configuration names, with its arguments.

    Raises:
        InputError: the name is unknown, or the arguments do not suit it.
    """
    name, arguments = spec.config.loss, spec.config.loss_args
    if is_own(name):
        return _own_measure("loss", name, spec, arguments)
    if name not in LOSSES:
        raise _problem(
            "loss", f"unknown loss {name!r}; there are {', '.join(LOSSES)}, or your own 'package.module:name'"
        )
    allowed = _LOSS_ARGS.get(name, set())
    unknown = sorted(set(arguments) - allowed)
    if unknown:
        takes = f"it takes {', '.join(sorted(allowed))}" if allowed else "it takes none"
        raise _problem("loss_args", f"loss {name} does not take {', '.join(unknown)}; {takes}")
    smoothing = arguments.get("label_smoothing", 0.0)
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float) or not 0 <= smoothing <= 1:
        raise _problem("loss_args", f"label_smoothing is a number from 0 to 1, not {smoothing!r}")
    return partial(LOSSES[name], **arguments) if arguments else LOSSES[name]


def find_metrics(spec: RunSpec, num_classes: int) -> tuple[Measure | None, dict[str, Measure]]:
    """Return what counts correct samples (None where nobody asks) and every other metric by its short name.

    Raises:
        InputError: a name is unknown, or a metric says nothing about so few classes.
    """
    names = spec.config.metrics
    is_counted = "accuracy" in names or "top1" in names
    metrics: dict[str, Measure] = {}
    for name in names:
        if name.startswith("top") and name[3:].isdigit():
            k = int(name[3:])
            if k > 1 and k >= num_classes:
                raise _problem("metrics", f"{name} is always 100 % where there are {num_classes} classes")
            metrics[name] = partial(_count_in_top, k)
        elif name != "accuracy":
            metrics[name.rpartition(":")[2]] = _own_measure("metrics", name, spec)
    return count_correct if is_counted else None, metrics


def _own_measure(key: str, name: str, spec: RunSpec, arguments: dict[str, Any] | None = None) -> Measure:
    """Load a user's ``(outputs, targets) -> tensor``; a class (an ``nn.Module`` loss) is made with the arguments."""
    if not is_own(name):
        raise _problem(
            key, f"unknown name {name!r}; there are accuracy, top1, top3, ..., or your own 'package.module:name'"
        )
    value = load_own(key, name, spec.project_dir)
    try:
        measure = value(**(arguments or {})) if inspect.isclass(value) else value
    except Exception as error:
        raise _problem(key, f"{name!r} cannot be made: {describe_error(error, spec.project_dir)}") from error
    if not callable(measure):
        raise _problem(key, f"{name!r} is {type(measure).__name__}, not a function of (outputs, targets)")
    called: Measure = partial(measure, **arguments) if arguments and not inspect.isclass(value) else measure
    return called


def _problem(key: str, message: str) -> InputError:
    return InputError([Problem(key=key, message=message)])
