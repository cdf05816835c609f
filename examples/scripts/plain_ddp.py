"""DistributedDataParallel as people write it for torchrun: ``torchrun --nproc-per-node 2 plain_ddp.py``."""

import argparse
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="of each rank")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    dist.init_process_group("gloo")
    torch.manual_seed(args.seed)
    images = torch.randn(4096, 1, 16, 16)
    dataset = TensorDataset(images, images.flatten(1)[:, :10].argmax(1))
    sampler = DistributedSampler(dataset, seed=args.seed)
    loader = DataLoader(dataset, batch_size=args.batch_size, sampler=sampler, drop_last=True)
    layers = [
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4096, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ]
    model = DistributedDataParallel(nn.Sequential(*layers))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_function = nn.CrossEntropyLoss()

    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        begun = time.perf_counter()
        seen = 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            seen += len(inputs)
            import ddptui; ddptui.log(loss=loss, samples=len(inputs), epoch=epoch)  # fmt: skip
        spent = time.perf_counter() - begun
        if dist.get_rank() == 0:
            print(
                f"epoch {epoch}: loss {loss.item():.4f}, {seen * dist.get_world_size() / spent:.1f} samples/s",
                flush=True,
            )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
