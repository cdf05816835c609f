"""How fast ddptui's engine trains, against what people would write themselves.

LeNet-5 on 50,000 CIFAR-shaped uint8 images, in six settings, contenders interleaved block by block (``blocks.py``).
``python -m benchmarks.train [--rounds 12] [--block 2] [--only TEXT]``; needs ``pip install -e ".[bench]"``.
Prints one table a setting: samples/s (median over the rounds) and the ratio ddptui / contender with its 95 % interval.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.blocks import Contender, interleave, ratio_with_interval, wait_until_training
from benchmarks.counter import read_counter
from benchmarks.engine_run import make_spec, start_engine
from engine.worker.datasets.bundle import load_bundle

OTHERS = ("bare", "bare_float", "usual", "fabric", "accelerate")
NUM_IMAGES = 50_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the benchmark."""

    local_batch_size: int
    num_ranks: int
    augment: bool

    @property
    def title(self) -> str:
        """What is measured, in words."""
        ranks = "one rank on one core" if self.num_ranks == 1 else f"{self.num_ranks} ranks, a core each"
        return (
            f"batch {self.local_batch_size} per rank, {ranks}, {'crop and flip' if self.augment else 'no augmentation'}"
        )


SETTINGS = [
    Setting(local_batch_size=size, num_ranks=ranks, augment=augment)
    for size, augment in ((64, False), (256, False), (128, True))
    for ranks in (1, 2)
]


def configuration(setting: Setting) -> dict[str, Any]:
    """The setting as a run of ddptui."""
    return {
        "model": "lenet5",
        "dataset": "synthetic",
        "dataset_args": {
            "input_shape": [3, 32, 32], "num_classes": 10, "train_samples": NUM_IMAGES, "test_samples": 1000
        },
        "strategy": "single" if setting.num_ranks == 1 else "ddp",
        "world_size": setting.num_ranks,
        "local_batch_size": setting.local_batch_size,
        "augment": ["crop", "flip"] if setting.augment else [],
    }  # fmt: skip


def start_other(name: str, setting: Setting, folder: Path, data: Path) -> Contender:
    counters = folder / name
    counters.mkdir()
    own = [
        "-m", "benchmarks.contenders", name, "--data", str(data), "--counters", str(counters),
        "--local-batch-size", str(setting.local_batch_size), *(["--augment"] if setting.augment else []),
    ]  # fmt: skip
    launch = [sys.executable]
    if setting.num_ranks > 1:
        launch += ["-m", "torch.distributed.run", f"--nproc-per-node={setting.num_ranks}", "--rdzv-backend=ddptui"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([*launch, *own], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def steps() -> int | None:
        counter = read_counter(counters / "rank0")
        return None if counter is None else counter[1]

    samples_per_step = setting.local_batch_size * setting.num_ranks
    return Contender(name=name, process=process, samples_per_step=samples_per_step, steps=steps)


def measure(
    setting: Setting, names: list[str], data: Path, *, num_rounds: int, block_s: float
) -> dict[str, list[float]]:
    """Start every contender, stop each once it trains, then interleave them."""
    contenders: list[Contender] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in names:
                if name == "ddptui":
                    contenders.append(start_engine(name, configuration(setting), Path(folder)))
                else:
                    contenders.append(start_other(name, setting, Path(folder), data))
                contender = contenders[-1]
                wait_until_training(contender)
                contender.send(signal.SIGSTOP)
            return interleave(contenders, num_rounds=num_rounds, block_s=block_s)
        finally:
            for contender in contenders:
                contender.end()


def print_table(setting: Setting, rates: dict[str, list[float]]) -> None:
    print(f"\n{setting.title}")
    print(f"  {'':12} {'samples/s':>10}   ddptui / it   95 % interval")
    for name, values in rates.items():
        line = f"  {name:12} {statistics.median(values):10,.0f}"
        if name != "ddptui":
            ratio, low, high = ratio_with_interval(rates["ddptui"], values)
            line += f"   {ratio:11.3f}   {low:.3f} to {high:.3f}"
        print(line, flush=True)


def save_images(folder: Path) -> Path:
    """Write the images of the synthetic set where the other contenders read them."""
    split = load_bundle(make_spec("data", configuration(SETTINGS[0]))).train
    np.save(folder / "images.npy", np.asarray(split.inputs))
    np.save(folder / "labels.npy", np.asarray(split.targets))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--block", type=float, default=2.0, help="seconds of a block")
    parser.add_argument("--only", default="", help="settings whose title holds this text")
    parser.add_argument("--contenders", nargs="*", default=list(OTHERS), choices=OTHERS)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        data = save_images(Path(folder))
        for setting in SETTINGS:
            if args.only in setting.title:
                rates = measure(setting, ["ddptui", *args.contenders], data, num_rounds=args.rounds, block_s=args.block)
                print_table(setting, rates)


if __name__ == "__main__":
    main()
