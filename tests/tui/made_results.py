"""Results folders for the screen's tests, written as the supervisor and the ranks write them, finished or growing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.store import ResultsPaths, RunPaths, read_json, write_json
from engine.tail import RunFollower

T0_S = 1_790_000_000.0
"""When everything began: a fixed clock."""

PHASES = {"data": 0.1, "forward": 0.35, "backward": 0.4, "comm": 0.1, "optimizer": 0.04, "other": 0.01}


def decaying_loss(step: int) -> float:
    return 2.3 * math.exp(-step / 400) + 0.1 + 0.05 * math.sin(step / 7)


class MadeRun:
    """One run: ``steps`` appends the event lines of all its ranks, ``end`` concludes it."""

    def __init__(self, paths: RunPaths, spec: dict[str, Any], world_size: int) -> None:
        self.paths = paths
        self.spec = spec
        self.world_size = world_size
        self.tag = f"{spec['experiment']}/{spec['id']}"
        self.step = 0
        self.num_lines = [0] * world_size
        self.num_node_lines = 0

    def begin(self, *, num_steps: int = 4000, attempt: int = 1) -> MadeRun:
        """Write what the supervisor and the ranks write as they start."""
        self._attempt = self.paths.attempt(attempt)
        write_json(self._attempt.attempt, {"attempt": attempt, "world_size": self.world_size, "started_s": T0_S})
        write_json(self._attempt.env(0), {"host": "box-01", "cpu_model": "Example CPU", "num_cores": 4, "gpus": []})
        for rank in range(self.world_size):
            self.line(
                rank,
                kind="run_start",
                world_size=self.world_size,
                local_rank=rank,
                node_rank=0,
                nodes=1,
                num_devices=self.world_size,
                host="box-01",
                pid=1000 + rank,
                device="cpu",
                backend="gloo",
                num_threads=1,
                cores=[rank],
                role="rank",
                strategy=self.spec["config"]["strategy"],
                num_parameters=62006,
                global_batch_size=64,
                local_batch_size=64 // self.world_size,
                steps_per_epoch=200,
                num_steps=num_steps,
                num_epochs=num_steps // 200,
                lr=0.05,
                seed=0,
                data_note="",
                startup_s=1.5,
                time_s=T0_S + 1.5,
            )
        return self

    def steps(
        self,
        num_lines: int,
        *,
        stride: int = 8,
        step_s: float = 0.03,
        loss: Callable[[int], float] = decaying_loss,
        slow_rank: int | None = None,
    ) -> MadeRun:
        """Append so many ``step`` lines to every rank; on ``slow_rank`` forward takes twice as long, others wait."""
        for _ in range(num_lines):
            first, last = self.step, self.step + stride - 1
            for rank in range(self.world_size):
                phases = {name: share * step_s * stride for name, share in PHASES.items()}
                if slow_rank is not None:
                    extra = 0.2 * step_s * stride
                    phases["forward" if rank == slow_rank else "comm"] += extra
                window_s = sum(phases.values())
                value = loss(last)
                self.line(
                    rank,
                    kind="step",
                    epoch=last // 200,
                    step_first=first,
                    step=last,
                    num_steps=stride,
                    samples=64 // self.world_size * stride,
                    correct=int(64 // self.world_size * stride * min(0.95, 0.1 + last / 5000)),
                    loss=value,
                    loss_min=value,
                    loss_max=value,
                    loss_last=value,
                    lr=0.05,
                    window_s=window_s,
                    phases=phases,
                    boundary={"step_s": window_s / stride, "phases": {k: v / stride for k, v in phases.items()}},
                    time_s=T0_S + 2 + (last + 1) * window_s / stride,
                )
            self.step += stride
        return self

    def evaluate(self, epoch: int, accuracy: float, loss: float = 0.5) -> MadeRun:
        """Append a test evaluation."""
        self.line(
            0, kind="eval", epoch=epoch, step=self.step - 1, split="test", samples=360, loss=loss, accuracy=accuracy,
            eval_s=0.2, metrics={}, time_s=T0_S + 2 + self.step * 0.03,
        )  # fmt: skip
        return self

    def sample_node(self, num_samples: int = 1, *, cpu_percent: float = 90.0) -> MadeRun:
        """Append ``system`` lines of node 0, one second apart."""
        for _ in range(num_samples):
            n = self.num_node_lines
            self.num_node_lines += 1
            ranks = {str(r): {"cpu_percent": 99.0 - r, "rss_bytes": 300 << 20} for r in range(self.world_size)}
            value = {
                "kind": "system", "time_s": T0_S + n, "mono_s": float(n), "seq": n, "rank": None, "attempt": 1,
                "node_rank": 0, "cpu_percent": cpu_percent, "memory_used_bytes": 4 << 30,
                "memory_total_bytes": 16 << 30, "net_sent_bytes": 1000 * n, "net_received_bytes": 2000 * n,
                "load_1m": 1.0, "ranks": ranks, "gpus": [],
            }  # fmt: skip
            _append(self._attempt.node_events(0), json.dumps(value))
        return self

    def log(self, rank: int, text: str, *, is_err: bool = False) -> MadeRun:
        """Append text to a rank's own output."""
        path = self._attempt.err(rank) if is_err else self._attempt.out(rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return self

    def status(self, state: str, reason: str = "", **more: Any) -> MadeRun:
        """Write ``status.json`` as the supervisor would."""
        stored = read_json(self.paths.status) or {}
        is_begun = state != "queued"
        begun = {"attempt": stored.get("attempt") or 1, "started_s": stored.get("started_s") or T0_S}
        write_json(
            self.paths.status,
            {"attempt": 0, "queued_s": T0_S - 5, "started_s": None, "ended_s": None, "exit_code": None, "handle": None,
             **stored, **(begun if is_begun else {}), "state": state, "reason": reason, "updated_s": T0_S, **more},
        )  # fmt: skip
        return self

    def end(self, state: str = "succeeded", reason: str = "") -> MadeRun:
        """Conclude: the ranks stop, the summary and the status are written."""
        if state == "succeeded":
            for rank in range(self.world_size):
                self.line(
                    rank, kind="run_stop", reason="epochs", epoch=1, step=self.step - 1, num_steps=self.step,
                    train_s=self.step * 0.03, eval_s=0.4, snapshot_s=0.0, real_s=self.step * 0.03 + 2, user_s=1.0,
                    system_s=0.1, peak_memory_bytes=300 << 20, peak_device_memory_bytes=None,
                    time_s=T0_S + 3 + self.step * 0.03,
                )  # fmt: skip
        self.status(state, reason, ended_s=T0_S + 3 + self.step * 0.03)
        write_json(self.paths.summary, RunFollower(self.paths, self.spec).summary(read_json(self.paths.status) or {}))
        return self

    def line(self, rank: int, **event: Any) -> MadeRun:
        """Append one event line of a rank."""
        seq = self.num_lines[rank]
        self.num_lines[rank] += 1
        value = {"rank": rank, "attempt": 1, "seq": seq, "time_s": T0_S, "mono_s": float(seq), **event}
        _append(self._attempt.events(rank), json.dumps(value))
        return self


class MadeResults:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = ResultsPaths(root)
        root.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        run_id: str,
        *,
        experiment: str = "digits",
        strategy: str = "ddp",
        world_size: int = 1,
        repeat: int = 0,
        state: str = "queued",
        config: dict[str, Any] | None = None,
    ) -> MadeRun:
        """Make a run that waits, or is said to be in ``state``; it stands in the plan of its experiment."""
        paths = self.paths.run(experiment, run_id)
        full = {
            "model": "lenet5", "dataset": "digits", "strategy": strategy, "world_size": world_size, "nodes": 1,
            "global_batch_size": 64, "epochs": 20, "seed": repeat, "optimizer": {"name": "sgd", "lr": 0.05},
        }  # fmt: skip
        spec = {
            "format": 1, "id": run_id, "experiment": experiment, "point": f"{strategy}-w{world_size}",
            "repeat": repeat, "axes": {"strategy": strategy, "world_size": world_size}, "baseline": "single-w1",
            "baseline_reason": "", "num_devices": world_size, "config": {**full, **(config or {})},
        }  # fmt: skip
        write_json(paths.run, spec)
        plan_path = self.paths.experiment(experiment).plan
        plan = read_json(plan_path) or {"format": 1, "experiment": experiment, "description": "", "run_ids": []}
        plan.setdefault("toml", "")
        plan["run_ids"] = [*plan["run_ids"], run_id]
        write_json(plan_path, plan)
        return MadeRun(paths, spec, world_size).status(state)

    def queue(self, *tags: str, is_held: bool = False) -> None:
        """Write ``queue.json``."""
        waiting = [
            {"experiment": tag.split("/")[0], "run_id": tag.split("/")[1], "queued_s": T0_S, "stop_by_s": None}
            for tag in tags
        ]
        write_json(self.paths.queue, {"format": 1, "active": [], "waiting": waiting, "is_held": is_held})


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")
