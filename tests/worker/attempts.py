"""Attempts of a run: begun as the supervisor begins them, trained by real ranks, and read back as one run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from worker_runs import rank_environment, write_run

from engine.core.events import decode_line
from engine.core.spec import RunSpec
from engine.snapshots import SHARED_PART, part_of
from engine.store import AttemptPaths, RunPaths, read_json
from engine.supervisor.launch import begin_attempt

NURSERY = Path(__file__).with_name("rank_nursery.py")


class Nursery:
    """Starts ranks; see ``rank_nursery``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(NURSERY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.living: set[int] = set()

    def start(self, **order: Any) -> int:
        pid = self._ask(order)
        self.living.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        code = self._ask({"wait": pid})
        self.living.discard(pid)
        return code

    def wait_for_any(self) -> int:
        """Return the pid of a rank that has ended, which is still to be waited for."""
        return self._ask({"wait": -1})

    def close(self) -> None:
        for pid in self.living:
            os.kill(pid, signal.SIGKILL)
        self._process.communicate()

    def _ask(self, order: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursery() -> Iterator[Nursery]:
    started = Nursery()
    try:
        yield started
    finally:
        started.close()


@dataclass
class Trial:
    """A run and its attempts.

    Attributes:
        paths: its folder.
        nursery: where its ranks come from.
        world_size: how many.
    """

    __test__ = False
    paths: RunPaths
    nursery: Nursery
    world_size: int

    def begin(self) -> AttemptPaths:
        return begin_attempt(RunSpec.model_validate_json(self.paths.run.read_bytes()), self.paths, now_s=time.time())

    def start(
        self, *, room_bytes: int | None = None, world_size: int = 0, to_rank: int | None = None, **signal: Any
    ) -> list[int]:
        """Begin an attempt and start its ranks; return their pids.

        Args:
            room_bytes: no file may become larger.
            world_size: another than the run's own.
            to_rank: which rank alone sends itself a signal; None for every one.
            signal: what it sends itself; see ``rank_nursery``.
        """
        attempt = self.begin()
        self.world_size = world_size or self.world_size
        strategy = (read_json(self.paths.run) or {})["config"].get("strategy", "single")
        more = {"DDPTUI_ATTEMPT": str(attempt.number), "DDPTUI_ATTEMPT_DIR": str(attempt.root)}
        if strategy == "rpc_pipeline":
            more |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "TP_SOCKET_IFNAME": "lo"}
        return [
            self.nursery.start(
                environment=rank_environment(rank, self.world_size, **more),
                folder=str(self.paths.root),
                errors=str(attempt.root / f"rank{rank}.err"),
                store=str(attempt.root / "store") if strategy in ("ddp", "fsdp", "pipeline") else "",
                signal=signal if to_rank in (None, rank) else {},
                room_bytes=room_bytes,
            )
            for rank in range(self.world_size)
        ]

    def train(self, **how: Any) -> list[int]:
        """Begin an attempt and train it to its end; return the exit codes."""
        return [self.nursery.wait(pid) for pid in self.start(**how)]

    def train_until_killed(self, step: int = -1, **how: Any) -> None:
        """Begin an attempt of which a rank is killed, at a step by default, and with it the others as by torchrun."""
        pids = self.start(number=signal.SIGKILL, step=step, **how)
        first = self.nursery.wait_for_any()
        assert self.nursery.wait(first) == -signal.SIGKILL, self.said()
        for pid in set(pids) - {first}:
            os.kill(pid, signal.SIGKILL)
            self.nursery.wait(pid)

    def said(self, attempt: int = -1) -> str:
        """What the ranks of an attempt wrote on stderr."""
        return "\n".join(path.read_text() for path in sorted(self.paths.attempts()[attempt].root.glob("*.err")))

    def events(self, attempt: AttemptPaths, rank: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        path = attempt.events(rank)
        lines = path.read_bytes().splitlines() if path.exists() else []
        events = [event for line in lines if (event := decode_line(line)) is not None]
        return [event for event in events if kind in (None, event["kind"])]

    def warnings(self) -> list[str]:
        """Of rank 0 in the newest attempt."""
        found = self.events(self.paths.attempts()[-1], 0, "message")
        return [event["text"] for event in found if event["level"] == "warning"]

    def losses(self, rank: int) -> dict[int, float]:
        """The loss of each step; a step that was taken in two attempts must have had the same one in both."""
        losses: dict[int, float] = {}
        for attempt in self.paths.attempts():
            for event in self.events(attempt, rank, "step"):
                assert event["num_steps"] == 1
                assert losses.setdefault(event["step"], event["loss"]) == event["loss"], event["step"]
        return losses

    def rows(self, kind: str, *keys: str, rank: int = 0) -> dict[int, tuple[Any, ...]]:
        """The lines of ``kind`` by epoch, the newest attempt's where there are several."""
        events = (event for attempt in self.paths.attempts() for event in self.events(attempt, rank, kind))
        return {event["epoch"]: tuple(event[key] for key in keys) for event in events}

    def model(self, name: str = "model_final.pt") -> dict[str, Tensor]:
        state: dict[str, Tensor] = torch.load(self.paths.root / name, weights_only=True)
        return state

    def snapshots(self) -> list[int]:
        return sorted(int(path.name) for path in self.paths.snapshots.glob("*"))

    @property
    def resumed_from(self) -> int:
        told = read_json(self.paths.attempts()[-1].attempt)
        assert told is not None
        (start,) = self.events(self.paths.attempts()[-1], 0, "run_start")
        assert start["resumed_from_step"] == told["resumed_from_step"]
        return int(start["resumed_from_step"])


def make_trial(folder: Path, ranks: Nursery, **config: Any) -> Trial:
    run = write_run(folder, **config)
    return Trial(RunPaths(run.folder), ranks, config.get("world_size", 1))


def differences(one: Trial, other: Trial) -> list[str]:
    """Name what is not the same in two runs, bit for bit."""
    found = [f"losses of rank {r}" for r in range(one.world_size) if one.losses(r) != other.losses(r)]
    found += [
        f"{kind} of rank {rank}"
        for rank in range(one.world_size)
        for kind, keys in {
            "epoch_stop": ("samples", "loss", "correct", "num_steps", "step"),
            "eval": ("loss", "accuracy", "samples", "step"),
        }.items()
        if one.rows(kind, *keys, rank=rank) != other.rows(kind, *keys, rank=rank)
    ]
    for name in ("model_final.pt", "model_best.pt"):
        found += unequal(one.model(name), other.model(name), name)
    ours, theirs = (trial.paths.snapshot(trial.snapshots()[-1]) for trial in (one, other))
    for part in [SHARED_PART, *(part_of(rank) for rank in range(one.world_size))]:
        found += unequal(_state(ours / part), _state(theirs / part), part)
    return found


def unequal(ours: Any, theirs: Any, name: str) -> list[str]:
    """Name the places at which two nested values differ."""
    if isinstance(ours, Tensor):
        return [] if torch.equal(ours, theirs) else [name]
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), name
        return [place for key in ours for place in unequal(ours[key], theirs[key], f"{name}: {key}")]
    if isinstance(ours, list | tuple):
        pairs = zip(ours, theirs, strict=True)
        return [place for number, pair in enumerate(pairs) for place in unequal(*pair, f"{name}: {number}")]
    return [] if ours == theirs else [name]


def _state(path: Path) -> dict[str, Any]:
    """What a part of a snapshot holds, but for the seconds in it."""
    part: dict[str, Any] = torch.load(path, weights_only=True)
    position = {key: value for key, value in part["position"].items() if not key.endswith("_s")}
    return {**part, "position": position}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
