"""The RPC pipeline with two stages against DDP with two ranks on the same two cores, interleaved block by block.

``python -m benchmarks.pipeline [--rounds 12] [--block 2]``. Prints the median step time of each and the ratio of step
times pipeline / DDP with its 95 % interval, for a wide fully connected net and for the small MNIST net.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.blocks import interleave, ratio_with_interval, wait_until_training
from benchmarks.engine_run import start_engine

MNIST = {"input_shape": [1, 28, 28], "num_classes": 10, "train_samples": 20_000, "test_samples": 1000}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A net, a batch, and the micro-batches to try."""

    title: str
    model: dict[str, Any]
    global_batch_size: int
    num_micro_batches: tuple[int, ...]


SETTINGS = [
    Setting(
        title="mlp 4 x 1280, batch 256",
        model={"model": "mlp", "model_args": {"hidden": [1280, 1280, 1280, 1280]}},
        global_batch_size=256,
        num_micro_batches=(2, 4),
    ),
    Setting(
        title="mnist_cnn, batch 256", model={"model": "mnist_cnn"}, global_batch_size=256, num_micro_batches=(2, 4)
    ),
    Setting(title="mnist_cnn, batch 32", model={"model": "mnist_cnn"}, global_batch_size=32, num_micro_batches=(2, 4)),
]


def measure(setting: Setting, *, num_rounds: int, block_s: float) -> dict[str, list[float]]:
    """Return samples/s per round of DDP and of the pipeline with each number of micro-batches."""
    shared = {
        **setting.model,
        "dataset": "synthetic",
        "dataset_args": MNIST,
        "global_batch_size": setting.global_batch_size,
    }
    ways: dict[str, dict[str, Any]] = {"ddp": {"strategy": "ddp", "world_size": 2}}
    for number in setting.num_micro_batches:
        pipeline = {"num_stages": 2, "num_micro_batches": number}
        ways[f"pipeline M={number}"] = {"strategy": "rpc_pipeline", "world_size": 3, "rpc_pipeline": pipeline}
    contenders = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, way in ways.items():
                contenders.append(start_engine(name, {**shared, **way}, Path(folder)))
                wait_until_training(contenders[-1])
                contenders[-1].send(signal.SIGSTOP)
            return interleave(contenders, num_rounds=num_rounds, block_s=block_s)
        finally:
            for contender in contenders:
                contender.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--block", type=float, default=2.0, help="seconds of a block")
    parser.add_argument("--only", default="", help="settings whose title holds this text")
    args = parser.parse_args()
    for setting in SETTINGS:
        if args.only not in setting.title:
            continue
        rates = measure(setting, num_rounds=args.rounds, block_s=args.block)
        print(f"\n{setting.title}")
        print(f"  {'':14} {'ms/step':>8}   pipeline / ddp   95 % interval")
        for name, values in rates.items():
            line = f"  {name:14} {1000 * setting.global_batch_size / statistics.median(values):8.1f}"
            if name != "ddp":
                ratio, low, high = ratio_with_interval(rates["ddp"], values)
                line += f"   {ratio:14.3f}   {low:.3f} to {high:.3f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
