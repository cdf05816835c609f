"""A user's own dataset: ``"package.module:attribute"``, called with ``dataset_args``, gives ``(train, test)``.

Each of the two is ``(inputs, targets)`` of tensors or arrays, or a map-style torch ``Dataset`` of ``(input, target)``.
Tensors and arrays are used as they are. Samples of a ``Dataset`` are fetched once and cached as arrays, since fetching
them one by one in every epoch is what would be measured otherwise; for that they must be the same on every call.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.core.errors import DdptuiError, InputError, Problem
from engine.core.spec import RunSpec
from engine.worker.datasets.arrays import Arrays, channel_statistics
from engine.worker.datasets.cache import Create, open_cached
from engine.worker.own_code import accepted_arguments, describe_error, in_project, load_own, project_on_path

__all__ = ["load_own_dataset"]

_VERSION = 1
_NUM_PROBES = 16

_Pair = tuple[NDArray[Any], NDArray[np.int64]]


def load_own_dataset(spec: RunSpec) -> Arrays:
    """Load the dataset that ``config.dataset`` names.

    Raises:
        InputError: it does not import, raises, or gives something else; says the user's file and line where it raised.
    """
    name = spec.config.dataset
    load = load_own("dataset", name, spec.project_dir)
    if not callable(load):
        raise _problem(f"{name!r} is {type(load).__name__}, not something to call")
    try:
        with in_project(spec.project_dir):
            given = load(**accepted_arguments(load, {"data_root": spec.config.data_root}), **spec.config.dataset_args)
        with project_on_path(spec.project_dir):
            return _take(given, spec)
    except DdptuiError:
        raise
    except Exception as error:
        raise _problem(f"{name!r} raised {describe_error(error, spec.project_dir)}") from error


def _take(given: Any, spec: RunSpec) -> Arrays:
    name = spec.config.dataset
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise _problem(f"{name!r} must return (train, test), not {_kind(given)}")
    messages: tuple[str, ...] = ()
    if all(_is_pair(split) for split in given):
        (train, test) = (_take_pair(split) for split in given)
    elif all(_is_map_style(split) for split in given):
        train, test, messages = _materialise(given[0], given[1], spec)
    else:
        raise _problem(
            f"{name!r}: train and test must both be (inputs, targets) or both map-style Datasets, "
            f"not {_kind(given[0])} and {_kind(given[1])}"
        )
    if train[0].shape[1:] != test[0].shape[1:] or train[0].dtype != test[0].dtype:
        raise _problem(f"{name!r}: training inputs are {_shape(train[0])}, test inputs {_shape(test[0])}")
    mean, std = channel_statistics(train[0]) if train[0].dtype == np.uint8 else ((), ())
    return Arrays(
        train_inputs=train[0],
        train_targets=train[1],
        test_inputs=test[0],
        test_targets=test[1],
        num_classes=int(max(train[1].max(), test[1].max())) + 1,
        mean=mean,
        std=std,
        messages=messages,
    )


def _is_pair(split: Any) -> bool:
    return (
        isinstance(split, tuple | list)
        and len(split) == 2
        and all(isinstance(part, torch.Tensor | np.ndarray) for part in split)
    )


def _is_map_style(split: Any) -> bool:
    return hasattr(split, "__getitem__") and hasattr(split, "__len__") and not isinstance(split, tuple | list)


def _take_pair(split: Any) -> _Pair:
    inputs, targets = (_as_array(part) for part in split)
    return _check_inputs(inputs), _check_targets(targets, len(inputs))


def _as_array(part: Any) -> NDArray[Any]:
    array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
    return array if array.flags.writeable else array.copy()  # torch takes only writable arrays quietly


def _check_inputs(inputs: NDArray[Any]) -> NDArray[Any]:
    """Bring inputs to one of the forms that batches know."""
    if inputs.dtype == np.uint8:
        if inputs.ndim == 3:
            inputs = inputs[:, None]
        if inputs.ndim == 4:
            return np.ascontiguousarray(inputs)
        raise _problem(f"uint8 inputs must be images [N, C, H, W] or [N, H, W], not {_shape(inputs)}")
    if not np.issubdtype(inputs.dtype, np.floating) or inputs.ndim not in (2, 3, 4):
        raise _problem(
            "inputs must be uint8 images [N, C, H, W] or [N, H, W], or floats [N, C, H, W], [N, T, F] or [N, F], "
            f"not {_shape(inputs)}"
        )
    return np.ascontiguousarray(inputs, dtype=np.float32)


def _check_targets(targets: NDArray[Any], num_samples: int) -> NDArray[np.int64]:
    if targets.shape != (num_samples,) or not np.issubdtype(targets.dtype, np.integer) or num_samples == 0:
        raise _problem(f"targets must be class numbers [{num_samples}] (integers), not {_shape(targets)}")
    if targets.min() < 0:
        raise _problem(f"targets must be class numbers from 0, not {targets.min()}")
    return np.ascontiguousarray(targets, dtype=np.int64)


def _materialise(train: Any, test: Any, spec: RunSpec) -> tuple[_Pair, _Pair, tuple[str, ...]]:
    """Fetch every sample of both once, into the cache.

    The key holds 16 samples of each, since the files behind a dataset may change where its code does not.
    """
    key = {
        "version": _VERSION,
        "dataset": spec.config.dataset,
        "args": repr(sorted(spec.config.dataset_args.items())),
        "data_root": spec.config.data_root,
        "code": spec.code_digest,
        "probes": [_probe(train), _probe(test)],
    }

    def make(create: Create) -> dict[str, Any]:
        for split, dataset in (("train", train), ("test", test)):
            _fetch(create, split, dataset)
        return {}

    cached = open_cached("own", key, make)
    arrays = cached.arrays
    return (
        (arrays["train_inputs"], arrays["train_targets"]),
        (arrays["test_inputs"], arrays["test_targets"]),
        cached.messages,
    )


def _probe(dataset: Any) -> str:
    """Digest some samples; refuse samples that change from call to call."""
    num_samples = len(dataset)
    if num_samples == 0:
        raise _problem("a split has no samples")
    digest = hashlib.sha256(str(num_samples).encode())
    for position in sorted({(num_samples - 1) * probe // (_NUM_PROBES - 1) for probe in range(_NUM_PROBES)}):
        first, again = (_sample(dataset, position) for _ in range(2))
        if not np.array_equal(first[0], again[0]) or first[1] != again[1]:
            raise _problem(
                f"sample {position} differs from call to call (random transforms?): give samples as they are, "
                'and use augment = ["crop", "flip"]'
            )
        digest.update(repr((first[0].shape, first[0].dtype.str, first[1])).encode() + first[0].tobytes())
    return digest.hexdigest()


def _sample(dataset: Any, position: int) -> tuple[NDArray[Any], int]:
    item = dataset[position]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise _problem(f"a sample must be (input, target), not {_kind(item)}")
    value, target = item
    if isinstance(value, torch.Tensor | np.ndarray):
        return _as_array(value), int(target)
    image = np.asarray(value)  # a PIL image: [H, W] or [H, W, C]
    return (image.transpose(2, 0, 1) if image.ndim == 3 else image), int(target)


def _fetch(create: Create, split: str, dataset: Any) -> None:
    num_samples = len(dataset)
    checked = _check_inputs(_sample(dataset, 0)[0][None])
    inputs = create(f"{split}_inputs", (num_samples, *checked.shape[1:]), checked.dtype)
    targets = create(f"{split}_targets", (num_samples,), np.int64)
    for position in range(num_samples):
        value, targets[position] = _sample(dataset, position)
        one = _check_inputs(value[None])
        if one.shape[1:] != inputs.shape[1:] or one.dtype != inputs.dtype:
            raise _problem(
                f"sample {position} is {_shape(one[0])}, sample 0 is {_shape(checked[0])}: all must be equal"
            )
        inputs[position] = one[0]
    _check_targets(targets, num_samples)


def _shape(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _kind(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__


def _problem(message: str) -> InputError:
    return InputError([Problem(key="dataset", message=message)])
