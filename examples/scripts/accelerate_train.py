"""Hugging Face Accelerate: ``torchrun --nproc-per-node 2 accelerate_train.py``."""

import argparse
import time

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="of each process")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    accelerator = Accelerator(cpu=True)
    set_seed(args.seed)
    images = torch.randn(4096, 1, 16, 16)
    dataset = TensorDataset(images, images.flatten(1)[:, :10].argmax(1))
    layers = [
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4096, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    ]
    model = nn.Sequential(*layers)
    model, optimizer, loader = accelerator.prepare(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        DataLoader(dataset, batch_size=args.batch_size, shuffle=True, drop_last=True),
    )
    loss_function = nn.CrossEntropyLoss()

    for epoch in range(args.epochs):
        begun = time.perf_counter()
        seen = 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            accelerator.backward(loss)
            optimizer.step()
            seen += len(inputs)
            import ddptui; ddptui.log(loss=loss, samples=len(inputs), epoch=epoch)  # fmt: skip
        rate = seen * accelerator.num_processes / (time.perf_counter() - begun)
        accelerator.print(f"epoch {epoch}: loss {loss.item():.4f}, {rate:.1f} samples/s", flush=True)


if __name__ == "__main__":
    main()
