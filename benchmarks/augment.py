"""Samples/s of the batched augmentation beside torchvision's transforms on one sample after the other, on one thread.

``python -m benchmarks.augment``: the median of interleaved rounds, and the ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T

from engine.core.image_spec import Augmentation, Resize
from engine.worker.images.transform import Transform

BATCH, ROUNDS = 64, 7
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BICUBIC = T.InterpolationMode.BICUBIC
TO_TENSOR = [T.ToTensor(), T.Normalize(MEAN, STD)]

CASES: dict[str, tuple[int, int | None, list[str], list[object]]] = {
    "32: flip, crop": (32, None, ["flip", "crop"], [T.RandomHorizontalFlip(), T.RandomCrop(32, padding=4), *TO_TENSOR]),
    "32 to 224: box, flip": (
        32, 224, ["random_resized_crop", "flip"],
        [T.RandomResizedCrop(224, interpolation=BICUBIC), T.RandomHorizontalFlip(), *TO_TENSOR],
    ),
    "32 to 224: box, flip, RandAugment, erasing": (
        32, 224, ["random_resized_crop", "flip", "rand_augment", "random_erasing"],
        # One of torchvision's operations, always applied: as many on average as two of timm's, each in one of two.
        [T.RandomResizedCrop(224, interpolation=BICUBIC), T.RandomHorizontalFlip(),
         T.RandAugment(num_ops=1, interpolation=BICUBIC), *TO_TENSOR, T.RandomErasing(0.25, value="random")],
    ),
    "256 to 224: box, flip": (
        256, 224, ["random_resized_crop", "flip"],
        [T.RandomResizedCrop(224, interpolation=BICUBIC), T.RandomHorizontalFlip(), *TO_TENSOR],
    ),
}  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'samples/s, batch of 64, one thread':45} {'batched':>9} {'torchvision':>12} {'ratio':>6}")
    for name, (side, size, names, theirs) in CASES.items():
        images = torch.randint(0, 256, (BATCH, 3, side, side), dtype=torch.uint8)
        ours, reference = measure(batched(images, size, names), per_sample(images, T.Compose(theirs)))
        print(f"{name:45} {ours:9.0f} {reference:12.0f} {ours / reference:6.2f}")


def batched(images: Tensor, size: int | None, names: list[str]) -> Callable[[], object]:
    transform = Transform(
        [Augmentation.model_validate({"name": name}) for name in names],
        resize=Resize(size=size, interpolation="bicubic") if size else None,
        mean=MEAN, std=STD, shape=images.shape[1:], is_bytes=True, device=torch.device("cpu"),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    return lambda: transform(images.clone(), generator)


def per_sample(images: Tensor, transform: Callable[[Image.Image], Tensor]) -> Callable[[], object]:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return lambda: torch.stack([transform(picture) for picture in pictures])


def measure(*contenders: Callable[[], object]) -> list[float]:
    """Samples/s of each, interleaved: the median round, by the CPU time of this process."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(ROUNDS + 1):
        for made, contender in zip(times, contenders, strict=True):
            begun_s = time.process_time()
            contender()
            made.append(time.process_time() - begun_s)
    return [BATCH / statistics.median(made[1:]) for made in times]


if __name__ == "__main__":
    main()
