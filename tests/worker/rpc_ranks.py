"""Real ranks for the pipeline's tests: started here as processes, or by torchrun; each saves what it saw.

Run as a script it is one rank: ``rpc_ranks.py <folder>`` reads ``<folder>/job.json`` and writes ``rank<r>.pt``.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import TCPStore

from engine.catalog import STRATEGY_TRAITS
from engine.core.spec import RunConfig
from engine.core.topology import make_topology
from engine.worker.context import read_context
from engine.worker.strategies.interface import Batch, Task
from engine.worker.strategies.rpc_pipeline import RpcPipeline


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the ranks do: ``config`` and ``pipeline`` go to RunConfig, the rest says which net, data and calls."""

    net: str = "small"
    num_stages: int = 2
    batch_sizes: list[int]
    config: dict[str, Any] = field(default_factory=dict)
    pipeline: dict[str, Any] = field(default_factory=dict)
    keep_gradients: bool = False
    evaluate: list[int] = field(default_factory=list)
    pin: bool = False


def _seeded(build: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return build()


class Product(nn.Module):
    """Many products with one square matrix: compute without memory traffic or a large activation."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.depth = depth

    def forward(self, inputs: Tensor) -> Tensor:
        for _ in range(self.depth):
            inputs = torch.tanh(inputs @ self.weight)
        return inputs


class _SleepGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, delay_s: float) -> Tensor:
        ctx.delay_s = delay_s
        time.sleep(delay_s)
        return inputs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        time.sleep(2 * ctx.delay_s)
        return gradients[0], None


class Sleep(nn.Module):
    """A layer whose passes take a known time on a machine of any load: forward 1, backward 2 parts."""

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.delay_s = delay_s

    def forward(self, inputs: Tensor) -> Tensor:
        return _SleepGradient.apply(inputs * self.scale, self.delay_s)


class Fail(nn.Module):
    """A layer that fails on a stage, in its fifth pass."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.left = 5

    def forward(self, inputs: Tensor) -> Tensor:
        is_driver = os.environ["RANK"] == "0"  # which runs the whole net to measure it
        self.left -= not is_driver
        if self.left == 0:
            raise ArithmeticError("this layer fails on purpose")
        return inputs * self.scale


NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "small": (
        lambda: nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(12, 24), act1=nn.Tanh(), fc2=nn.Linear(24, 16), act2=nn.Tanh(), fc3=nn.Linear(16, 5)
            )
        ),
        (12,),
    ),
    "inplace": (
        lambda: nn.Sequential(
            OrderedDict(fc1=nn.Linear(12, 24), relu1=nn.ReLU(inplace=True), drop=nn.Identity(), fc2=nn.Linear(24, 5))
        ),
        (12,),
    ),
    "dropout": (
        lambda: nn.Sequential(
            OrderedDict(fc1=nn.Linear(12, 24), drop=nn.Dropout(0.5), norm=nn.BatchNorm1d(24), fc2=nn.Linear(24, 5))
        ),
        (12,),
    ),
    "products": (
        lambda: nn.Sequential(OrderedDict(left=Product(512, 40), right=Product(512, 40), head=nn.Linear(512, 5))),
        (512,),
    ),
    "fails": (
        lambda: nn.Sequential(OrderedDict(fc1=nn.Linear(12, 8), fail=Fail(), fc2=nn.Linear(8, 5))),
        (12,),
    ),
    "sleeps": (
        lambda: nn.Sequential(OrderedDict(left=Sleep(0.025), right=Sleep(0.025), head=nn.Linear(12, 5))),
        (12,),
    ),
}


def build_net(name: str) -> nn.Sequential:
    net = _seeded(NETS[name][0])
    assert isinstance(net, nn.Sequential)
    return net


def make_batches(net: str, sizes: list[int], seed: int = 0) -> list[Batch]:
    """The same batches wherever they are made."""
    generator = torch.Generator().manual_seed(seed)
    shape = NETS[net][1]
    return [
        Batch(torch.randn(size, *shape, generator=generator), torch.randint(0, 5, (size,), generator=generator))
        for size in sizes
    ]


def count_correct(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).sum()


def make_config(job: Job) -> RunConfig:
    return RunConfig.model_validate(
        {
            "model": job.net,
            "dataset": "none",
            "strategy": "rpc_pipeline",
            "world_size": job.num_stages + 1,
            "global_batch_size": max(job.batch_sizes),
            "epochs": 1,
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.5},
            "rpc_pipeline": {"num_stages": job.num_stages, **job.pipeline},
            "device": "cpu",
            **job.config,
        }
    )


def make_task(job: Job, make_optimizer: Any = None) -> Task:
    config = make_config(job)
    return Task(
        config=config,
        topology=make_topology(config, STRATEGY_TRAITS["rpc_pipeline"]),
        input_shape=NETS[job.net][1],
        build_model=lambda: build_net(job.net),
        loss=nn.functional.cross_entropy,
        count_correct=count_correct,
        make_optimizer=make_optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.5)),
        metrics={"outputs_sum": lambda outputs, targets: outputs.double().sum()},
    )


