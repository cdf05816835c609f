"""The weights that a model begins with, from a file or from torchvision; every layer stays trainable."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine import catalog
from engine.core.errors import InputError, Problem
from engine.core.spec import RunSpec
from engine.worker.own_code import describe_error, is_own
from engine.worker.vision import import_torchvision

__all__ = ["load_weights"]

_NESTED = ("state_dict", "model_state_dict", "model", "MODEL_STATE")
"""Under which of these keys others put a state_dict beside other things."""
_WRAPPED = "module."


def load_weights(model: nn.Module, spec: RunSpec, *, may_fetch: bool = False) -> None:
    """Put the weights that ``config.weights`` names into ``model``.

    A layer of the head (as the model's module names it) stays as it was made where the weights lack it or have another
    size; any other layer must fit.

    Args:
        model: just made.
        spec: of the run.
        may_fetch: whether torchvision may download: in one process, before ranks start.

    Raises:
        InputError: there is no such file or name, it cannot be read, or it does not fit.
    """
    name = spec.config.weights
    assert name is not None
    module = _module_of(spec.config.model)
    path = Path(spec.project_dir or ".") / Path(name).expanduser()
    state = _read(path) if path.is_file() else _of_torchvision(name, path, module, spec, may_fetch=may_fetch)
    rename = getattr(module, "rename_weights", dict)
    _put(model, rename(_plain(state, name)), name, head=tuple(getattr(module, "HEAD", ())))


def _module_of(model: str) -> Any:
    if is_own(model) or model not in catalog.MODELS:
        return None
    return importlib.import_module(catalog.MODELS[model][0].partition(":")[0])


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _problem(f"{path} cannot be read as a state_dict: {describe_error(error)}") from error


def _of_torchvision(name: str, path: Path, module: Any, spec: RunSpec, *, may_fetch: bool) -> Any:
    enum = getattr(module, "TORCHVISION_WEIGHTS", None)
    if enum is None:
        raise _problem(f"there is no file {path}, and torchvision has no weights for model {spec.config.model}")
    models = import_torchvision("models", f"weights {name}")
    try:
        weights = models.get_weight(name if "." in name else f"{enum}.{name}")
    except Exception as error:
        known = ", ".join(weight.name for weight in getattr(models, enum))
        raise _problem(f"{name!r} is neither a file ({path}) nor torchvision's: it has {known}") from error
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not file.is_file() and not may_fetch:
        raise _problem(f"{file} is not there; `ddptui run` brings it there before ranks start")
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:
        raise _problem(
            f"{name} cannot be downloaded ({describe_error(error)}): put {weights.url} at {file}, "
            "or give a file of your own"
        ) from error


def _plain(state: Any, name: str) -> dict[str, Tensor]:
    """Return the state_dict itself, without what others wrap it in."""
    if isinstance(state, Mapping):
        state = next((state[key] for key in _NESTED if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise _problem(f"{name} holds no state_dict (names with tensors)")
    return {str(key).removeprefix(_WRAPPED): value for key, value in state.items() if isinstance(value, Tensor)}


def _put(model: nn.Module, given: dict[str, Tensor], name: str, *, head: tuple[str, ...]) -> None:
    wanted = model.state_dict()
    fitting = {key: given[key] for key, own in wanted.items() if key in given and given[key].shape == own.shape}
    for key, own in wanted.items():
        if key not in fitting and not key.startswith(head or ("\0",)):
            found = f"is {list(given[key].shape)}" if key in given else "is missing"
            raise _problem(f"{name} does not fit the model: {key} {found} there, and {list(own.shape)} in the model")
    if not fitting:
        raise _problem(f"{name} does not fit the model: no layer of it is there")
    model.load_state_dict(fitting, strict=False)


def _problem(message: str) -> InputError:
    return InputError([Problem(key="weights", message=message)])
