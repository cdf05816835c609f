"""Small data sets in the formats of the published ones, written for tests."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
from PIL import Image

NUM_CLASSES = {"cifar10": 10, "cifar100": 100}


def _images(seed, num, *shape):
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), dtype=np.uint8)


def write_idx(path, values):
    """The format of MNIST: a magic number with the type (8: bytes) and the number of dimensions, sizes, values."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(root, num_train=40, num_test=20, shape=(28, 28), suffix="", labels=None):
    for seed, (split, num) in enumerate((("train", num_train), ("t10k", num_test))):
        write_idx(root / f"MNIST/raw/{split}-images-idx3-ubyte{suffix}", _images(seed, num, *shape))
        chosen = np.arange(num) % 10 if labels is None else np.full(num, labels)
        write_idx(root / f"MNIST/raw/{split}-labels-idx1-ubyte{suffix}", chosen)


def write_cifar(root, name, num=20, labels=None):
    """Return the md5 of each file: those of the published files are others."""
    count = NUM_CLASSES[name]
    folder = root / ("cifar-10-batches-py" if name == "cifar10" else "cifar-100-python")
    folder.mkdir(parents=True, exist_ok=True)
    key = "labels" if name == "cifar10" else "fine_labels"
    train = [f"data_batch_{number}" for number in range(1, 6)] if name == "cifar10" else ["train"]
    test, meta = ("test_batch", "batches.meta") if name == "cifar10" else ("test", "meta")
    contents = {
        file: {
            "data": _images(seed, num, 3 * 32 * 32),
            key: [int(label) for label in (np.arange(num) % count if labels is None else [labels] * num)],
        }
        for seed, file in enumerate([*train, test])
    }
    names = [f"class {number}" for number in range(count)]
    contents[meta] = {"label_names" if name == "cifar10" else "fine_label_names": names}
    for file, content in contents.items():
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))
    return {file: hashlib.md5((folder / file).read_bytes()).hexdigest() for file in contents}


def with_sums(made, sums):
    """torchvision's class with the md5 list of the files that a test wrote; the check itself stays in force."""

    attributes = {
        "train_list": [[name, sums[name]] for name, _ in made.train_list],
        "test_list": [[name, sums[name]] for name, _ in made.test_list],
        "meta": {**made.meta, "md5": sums[made.meta["filename"]]},
    }
    return type(made.__name__, (made,), attributes)


def write_images(root, classes=("cat", "dog"), num=5, seed=0, sizes=((40, 30), (25, 50))):
    """JPEG and PNG files of several sizes, a folder a class."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(num):
            width, height = sizes[index % len(sizes)]
            pixels = _images(100 * seed + 10 * number + index, 1, height, width, 3)[0]
            Image.fromarray(pixels).save(root / name / f"{index}.{'jpg' if index % 2 else 'png'}")
