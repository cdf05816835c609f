"""One rank of test runs: joins a gloo group over a file and runs the worker on each run folder in turn.

``python worker_ranks.py <run dir>...`` with torchrun's variables. One start of torch serves many runs.
"""

import os
import sys
from pathlib import Path

import torch.distributed as dist

from engine.worker.__main__ import main


def run_all(folders: list[str]) -> int:
    for folder in folders:
        if int(os.environ["WORLD_SIZE"]) > 1:
            rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            store = dist.FileStore(str(Path(folder) / "store"), world_size)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
        if code := main([folder]):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(run_all(sys.argv[1:]))
