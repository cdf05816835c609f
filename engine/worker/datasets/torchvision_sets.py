"""CIFAR-10, CIFAR-100 and MNIST as torchvision's own classes read them, then mapped by every rank from the cache.

torchvision checks the CIFAR files against their published md5 and the archives of all three; it is imported only when
the cache lacks the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.worker.datasets.arrays import Arrays
from engine.worker.datasets.cache import Create, open_cached
from engine.worker.datasets.files import Source, content_of, fetch, problem
from engine.worker.own_code import describe_error
from engine.worker.vision import import_torchvision

__all__ = ["find_class", "load_cifar10", "load_cifar100", "load_mnist"]

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class _Published:
    """What is published of a set.

    ``files`` are what torchvision reads, below the root; ``archives`` what people download, as torchvision wants it.
    """

    class_name: str
    files: tuple[str, ...]
    archive_folder: str
    archives: tuple[str, ...]
    shape: tuple[int, ...]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_CIFAR10 = _Published(
    class_name="CIFAR10",
    files=tuple(
        f"cifar-10-batches-py/{name}"
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    ),
    archive_folder="",
    archives=("cifar-10-python.tar.gz",),
    shape=(3, 32, 32),
    num_classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
_CIFAR100 = _Published(
    class_name="CIFAR100",
    files=tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta")),
    archive_folder="",
    archives=("cifar-100-python.tar.gz",),
    shape=(3, 32, 32),
    num_classes=100,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
_IDX = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_MNIST = _Published(
    class_name="MNIST",
    files=tuple(f"MNIST/raw/{name}" for name in _IDX),
    archive_folder="MNIST/raw",
    archives=tuple(f"{name}.gz" for name in _IDX),
    shape=(1, 28, 28),
    num_classes=10,
    mean=(0.1307,),
    std=(0.3081,),
)


def load_cifar10(*, source: Source) -> Arrays:
    """Load CIFAR-10 (A. Krizhevsky, 2009): 50,000 and 10,000 images of 10 classes."""
    return _load(_CIFAR10, source)


def load_cifar100(*, source: Source) -> Arrays:
    """Load CIFAR-100 (A. Krizhevsky, 2009): 50,000 and 10,000 images of 100 classes."""
    return _load(_CIFAR100, source)


def load_mnist(*, source: Source) -> Arrays:
    """Load MNIST (Y. LeCun et al., 1998): 60,000 and 10,000 images of 10 classes."""
    return _load(_MNIST, source)


def find_class(name: str, wanted_for: str) -> Any:
    """Return the class of ``torchvision.datasets``.

    A test puts a subclass in its place, whose md5 list is that of the small files the test wrote.
    """
    return getattr(import_torchvision("datasets", wanted_for), name)


def _load(published: _Published, source: Source) -> Arrays:
    paths = [source.root / file for file in published.files]
    if not all(path.is_file() for path in paths):
        _bring(published, source)
    key = {"version": _VERSION, "content": content_of(source, paths)}
    cached = open_cached(source.name, key, lambda create: _make(create, published, source))
    arrays = cached.arrays
    return Arrays(
        train_inputs=arrays["train_inputs"],
        train_targets=arrays["train_targets"],
        test_inputs=arrays["test_inputs"],
        test_targets=arrays["test_targets"],
        num_classes=published.num_classes,
        mean=published.mean,
        std=published.std,
        messages=cached.messages,
    )


def _bring(published: _Published, source: Source) -> None:
    """Have torchvision unpack what lies there packed, or download it; say what to do where neither works."""
    missing = next(file for file in published.files if not (source.root / file).is_file())
    if not source.may_fetch:
        raise problem(source, f"{missing} is not in {source.root}; `ddptui run` brings it there before ranks start")
    made = find_class(published.class_name, source.name)
    damaged = _damaged_archive(published, source, made)
    said = fetch(source, lambda: made(str(source.root), train=True, download=True))
    if not said and all((source.root / file).is_file() for file in published.files):
        return
    found = f"{damaged}; downloading it anew failed" if damaged else f"not in {source.root}, and downloading it failed"
    raise problem(
        source,
        f"{found} ({said or 'files are missing after it'}): put {' and '.join(_wanted(published, made))} into "
        f"{source.root / published.archive_folder}, set data_root to where the files are, or take made-up data with "
        "synthetic = true",
    )


def _wanted(published: _Published, made: Any) -> list[str]:
    """What to download, with its address where torchvision knows one."""
    if len(published.archives) == 1:
        return [f"{published.archives[0]} ({made.url})"]
    return [f"{', '.join(published.archives)} ({made.mirrors[0]})"]


def _checksums(made: Any) -> dict[str, str]:
    if hasattr(made, "tgz_md5"):
        return {made.filename: made.tgz_md5}
    return {name: md5 for name, md5 in made.resources if md5}


def _damaged_archive(published: _Published, source: Source, made: Any) -> str:
    """Say which archive lies there and is not the published one, or ""."""
    check: Any = import_torchvision("datasets.utils", source.name).check_integrity
    for name, md5 in _checksums(made).items():
        path = source.root / published.archive_folder / name
        if path.is_file() and not check(str(path), md5):
            return f"{path} is damaged or not the published file (its md5 is not {md5})"
    return ""


def _make(create: Create, published: _Published, source: Source) -> dict[str, Any]:
    made = find_class(published.class_name, source.name)
    for split, is_train in (("train", True), ("test", False)):
        try:
            dataset = made(str(source.root), train=is_train, download=False)
        except Exception as error:
            folder = (source.root / published.files[0]).parent
            raise problem(
                source,
                f"the files in {folder} are damaged or not the published ones ({describe_error(error)}): delete that "
                "folder, and they are unpacked or downloaded again",
            ) from error
        images, targets = _checked(dataset, published, source, folder=(source.root / published.files[0]).parent)
        create(f"{split}_inputs", images.shape, np.uint8)[:] = images
        create(f"{split}_targets", targets.shape, np.int64)[:] = targets
    return {}


def _checked(
    dataset: Any, published: _Published, source: Source, *, folder: Path
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images ``[N, C, H, W]`` and class numbers, after a look at shapes and classes."""
    images = np.asarray(dataset.data)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    targets = np.asarray(dataset.targets, dtype=np.int64)
    if images.shape[1:] != published.shape or images.dtype != np.uint8:
        raise problem(
            source, f"images in {folder} are {images.dtype} {list(images.shape[1:])}, not uint8 {list(published.shape)}"
        )
    if len(targets) != len(images):
        raise problem(source, f"there are {len(images)} images and {len(targets)} labels in {folder}")
    if len(targets) == 0 or targets.min() < 0 or targets.max() >= published.num_classes:
        found = f"from {targets.min()} to {targets.max()}" if len(targets) else "none"
        raise problem(source, f"labels in {folder} are {found}; they must be from 0 to {published.num_classes - 1}")
    return images, targets
