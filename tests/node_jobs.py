"""Small real jobs for the tests of the node runner: a stand-in for the worker that does what its MODE says."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from engine.core.spec import RunConfig, RunSpec
from engine.launchers.local import LocalLauncher
from engine.processes import Handle, end_tree, find_tagged, run_marks
from engine.store import AttemptPaths, RunPaths, read_json

STAND_IN = """
import atexit, os, signal, time
mode = os.environ.get("MODE", "")
if mode == "import":
    import a_module_that_is_missing
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("sum", flush=True)
    time.sleep(600)
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
rank = dist.get_rank()
total = torch.ones(1) * (rank + 1)
dist.all_reduce(total)
if mode == "rpc":
    from torch.distributed import rpc
    options = rpc.TensorPipeRpcBackendOptions(_transports=["uv"], _channels=["basic"])
    rpc.init_rpc(f"worker{rank}", rank=rank, world_size=dist.get_world_size(), rpc_backend_options=options)
line = f"sum {total.item()} rank {rank} local {os.environ['LOCAL_RANK']}\\n"
os.write(1, line.encode())  # in one piece: two ranks may share the terminal
atexit.register(os._exit, 1)  # winding down with gloo's threads alive aborts the interpreter now and then
if mode == "raise" and rank == 1:
    raise ValueError("the third layer is missing\\nand more")
if mode == "kill" and rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "early" and rank == 1:
    os._exit(0)
if mode == "stuck":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if rank == 1:
        os._exit(3)
if mode == "leave":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(75))
if mode == "daemon" and rank == 0:
    import subprocess
    daemon = subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True)
    os.write(1, f"daemon {daemon.pid}\\n".encode())
if mode in ("stuck", "wait", "leave", "rpc"):
    time.sleep(600)
dist.all_reduce(total)
dist.destroy_process_group()
atexit.unregister(os._exit)
"""


class Job:
    """A run folder with a stand-in worker, and its node runners."""

    def __init__(self, folder: Path, **config: Any) -> None:
        modules = folder / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "stand_in.py").write_text(STAND_IN)
        self.spec = make_spec(folder, **config)
        self.paths = RunPaths((folder / "results" / "tests" / "runs" / self.spec.id).resolve())
        self.paths.root.mkdir(parents=True)
        self.paths.run.write_text(self.spec.model_dump_json())
        self.files: AttemptPaths = self.paths.attempt(0)
        self.marks = run_marks(self.paths, self.spec.experiment)

    def start(self) -> list[Handle]:
        """Start the node runner of each node."""
        launcher = LocalLauncher()
        plans = [
            launcher.plan(self.spec, self.paths, attempt=0, node_rank=k, worker="stand_in")
            for k in range(self.spec.config.nodes)
        ]
        return [launcher.start(plan) for plan in plans]

    def exit(self, node_rank: int = 0) -> dict[str, Any]:
        """Wait for the end of a node and return its exit file."""
        until(lambda: self.files.exit(node_rank).exists())
        found = read_json(self.files.exit(node_rank))
        assert found is not None
        return found

    def wait_for_ranks(self) -> None:
        """Wait until every rank has said its first line."""
        outs = [self.files.out(rank) for rank in range(self.spec.config.world_size)]
        until(lambda: all(out.exists() and "sum" in out.read_text() for out in outs))

    def processes(self) -> list[psutil.Process]:
        return find_tagged(self.marks)


@contextmanager
def running(folder: Path, **config: Any) -> Iterator[Job]:
    """A job that leaves nothing behind, whatever the test did."""
    job = Job(folder, **config)
    try:
        yield job
    finally:
        end_tree(job.marks, grace_s=0)
        for node_rank in range(job.spec.config.nodes):  # a node runner that was killed could not tidy up
            beats = (read_json(job.files.env(node_rank)) or {}).get("beats")
            if beats:
                shutil.rmtree(beats, ignore_errors=True)


def make_spec(folder: Path, *, mode: str = "", env: dict[str, str] | None = None, **config: Any) -> RunSpec:
    values: dict[str, Any] = {
        "model": "mlp",
        "dataset": "digits",
        "strategy": "ddp",
        "world_size": 2,
        "global_batch_size": 8,
        "epochs": 1,
        "optimizer": {"name": "sgd", "lr": 0.1},
        "env": {"PYTHONPATH": str(folder / "modules"), "MODE": mode, **(env or {})},
    }
    if "script" in config:
        values = {key: values[key] for key in ("world_size", "epochs", "env")}
    return RunSpec(
        id="ddp-w2-r0-000000",
        experiment="tests",
        point="ddp-w2-000000",
        repeat=0,
        axes={},
        baseline=None,
        baseline_reason="",
        config=RunConfig.model_validate({**values, **config}),
        num_devices=2,
        project_dir=str(folder),
        code_digest="",
    )


def until(condition: Callable[[], bool], timeout_s: float = 90.0) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
