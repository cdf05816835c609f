"""The loops that ddptui is measured against, each as its users would write it. Run by ``benchmarks.train`` only.

``bare``: a hand-written loop over preloaded tensors; ``bare_float``: the same with the images made floats once;
``usual``: PIL images, torchvision transforms, DataLoader, DistributedSampler; ``fabric`` and ``accelerate``: Lightning
Fabric and Hugging Face Accelerate around that same usual loader. All train LeNet-5 with SGD on the same images.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.counter import StepCounter

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def lenet5() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def crop_and_flip(images: Tensor) -> Tensor:
    """Random crop with padding 4 and flip of a float batch ``[B, C, 32, 32]``, as one would write it by hand."""
    num, _, height, width = images.shape
    padded = F.pad(images, (4, 4, 4, 4))
    top, left = torch.randint(0, 9, (num,)), torch.randint(0, 9, (num,))
    rows = (top[:, None] + torch.arange(height))[:, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, :]
    cropped = padded.permute(0, 2, 3, 1)[torch.arange(num)[:, None, None], rows, columns].permute(0, 3, 1, 2)
    flipped = torch.rand(num) < 0.5
    cropped[flipped] = cropped[flipped].flip(-1)
    return cropped


def run_bare(args: argparse.Namespace, counter: StepCounter, *, is_float: bool) -> None:
    images, labels = load(args.data)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    if is_float:
        images = images.float().div_(255).sub_(mean).div_(std)
    rank, world_size = join()
    model: nn.Module = lenet5()
    if world_size > 1:
        model = DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    share = args.local_batch_size * world_size
    for epoch in range(1_000_000):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        for start in range(0, len(images) - share + 1, share):
            chosen = order[start + rank * args.local_batch_size : start + (rank + 1) * args.local_batch_size]
            inputs = images[chosen]
            if not is_float:
                inputs = inputs.float().div_(255).sub_(mean).div_(std)
            if args.augment:
                inputs = crop_and_flip(inputs)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels[chosen]).backward()
            optimizer.step()
            counter.add()


class PilImages(torch.utils.data.Dataset):
    """What torchvision's CIFAR10 does: an array of images, each made a PIL image and transformed when asked for."""

    def __init__(self, path: Path, augment: bool) -> None:
        from torchvision import transforms

        self.images = np.ascontiguousarray(np.load(path / "images.npy").transpose(0, 2, 3, 1))
        self.labels = np.load(path / "labels.npy").tolist()
        random = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augment else []
        self.transform = transforms.Compose([*random, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def usual_loader(args: argparse.Namespace, rank: int, world_size: int) -> torch.utils.data.DataLoader:
    dataset = PilImages(args.data, args.augment)
    sampler = None
    if world_size > 1:
        sampler = torch.utils.data.DistributedSampler(dataset, num_replicas=world_size, rank=rank, shuffle=True)
    return torch.utils.data.DataLoader(
        dataset, args.local_batch_size, sampler=sampler, shuffle=sampler is None, num_workers=args.num_workers,
        persistent_workers=args.num_workers > 0, drop_last=True,
    )  # fmt: skip


def run_usual(args: argparse.Namespace, counter: StepCounter) -> None:
    rank, world_size = join()
    loader = usual_loader(args, rank, world_size)
    model: nn.Module = lenet5()
    if world_size > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for epoch in range(1_000_000):
        if world_size > 1:
            loader.sampler.set_epoch(epoch)
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            counter.add()


def run_fabric(args: argparse.Namespace, counter: StepCounter) -> None:
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments import TorchElasticEnvironment

    _, world_size = rank_and_world_size()
    if world_size > 1:
        fabric = Fabric(accelerator="cpu", devices=world_size, strategy="ddp", plugins=TorchElasticEnvironment())
    else:
        fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    model = lenet5()
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    loader = fabric.setup_dataloaders(usual_loader(args, 0, 1))
    for _ in range(1_000_000):
        for inputs, targets in loader:
            optimizer.zero_grad()
            fabric.backward(F.cross_entropy(model(inputs), targets))
            optimizer.step()
            counter.add()


def run_accelerate(args: argparse.Namespace, counter: StepCounter) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = lenet5()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    model, optimizer, loader = accelerator.prepare(model, optimizer, usual_loader(args, 0, 1))
    for _ in range(1_000_000):
        for inputs, targets in loader:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(inputs), targets))
            optimizer.step()
            counter.add()


def load(path: Path) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.load(path / "images.npy")), torch.from_numpy(np.load(path / "labels.npy"))


def rank_and_world_size() -> tuple[int, int]:
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def join() -> tuple[int, int]:
    rank, world_size = rank_and_world_size()
    if world_size > 1:
        dist.init_process_group("gloo")
    return rank, world_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["bare", "bare_float", "usual", "fabric", "accelerate"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--counters", type=Path, required=True)
    parser.add_argument("--local-batch-size", type=int, required=True)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--num-workers", type=int, default=0)
    args = parser.parse_args()
    rank, _ = rank_and_world_size()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    counter = StepCounter(args.counters / f"rank{rank}")
    if args.name.startswith("bare"):
        run_bare(args, counter, is_float=args.name == "bare_float")
    else:
        {"usual": run_usual, "fabric": run_fabric, "accelerate": run_accelerate}[args.name](args, counter)


if __name__ == "__main__":
    main()
