"""Made-up data of the shape, classes and size of a data set whose files are not at hand, where that is asked for."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import Any

from engine import catalog
from engine.core.spec import RunConfig

__all__ = ["STAND_INS", "stand_in_arguments"]


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """The arguments of ``synthetic``."""

    input_shape: tuple[int, ...]
    num_classes: int
    train_samples: int
    test_samples: int


STAND_INS = {
    "cifar10": StandIn(input_shape=(3, 32, 32), num_classes=10, train_samples=50_000, test_samples=10_000),
    "cifar100": StandIn(input_shape=(3, 32, 32), num_classes=100, train_samples=50_000, test_samples=10_000),
    "imagefolder": StandIn(input_shape=(3, 224, 224), num_classes=10, train_samples=2_000, test_samples=500),
    # A tenth of its 26,000: the whole would fill 4 GB of cache.
    "imagenet20": StandIn(input_shape=(3, 224, 224), num_classes=20, train_samples=2_600, test_samples=200),
    "mnist": StandIn(input_shape=(1, 28, 28), num_classes=10, train_samples=60_000, test_samples=10_000),
}


def stand_in_arguments(config: RunConfig) -> dict[str, Any]:
    """Return what ``synthetic`` is to be called with in place of ``config.dataset``.

    With ``dataset_size`` the test samples are fewer in proportion, at least one a class: else a small trial would
    mostly evaluate. ``dataset_args`` of the data set itself that say nothing about shape or classes are left out; those
    of ``synthetic`` (``train_samples``, ``noise``, ...) are taken.

    Raises:
        KeyError: the data set needs no stand-in.
    """
    stand_in = STAND_INS[config.dataset]
    arguments = asdict(stand_in)
    if config.dataset_size is not None:
        share = round(stand_in.test_samples * config.dataset_size / stand_in.train_samples)
        arguments["test_samples"] = min(max(share, stand_in.num_classes), stand_in.test_samples)
    size = config.dataset_args.get("size")
    if isinstance(size, int) and size > 0:
        arguments["input_shape"] = (arguments["input_shape"][0], size, size)
    loader = catalog.load(catalog.DATASETS[config.dataset][0])
    own = set(inspect.signature(loader).parameters)
    given = {name: value for name, value in config.dataset_args.items() if name not in own or name in arguments}
    return {**arguments, **given}
