"""Synthetic experiments, written as the real writers do: event lines with LineWriter, JSON by the store."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddptui.lines import LineWriter
from engine.core.share_audit import describe_share
from engine.store import ExperimentPaths, ResultsPaths, RunPaths, write_json
from engine.tail import RunFollower

PHASE_SHARES = {
    "single": {"data": 0.04, "forward": 0.36, "backward": 0.5, "optimizer": 0.08, "other": 0.02},
    "dp": {"data": 0.05, "forward": 0.33, "backward": 0.46, "optimizer": 0.1, "other": 0.06},
    "ddp": {"data": 0.04, "forward": 0.3, "backward": 0.42, "comm": 0.14, "optimizer": 0.08, "other": 0.02},
    "rpc_pipeline": {"forward": 0.28, "backward": 0.36, "comm": 0.06, "bubble": 0.22, "optimizer": 0.06, "other": 0.02},
}
GLOBAL_BATCH = 64
STEPS_PER_EPOCH = 20


class Maker:
    """Makes the folder of one experiment."""

    def __init__(self, results: Path, name: str = "digits-comparison") -> None:
        self.results = results
        self.name = name
        self.has_coverage = False
        self.has_latency = False
        self.metrics: dict[str, float] = {}
        self.paths: ExperimentPaths = ResultsPaths(results).experiment(name)
        self.run_ids: list[str] = []
        self._rng = random.Random(3)

    def add_run(
        self,
        strategy: str,
        num_devices: int,
        repeat: int,
        *,
        step_s: float = 0.02,
        num_epochs: int = 4,
        state: str = "succeeded",
        reason: str = "",
        axes: dict[str, Any] | None = None,
        with_summary: bool = True,
        data_note: str = "",
        loss_factor: float = 1.0,
        confounded: bool = False,
    ) -> RunPaths:
        world_size = {"single": 1, "dp": 1, "rpc_pipeline": num_devices + 1}.get(strategy, num_devices)
        others = "".join(f"-{value}" for value in (axes or {}).values())
        point = f"{strategy}-d{num_devices}{others}"
        run_id = f"{strategy}-d{num_devices}-r{repeat}{others}"
        self.run_ids.append(run_id)
        paths = self.paths.run(run_id)
        config = {"strategy": strategy, "world_size": world_size, "nodes": 1, "seed": repeat, "model": "lenet5"}
        config |= {"measure_latency": True} if self.has_latency else {}
        config |= {"global_batch_size": GLOBAL_BATCH, "optimizer": {"name": "sgd", "lr": 0.05}} | (axes or {})
        spec = {"format": 1, "id": run_id, "experiment": self.name, "point": point, "repeat": repeat, "config": config}
        spec |= {"axes": {"strategy": strategy, "world_size": world_size} | (axes or {})}
        spec |= {"baseline": f"single-d1{others}", "num_devices": num_devices, "baseline_reason": "strategy = single"}
        write_json(paths.run, spec)
        status = {"state": state, "reason": reason, "attempt": 1, "updated_s": 1.8e9}
        status |= {"queued_s": 1.79e9, "started_s": 1.79e9 + 5, "ended_s": 1.79e9 + 50}
        write_json(paths.status, status)
        if state == "queued":
            return paths
        attempt = paths.attempt(1)
        env = {"host": "box", "os": "Linux 6.8", "python": "3.12.3", "cpu_model": "Example CPU 9000", "num_cores": 4}
        env |= {"allowed_cores": [0, 1, 2, 3], "num_threads": 1, "memory_total_bytes": 16 * 2**30, "gpus": []}
        env |= {"load_1m_at_start": 3.1 if confounded else 0.1, "git_commit": "0123abcd", "git_dirty": False}
        write_json(attempt.env(0), env)
        write_json(attempt.attempt, {"attempt": 1, "world_size": world_size, "resumed_from_step": 0})
        noisy_step_s = step_s * math.exp(self._rng.gauss(0, 0.02))
        for rank in range(world_size):
            self._write_rank(
                paths, rank, strategy, num_devices, noisy_step_s, num_epochs, data_note, loss_factor, state
            )
        self._write_system(paths, num_devices, num_epochs * STEPS_PER_EPOCH * noisy_step_s + 3)
        if with_summary:
            write_json(paths.summary, RunFollower(paths, spec).summary(status))
        return paths

    def write_plan(self, **changes: Any) -> None:
        plan = {"format": 1, "experiment": self.name, "file": "experiments.toml", "run_ids": self.run_ids, "repeats": 3}
        plan |= {"toml": '[defaults]\nmodel = "lenet5"\n\n[[experiment]]\nname = "digits-comparison"\n'}
        plan |= {
            "notes": ["left out: single with world_size 2 (it is one process)"],
            "baseline": {"strategy": "single"},
        }
        write_json(self.paths.plan, plan | changes)

    def _write_rank(
        self, paths: RunPaths, rank: int, strategy: str, num_devices: int, step_s: float, num_epochs: int,
        data_note: str, loss_factor: float, state: str,
    ) -> None:  # fmt: skip
        writer = _ClockedWriter(paths, rank)
        is_pipeline = strategy == "rpc_pipeline"
        role = ("driver" if rank == 0 else "stage") if is_pipeline else "rank"
        has_samples = not is_pipeline or rank == 0
        share = 1 if is_pipeline or strategy in ("single", "dp") else num_devices
        world_size = num_devices + 1 if is_pipeline else (1 if strategy in ("single", "dp") else num_devices)
        writer.write(
            "run_start", 2.0, world_size=world_size, num_devices=num_devices, nodes=1, host="box", pid=100 + rank,
            device="cpu", backend="gloo", torch="2.13.0", num_threads=1, cores=[rank], role=role, strategy=strategy,
            description=f"{strategy} on CPU", num_parameters=61_706, train_samples=1280, global_batch_size=GLOBAL_BATCH,
            local_batch_size=GLOBAL_BATCH // share, steps_per_epoch=STEPS_PER_EPOCH, num_epochs=num_epochs, lr=0.05,
            num_steps=num_epochs * STEPS_PER_EPOCH, data_note=data_note, startup_s=2.0, node_rank=0, local_rank=rank,
        )  # fmt: skip
        if self.has_latency and strategy == "ddp":
            times = [1e-4 * (rank + 1)] * 20
            writer.write(
                "latency", 0.1, world_size=num_devices, nodes=1, backend="gloo", all_reduce_bytes=4, all_reduce_s=times,
                barrier_s=[5e-5] * 20,
            )  # fmt: skip
        samples = GLOBAL_BATCH // share if has_samples else None
        for step in range(num_epochs * STEPS_PER_EPOCH):
            epoch = step // STEPS_PER_EPOCH
            loss = loss_factor * (2.3 * math.exp(-step / 30) + 0.05) if has_samples else None
            phases = {name: part * step_s for name, part in PHASE_SHARES[strategy].items()}
            writer.write(
                "step", step_s, epoch=epoch, step_first=step, step=step, num_steps=1, samples=samples, loss=loss,
                correct=samples and int(samples * (1 - math.exp(-step / 25))), lr=0.05, window_s=step_s, phases=phases,
                boundary={"step_s": step_s, "phases": phases},
            )  # fmt: skip
            if (step + 1) % STEPS_PER_EPOCH == 0 and self.has_coverage:
                self._write_coverage(writer, epoch, step, rank, num_devices)
            if (step + 1) % STEPS_PER_EPOCH == 0:
                self._write_epoch_end(writer, epoch, step, rank, samples, loss, step_s)
        if state == "succeeded":
            total_s = step_s * STEPS_PER_EPOCH * num_epochs
            writer.write(
                "run_stop", 0.1, reason="epochs", epoch=num_epochs - 1, step=num_epochs * STEPS_PER_EPOCH - 1,
                train_s=total_s, eval_s=0.1 * num_epochs, snapshot_s=0.05, real_s=total_s + 2.5, user_s=total_s,
                system_s=0.3, peak_memory_bytes=300 * 2**20, peak_device_memory_bytes=None,
            )  # fmt: skip
        writer.close()

    def _write_coverage(self, writer: "_ClockedWriter", epoch: int, step: int, rank: int, num_shares: int) -> None:
        """Rank 0 sees the first half of the samples, rank 1 as many from the first quarter on."""
        samples = np.arange(320 * rank, 320 * rank + 640)
        labels = np.arange(1280) % 2
        share = describe_share(rank, samples, 1280, labels=labels, num_classes=2, every=1)
        writer.write(
            "coverage", 0.0, epoch=epoch, step=step, num_samples=1280, every=1, num_shares=num_shares,
            class_counts=[640, 640], shares=[share],
        )  # fmt: skip

    def _write_epoch_end(
        self, writer: "_ClockedWriter", epoch: int, step: int, rank: int, samples: int | None, loss: float | None,
        step_s: float,
    ) -> None:  # fmt: skip
        train_s = step_s * STEPS_PER_EPOCH
        counted = samples * STEPS_PER_EPOCH if samples else None
        writer.write(
            "epoch_stop", 0.0, epoch=epoch, step=step, num_steps=STEPS_PER_EPOCH, train_s=train_s,
            epoch_s=train_s + 0.1, samples=counted, loss=loss, correct=counted and int(0.8 * counted),
        )  # fmt: skip
        if rank == 0:
            for split, offset in (("validation", 0.02), ("test", 0.05)):
                accuracy = min(0.97 - 0.7 * math.exp(-epoch / 2) + self._rng.gauss(0, 0.01), 1.0)
                value = None if loss is None else loss + offset + 0.02 * self._rng.random()
                figures = {"samples": 300, "loss": value, "accuracy": accuracy, "eval_s": 0.05, "metrics": self.metrics}
                writer.write("eval", 0.05, epoch=epoch, step=step, split=split, **figures)

    def _write_system(self, paths: RunPaths, num_devices: int, seconds: float) -> None:
        writer = _ClockedWriter(paths, None)
        sent = 5_000_000
        for index in range(max(int(seconds * 2), 3)):
            sent += int(400_000 * num_devices * self._rng.random())
            writer.write(
                "system", 0.5, node_rank=0, cpu_percent=min(25.0 * num_devices + 3 * self._rng.random(), 100.0),
                memory_used_bytes=int((3 + 0.3 * num_devices + 0.01 * index) * 2**30), memory_total_bytes=16 * 2**30,
                net_sent_bytes=sent, net_received_bytes=sent, load_1m=float(num_devices), gpus=[],
                ranks={str(r): {"cpu_percent": 100.0, "rss_bytes": 280 * 2**20} for r in range(num_devices)},
            )  # fmt: skip
        writer.close()


class _ClockedWriter:
    """LineWriter whose lines carry a made-up time that goes on by given seconds."""

    def __init__(self, paths: RunPaths, rank: int | None) -> None:
        attempt = paths.attempt(1)
        path = attempt.node_events(0) if rank is None else attempt.events(rank)
        self._writer = LineWriter(str(path), rank=rank, attempt=1)
        self._time_s = 1.79e9

    def write(self, kind: str, seconds: float, **fields: Any) -> None:
        self._time_s += seconds
        self._writer.write(kind, **(fields | {"time_s": self._time_s, "mono_s": self._time_s - 1.78e9}))

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "results")


@pytest.fixture
def comparison(maker: Maker) -> Maker:
    """Four strategies, three repeats."""
    for repeat in range(3):
        maker.add_run("single", 1, repeat, step_s=0.040)
        maker.add_run("dp", 2, repeat, step_s=0.024, loss_factor=1.02)
        maker.add_run("ddp", 2, repeat, step_s=0.022, loss_factor=0.97)
        maker.add_run("rpc_pipeline", 2, repeat, step_s=0.031, loss_factor=1.05)
    maker.write_plan()
    return maker
