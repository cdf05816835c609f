"""Lightning Fabric: ``torchrun --nproc-per-node 2 fabric_train.py --strategy ddp``."""

import argparse
import os
import time

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--strategy", default="auto", help="dp, ddp or auto")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--devices", type=int, default=int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="of each process")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    fabric = Fabric(accelerator=args.accelerator, devices=args.devices, strategy=args.strategy)
    fabric.launch()
    fabric.seed_everything(args.seed)
    images = torch.randn(4096, 1, 16, 16)
    dataset = TensorDataset(images, images.flatten(1)[:, :10].argmax(1))
    loader = fabric.setup_dataloaders(DataLoader(dataset, batch_size=args.batch_size, shuffle=True, drop_last=True))
    layers = [
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4096, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ]
    model = nn.Sequential(*layers)
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    loss_function = nn.CrossEntropyLoss()
    fabric.print(f"strategy {args.strategy}: {type(fabric.strategy).__name__} with {fabric.world_size} processes")

    for epoch in range(args.epochs):
        begun = time.perf_counter()
        seen = 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            fabric.backward(loss)
            optimizer.step()
            seen += len(inputs)
            import ddptui; ddptui.log(loss=loss, samples=len(inputs), epoch=epoch)  # fmt: skip
        rate = seen * fabric.world_size / (time.perf_counter() - begun)
        fabric.print(f"epoch {epoch}: loss {loss.item():.4f}, {rate:.1f} samples/s", flush=True)


if __name__ == "__main__":
    main()
