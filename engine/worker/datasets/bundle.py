"""The data of one run as every rank sees it: mapped tensors, and which of their rows train, validate and test."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import catalog
from engine.core.errors import DdptuiError, InputError, Problem
from engine.core.image_spec import Normalise, Resize
from engine.core.partition import Indices, draw_subset, hold_out, thin_classes
from engine.core.spec import RunConfig, RunSpec
from engine.worker.datasets.arrays import Arrays
from engine.worker.datasets.files import Source
from engine.worker.datasets.own import load_own_dataset
from engine.worker.datasets.stand_ins import STAND_INS, stand_in_arguments
from engine.worker.own_code import accepted_arguments, describe_error, is_own

__all__ = ["DatasetBundle", "Split", "load_bundle"]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Some samples: rows of tensors that several splits may share.

    Attributes:
        inputs: uint8 or float32, ``[M, C, H, W]`` or ``[M, T, F]``, on the CPU.
        targets: int64 ``[M]``.
        indices: int64 ``[N]``, the rows that belong to the split; None for all.
    """

    inputs: Tensor
    targets: Tensor
    indices: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets) if self.indices is None else len(self.indices)

    def labels(self) -> Indices:
        """Return the class of every sample, ``[N]``."""
        chosen = self.targets if self.indices is None else self.targets[self.indices]
        return chosen.numpy()

    def rows(self, positions: Indices) -> Tensor:
        """Return the rows that positions ``0..len-1`` of the split stand for."""
        chosen = torch.from_numpy(positions)
        return chosen if self.indices is None else self.indices[chosen]


@dataclass(frozen=True, kw_only=True)
class DatasetBundle:
    """A dataset, ready to be cut in batches.

    Attributes:
        train, test: samples.
        validation: held out of the training samples; None where nothing is.
        mean, std: per channel, of images scaled to 0..1; empty where inputs are used as they are.
        num_classes: of the targets.
        input_shape: of one sample as the model sees it, ``(C, H, W)`` or ``(T, F)``.
        is_image: whether inputs are ``[N, C, H, W]``.
        note: one line to show beside every figure made with this data, or "".
        messages: what went otherwise than wished while loading, one line each.
        resize: the size that the model sees; None for that of the data.
    """

    train: Split
    test: Split
    validation: Split | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_classes: int
    input_shape: tuple[int, ...]
    is_image: bool
    note: str = ""
    messages: tuple[str, ...] = ()
    resize: Resize | None = None


def load_bundle(spec: RunSpec, *, may_fetch: bool = False) -> DatasetBundle:
    """Load the data of a run; no sample is copied for a subset or a hold-out.

    Args:
        spec: of the run.
        may_fetch: whether missing files may be unpacked or downloaded here: in one process, before ranks start.

    Raises:
        InputError: the dataset does not load with these arguments, or is too small for what is asked of it.
        DdptuiError: shipped data is damaged.
    """
    config = spec.config
    arrays = _normalised(_load_arrays(config, spec, may_fetch=may_fetch), config)
    inputs, targets = torch.from_numpy(arrays.train_inputs), torch.from_numpy(arrays.train_targets)
    train, validation = _choose(config, arrays.train_targets, arrays.num_classes)
    test = Split(inputs=torch.from_numpy(arrays.test_inputs), targets=torch.from_numpy(arrays.test_targets))
    return DatasetBundle(
        train=Split(inputs=inputs, targets=targets, indices=train),
        test=test,
        validation=None if validation is None else Split(inputs=inputs, targets=targets, indices=validation),
        mean=arrays.mean,
        std=arrays.std,
        num_classes=arrays.num_classes,
        input_shape=_seen_shape(tuple(inputs.shape[1:]), config.resize),
        is_image=inputs.dim() == 4,
        note=arrays.note,
        messages=arrays.messages,
        resize=config.resize,
    )


def _seen_shape(shape: tuple[int, ...], resize: Resize | None) -> tuple[int, ...]:
    return shape if resize is None or len(shape) != 3 else (shape[0], resize.size, resize.size)


