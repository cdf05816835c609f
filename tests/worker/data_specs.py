"""Runs and data made by hand, for tests of what lies between the two."""

from typing import Any

import torch

from engine.core.spec import RunSpec
from engine.worker.datasets.bundle import DatasetBundle, Split


def make_spec(project_dir: Any = "", point: str = "point", **config: Any) -> RunSpec:
    settled = {
        "model": "mlp",
        "dataset": "digits",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "epochs": 1,
        **({} if "local_batch_size" in config else {"global_batch_size": 32}),
        **config,
    }
    return RunSpec.model_validate(
        {
            "id": point,
            "experiment": "test",
            "point": point,
            "repeat": 0,
            "axes": {},
            "baseline": None,
            "baseline_reason": "",
            "config": settled,
            "num_devices": 1,
            "project_dir": str(project_dir),
            "code_digest": "",
        }
    )


def make_bundle(inputs: torch.Tensor, targets: torch.Tensor | None = None, num_classes: int = 10) -> DatasetBundle:
    """One split that both trains and tests, normalised by a mean and deviation per channel where it is uint8."""
    targets = torch.arange(len(inputs)) % num_classes if targets is None else targets
    split = Split(inputs=inputs, targets=targets)
    is_normalised = inputs.dtype == torch.uint8
    channels = inputs.shape[1]
    return DatasetBundle(
        train=split,
        test=split,
        validation=None,
        mean=tuple(0.4 + 0.1 * channel for channel in range(channels)) if is_normalised else (),
        std=tuple(0.2 + 0.1 * channel for channel in range(channels)) if is_normalised else (),
        num_classes=num_classes,
        input_shape=tuple(inputs.shape[1:]),
        is_image=inputs.dim() == 4,
    )


def random_images(num_samples: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (num_samples, *shape), dtype=torch.uint8, generator=generator)
