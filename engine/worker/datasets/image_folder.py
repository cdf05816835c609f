"""Folders of images, a folder a class: decoded once into a memory-mapped array of one size that all ranks share.

``ROOT/train/CLASS/*.jpg`` with ``ROOT/test/...`` (or ``val``), or ``ROOT/CLASS/*.jpg`` alone, of which a share is
then drawn for testing. torchvision's ``ImageFolder`` says which files and classes there are and decodes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.partition import hold_out
from engine.worker.datasets.arrays import Arrays
from engine.worker.datasets.cache import Create, open_cached
from engine.worker.datasets.files import Source, content_of, problem
from engine.worker.own_code import describe_error
from engine.worker.vision import import_torchvision

__all__ = ["load", "load_imagenet20"]

_VERSION = 1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's weights expect them
_TEST_FOLDERS = ("test", "val", "valid", "validation")


@dataclass(frozen=True, kw_only=True)
class _Request:
    """How the folder is to be read; see ``load``."""

    size: int
    fit: str
    num_classes: int | None
    test_share: float
    split_seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a positive number of pixels, not {self.size!r}")
        if self.fit not in ("stretch", "crop"):
            raise ValueError(f"fit must be stretch or crop, not {self.fit!r}")
        if not isinstance(self.test_share, int | float) or not 0 < self.test_share < 1:
            raise ValueError(f"test_share must lie between 0 and 1, not {self.test_share!r}")
        if not isinstance(self.split_seed, int) or self.split_seed < 0:
            raise ValueError(f"split_seed must be a whole number of at least 0, not {self.split_seed!r}")


def load(
    *,
    source: Source,
    size: int = 224,
    fit: str = "stretch",
    num_classes: int | None = None,
    test_share: float = 0.2,
    split_seed: int = 0,
) -> Arrays:
    """Load a folder of images.

    Args:
        source: where it is.
        size: sides of the square that every image is brought to, bilinear with antialiasing.
        fit: "stretch" both sides to it, or bring the shorter side to it and "crop" the centre.
        num_classes: how many there must be; None for as many as there are.
        test_share: of the images, drawn for testing where there is no test folder.
        split_seed: of that draw; the same for all runs.

    Raises:
        InputError: the folder is not there, holds other classes than asked for, or an image cannot be decoded.
        ValueError: an argument is out of its range.
    """
    request = _Request(size=size, fit=fit, num_classes=num_classes, test_share=test_share, split_seed=split_seed)
    train, test = _find_folders(source)
    folders = [train] if test is None else [train, test]
    files = [path for folder in folders for path in _files_below(folder)]
    key = {"version": _VERSION, "content": content_of(source, files), "size": size, "fit": fit}
    key |= {"split": None if test else [test_share, split_seed], "num_classes": num_classes}
    cached = open_cached(source.name, key, lambda create: _make(create, source, request, train, test))
    return Arrays(
        train_inputs=cached.arrays["train_inputs"],
        train_targets=cached.arrays["train_targets"],
        test_inputs=cached.arrays["test_inputs"],
        test_targets=cached.arrays["test_targets"],
        num_classes=int(cached.about["num_classes"]),
        mean=_MEAN,
        std=_STD,
        messages=cached.messages,
    )


def load_imagenet20(*, source: Source, size: int = 224, fit: str = "stretch", split_seed: int = 0) -> Arrays:
    """Load a folder of twenty classes of ImageNet; see ``load``."""
    return load(source=source, size=size, fit=fit, num_classes=20, split_seed=split_seed)


def _find_folders(source: Source) -> tuple[Path, Path | None]:
    """Return the folders to train and to test on; the latter None where a share of the former is to be drawn."""
    root = source.root / source.name
    root = root if root.is_dir() else source.root
    places = f"{source.root}/train/CLASS/*.jpg and {source.root}/test/CLASS/*.jpg, or {source.root}/CLASS/*.jpg"
    hint = f"put the images there as {places}, set data_root, or take made-up data with synthetic = true"
    if not root.is_dir():
        raise problem(source, f"there is no folder {root}: {hint}")
    if (root / "train").is_dir():
        tests = [root / name for name in _TEST_FOLDERS if (root / name).is_dir()]
        return root / "train", tests[0] if tests else None
    if not any(entry.is_dir() for entry in root.iterdir()):
        raise problem(source, f"there are no class folders in {root}: {hint}")
    return root, None


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):
        yield from (Path(parent, name) for name in names)


def _make(create: Create, source: Source, request: _Request, train: Path, test: Path | None) -> dict[str, Any]:
    classes, samples = _list_samples(source, train)
    if request.num_classes not in (None, len(classes)):
        raise problem(source, f"{train} has {len(classes)} class folders, not {request.num_classes}")
    if test is not None:
        test_classes, test_samples = _list_samples(source, test)
        if test_classes != classes:
            odd = sorted(set(classes) ^ set(test_classes))
            raise problem(source, f"the classes of {train} and {test} differ: {', '.join(odd[:5])}")
    else:
        kept, held = hold_out(len(samples), float(request.test_share), request.split_seed)
        samples, test_samples = [samples[index] for index in kept], [samples[index] for index in held]
    for split, chosen in (("train", samples), ("test", test_samples)):
        if not chosen:
            raise problem(source, f"there are too few images in {train} to {split} on")
        inputs = create(f"{split}_inputs", (len(chosen), 3, request.size, request.size), np.uint8)
        create(f"{split}_targets", (len(chosen),), np.int64)[:] = [target for _, target in chosen]
        _decode(inputs, chosen, source, request)
    return {"num_classes": len(classes), "classes": classes}


def _list_samples(source: Source, folder: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """Return the class names and (file, class number) of every image, as torchvision orders them."""
    datasets = import_torchvision("datasets", source.name)
    try:
        dataset = datasets.ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise problem(source, str(error).splitlines()[0]) from error
    return dataset.classes, dataset.samples


def _decode(inputs: NDArray[np.uint8], samples: Sequence[tuple[str, int]], source: Source, request: _Request) -> None:
    """Fill ``inputs``; decoders of Pillow let other threads run."""
    transforms = import_torchvision("transforms", source.name)
    datasets: Any = import_torchvision("datasets", source.name)
    if request.fit == "stretch":
        fit = transforms.Resize((request.size, request.size))
    else:
        fit = transforms.Compose([transforms.Resize(request.size), transforms.CenterCrop(request.size)])

    def decode(position: int) -> None:
        path = samples[position][0]
        try:
            image = fit(datasets.folder.default_loader(path))
        except Exception as error:
            raise problem(source, f"{path} cannot be decoded ({describe_error(error)}): repair or delete it") from error
        inputs[position] = np.asarray(image).transpose(2, 0, 1)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as threads:
        for _ in threads.map(decode, range(len(samples))):
            pass  # asks for each outcome, so that the first error ends it