def _normalised(arrays: Arrays, config: RunConfig) -> Arrays:
    """Put the mean and deviation in the place of the data set's that the configuration asks for."""
    if config.normalise is True:
        return arrays
    shape = arrays.train_inputs.shape[1:]
    if arrays.train_inputs.dtype != np.uint8 or len(shape) != 3:
        raise _problem("normalise", f"only uint8 images are normalised; {config.dataset} is used as it is")
    asked = config.normalise or Normalise(mean=[0.0], std=[1.0])
    mean, std = (tuple(values * shape[0] if len(values) == 1 else values) for values in (asked.mean, asked.std))
    if not len(mean) == len(std) == shape[0]:
        raise _problem("normalise", f"mean and std need 1 value or {shape[0]}, one per channel of {config.dataset}")
    return replace(arrays, mean=mean, std=std)


def _load_arrays(config: RunConfig, spec: RunSpec, *, may_fetch: bool) -> Arrays:
    if is_own(config.dataset):
        if config.synthetic:
            raise _problem("synthetic", 'your own data set has no stand-in; use dataset = "synthetic" with its shape')
        return load_own_dataset(spec)
    if config.dataset not in catalog.DATASETS:
        raise _problem("dataset", f"unknown dataset {config.dataset!r}; there are {', '.join(catalog.DATASETS)}")
    if config.synthetic:
        return _load_stand_in(config)
    load = catalog.load(catalog.DATASETS[config.dataset][0])
    offered = {
        "preferred_input_shape": _preferred_input_shape(config.model),
        "source": Source.of(config.dataset, config.data_root, spec.project_dir, may_fetch=may_fetch),
    }
    return _call(load, accepted_arguments(load, offered), config)


def _load_stand_in(config: RunConfig) -> Arrays:
    if config.dataset not in STAND_INS:
        raise _problem("synthetic", f"dataset {config.dataset} needs no stand-in: its data is always at hand")
    load = catalog.load(catalog.DATASETS["synthetic"][0])
    arrays = _call(load, {}, config.model_copy(update={"dataset_args": stand_in_arguments(config)}))
    return replace(arrays, note=f"synthetic data in place of {config.dataset}")


def _call(load: Callable[..., Arrays], offered: dict[str, Any], config: RunConfig) -> Arrays:
    """Call a loader of the catalog; say what does not suit it."""
    allowed = [name for name in inspect.signature(load).parameters if name not in ("preferred_input_shape", "source")]
    unknown = sorted(set(config.dataset_args) - set(allowed))
    if unknown:
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        raise _problem("dataset_args", f"dataset {config.dataset} does not take {', '.join(unknown)}; {takes}")
    try:
        return load(**{**offered, **config.dataset_args})
    except DdptuiError:
        raise
    except Exception as error:
        raise _problem("dataset_args", f"dataset {config.dataset}: {describe_error(error)}") from error


def _preferred_input_shape(model: str) -> tuple[int, ...] | None:
    """What the catalog's model likes best; the user's own says nothing, ``dataset_args`` can."""
    if model not in catalog.MODELS:
        return None
    module, _, _ = catalog.MODELS[model][0].partition(":")
    shape: tuple[int, ...] | None = catalog.load(f"{module}:PREFERRED_INPUT_SHAPE")
    return shape


def _choose(config: RunConfig, targets: Indices, num_classes: int) -> tuple[Tensor | None, Tensor | None]:
    """Return the rows to train on and those to validate on; None for all and for none."""
    num_samples = len(targets)
    try:
        tailed = None if config.long_tail is None else thin_classes(targets, num_classes, config.long_tail, config.seed)
        subset = draw_subset(num_samples if tailed is None else len(tailed), config.dataset_size, config.seed)
        if tailed is not None:
            subset = tailed if subset is None else tailed[subset]
        if not config.validation:
            return _as_tensor(subset), None
        num_kept = num_samples if subset is None else len(subset)
        train, validation = hold_out(num_kept, config.validation, config.seed)
    except ValueError as error:
        raise InputError(str(error)) from error
    if subset is not None:
        train, validation = subset[train], subset[validation]
    return _as_tensor(train), _as_tensor(validation) if len(validation) else None


def _as_tensor(indices: Indices | None) -> Tensor | None:
    return None if indices is None else torch.from_numpy(np.ascontiguousarray(indices))


def _problem(key: str, message: str) -> InputError:
    return InputError([Problem(key=key, message=message)])
