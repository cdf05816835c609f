"""From names in the configuration to what is trained: model, loss, metrics, optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine import catalog
from engine.core.errors import DdptuiError, InputError, Problem
from engine.core.spec import RunConfig, RunSpec
from engine.core.topology import make_topology
from engine.worker.context import RankContext
from engine.worker.datasets.bundle import DatasetBundle
from engine.worker.measures import find_loss, find_metrics
from engine.worker.own_code import accepted_arguments, describe_error, in_project, is_own, load_own, project_on_path
from engine.worker.strategies.interface import Task
from engine.worker.weights import load_weights

__all__ = ["build_task"]

_OPTIMIZERS: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
}


def build_task(spec: RunSpec, bundle: DatasetBundle, context: RankContext, *, may_fetch: bool = False) -> Task:
    """Build what the run trains. The model itself is not made yet, but its code is imported.

    Args:
        spec: of the run.
        bundle: its data, which says the input shape and the classes.
        context: of this rank; says how many GPUs ``world_size = "gpu"`` means.
        may_fetch: whether torchvision's weights may be downloaded here: in one process, before ranks start.

    Raises:
        InputError: a name is unknown, or the user's own code does not import.
    """
    config = spec.config
    num_gpus = torch.cuda.device_count() if context.device.type == "cuda" else 0
    topology = make_topology(config, catalog.STRATEGY_TRAITS[config.strategy], num_gpus=num_gpus)
    count_correct, metrics = find_metrics(spec, bundle.num_classes)
    return Task(
        config=config,
        topology=topology,
        input_shape=bundle.input_shape,
        build_model=_model_builder(spec, bundle, may_fetch=may_fetch),
        loss=find_loss(spec),
        count_correct=count_correct,
        make_optimizer=partial(_make_optimizer, config, topology.lr),
        metrics=metrics,
    )


def _model_builder(spec: RunSpec, bundle: DatasetBundle, *, may_fetch: bool) -> Callable[[], nn.Module]:
    config = spec.config
    offered: dict[str, Any] = {"input_shape": bundle.input_shape, "num_classes": bundle.num_classes}
    if is_own(config.model):
        build = load_own("model", config.model, spec.project_dir)
        if not callable(build) or isinstance(build, nn.Module):
            raise _problem("model", f"{config.model!r} must be a class or function that makes a torch.nn.Module")
        arguments = {**accepted_arguments(build, offered), **config.model_args}
    else:
        build = _catalog_model(config)
        arguments = {**offered, **config.model_args}
    return partial(_build_model, spec, build, arguments, may_fetch=may_fetch)


def _catalog_model(config: RunConfig) -> Callable[..., nn.Module]:
    if config.model not in catalog.MODELS:
        raise _problem("model", f"unknown model {config.model!r}; there are {', '.join(catalog.MODELS)}")
    build: Callable[..., nn.Module] = catalog.load(catalog.MODELS[config.model][0])
    allowed = [name for name in inspect.signature(build).parameters if name not in ("input_shape", "num_classes")]
    unknown = sorted(set(config.model_args) - set(allowed))
    if unknown:
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        raise _problem("model_args", f"model {config.model} does not take {', '.join(unknown)}; {takes}")
    return build


def _build_model(
    spec: RunSpec, build: Callable[..., Any], arguments: dict[str, Any], *, may_fetch: bool = False
) -> nn.Module:
    """Make the model with weights from the seed alone; this process's own random numbers go on as if nothing was."""
    name = spec.config.model
    try:
        place = in_project if is_own(name) else project_on_path
        with torch.random.fork_rng(devices=[]), place(spec.project_dir):
            torch.manual_seed(spec.config.seed)
            model = build(**arguments)
    except DdptuiError:
        raise
    except Exception as error:
        shape = list(arguments.get("input_shape", ()))
        for_shape = f" for inputs of shape {shape}" if shape else ""
        described = describe_error(error, spec.project_dir)
        raise _problem("model", f"{name!r} cannot be made{for_shape}: {described}") from error
    if not isinstance(model, nn.Module):
        raise _problem("model", f"{name!r} made a {type(model).__name__}, not a torch.nn.Module")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise _problem("model", f"{name!r} has no parameters to train")
    if spec.config.weights is not None:
        load_weights(model, spec, may_fetch=may_fetch)
    return model


def _make_optimizer(config: RunConfig, lr: float, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    assert config.optimizer is not None  # only a script has none
    arguments = config.optimizer.arguments()
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    optimizer: torch.optim.Optimizer = _OPTIMIZERS[config.optimizer.name](parameters, lr=lr, **arguments)
    return optimizer


def _problem(key: str, message: str) -> InputError:
    return InputError([Problem(key=key, message=message)])