class RecordingClock:
    """Seconds per phase of each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def start(self) -> None:
        self.steps.append({})
        self._phase, self._since = "other", time.monotonic()

    def switch(self, phase: str) -> None:
        now = time.monotonic()
        self.steps[-1][self._phase] = self.steps[-1].get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now


def run_ranks(folder: Path, job: Job, *, timeout_s: float = 240.0) -> list[dict[str, Any]]:
    """Run the job on its ranks and return what each saved, by rank.

    Raises:
        RuntimeError: a rank failed; the message holds what all of them said.
    """
    codes, said = start_ranks(folder, job, timeout_s=timeout_s)
    if any(codes):
        raise RuntimeError(f"exit codes {codes}\n{said}")
    return load_results(folder, job)


def load_results(folder: Path, job: Job) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(job.num_stages + 1)]


def write_job(folder: Path, job: Job) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(vars(job)))


def start_ranks(folder: Path, job: Job, *, timeout_s: float) -> tuple[list[int | None], str]:
    """Start the ranks around a store that listens on loopback; return exit codes (None: had to be ended) and stderr."""
    write_job(folder, job)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        store = TCPStore(
            "127.0.0.1",
            port,
            None,
            True,
            timedelta(seconds=60),
            wait_for_workers=False,
            master_listen_fd=os.dup(listener.fileno()),
        )
        ranks = [_start_rank(folder, rank, job.num_stages + 1, port) for rank in range(job.num_stages + 1)]
        end = time.monotonic() + timeout_s
        codes: list[int | None] = []
        for rank in ranks:
            try:
                codes.append(rank.wait(max(0.1, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append(None)
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.wait()
        del store
    said = "\n".join((folder / f"rank{rank}.err").read_text() for rank in range(len(ranks)))
    return codes, said


def _start_rank(folder: Path, rank: int, world_size: int, port: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TP_SOCKET_IFNAME": "lo",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    with (folder / f"rank{rank}.err").open("wb") as errors:
        return subprocess.Popen([sys.executable, __file__, str(folder)], env=environment, stderr=errors)


def be_rank(folder: Path) -> None:
    """Do the job as the rank that the environment says, and save what was seen."""
    job = Job(**json.loads((folder / "job.json").read_text()))
    context = read_context(device="cpu", backend="auto")
    torch.manual_seed(100 + context.rank)
    torch.set_num_threads(1)
    if job.pin and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[max(0, context.rank - 1) % len(cores)]})
    seen: list[tuple[list[Tensor], list[Tensor]]] = []

    def make_optimizer(parameters: Any) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.5)

        def note(*_: Any) -> None:
            owned = optimizer.param_groups[0]["params"]
            seen.append(([one.detach().clone() for one in owned], [one.grad.clone() for one in owned]))

        if job.keep_gradients:
            optimizer.register_step_pre_hook(note)
        return optimizer

    strategy = RpcPipeline(make_task(job, make_optimizer), context)
    try:
        strategy.set_up()
        result = _train(strategy, job, context.rank)
        result |= {
            "seen": seen,
            "role": strategy.role,
            "description": strategy.description,
            "reports": strategy.reports,
        }
        torch.save(result, folder / f"rank{context.rank}.pt")
    finally:
        strategy.close()


def _train(strategy: RpcPipeline, job: Job, rank: int) -> dict[str, Any]:
    clock = RecordingClock()
    outputs = []
    parts = strategy.task.config.gradient_accumulation_steps
    batches = make_batches(job.net, job.batch_sizes)
    for batch in batches:
        mine = [Batch(*pair) for pair in zip(batch.inputs.chunk(parts), batch.targets.chunk(parts), strict=True)]
        clock.start()
        outputs.append(strategy.train_step(mine if rank == 0 else [], clock))
        clock.switch("other")
    strategy.settle(clock)
    settled_s = time.monotonic()
    leader = strategy.from_leader(3.5 if rank == 0 else -1.0)
    agreed = [strategy.agree(float(rank + 7), False)]
    while not agreed[-1][1]:
        agreed.append(strategy.agree(0.5, rank == strategy.context.world_size - 1))
        strategy.sum_over_ranks([])  # by itself the driver waits for nobody
    sums = strategy.sum_over_ranks([float(rank), 1.0])
    evaluated = strategy.evaluate(make_batches(job.net, job.evaluate, seed=1) if rank == 0 else [], len(job.evaluate))
    return {
        "losses": [output.loss for output in outputs],
        "correct": [output.correct for output in outputs],
        "num_samples": [output.num_samples for output in outputs],
        "spans": [output.spans for output in outputs],
        "phases": clock.steps,
        "settled_s": settled_s,
        "leader": leader,
        "agreed": agreed,
        "sums": sums,
        "evaluated": evaluated,
        "state": strategy.model_state(),
    }


if __name__ == "__main__":
    be_rank(Path(sys.argv[1]))
