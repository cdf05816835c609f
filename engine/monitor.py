"""What the machine and the ranks use, as the fields of ``system`` events. Nothing here ever raises."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from engine.store import AttemptPaths

__all__ = ["Monitor"]

_TREE_EVERY = 10
"""Samples between two looks for the children of the ranks: finding them reads every process of the machine."""


class Monitor:
    """Takes a sample each time it is asked; percentages are of the time since the sample before.

    Args:
        node_rank: written into every sample.
        files: of the attempt whose log files are watched, or None.
    """

    def __init__(self, node_rank: int, files: AttemptPaths | None = None) -> None:
        self._node_rank = node_rank
        self._files = files
        self._log_bytes: dict[str, list[int]] = {}
        self._gpus = _Gpus()
        self._trees: dict[int, list[psutil.Process]] = {}
        self._used_s: dict[int, float] = {}
        self._last_s = time.monotonic()
        self._num_samples = 0
        _quietly(psutil.cpu_percent)  # the first answer has nothing to compare with

    def describe_gpus(self) -> list[dict[str, Any]]:
        """Return ``{"name", "memory_total_bytes"}`` of each GPU that NVML shows."""
        return [{key: gpu[key] for key in ("name", "memory_total_bytes")} for gpu in self._gpus.read()]

    def sample(self, pids: Mapping[int, int]) -> dict[str, Any]:
        """Return the fields of one ``system`` event; what cannot be read is None.

        Args:
            pids: rank -> pid of the ranks of this node that run.
        """
        memory = _quietly(psutil.virtual_memory)
        network = _quietly(psutil.net_io_counters)
        load = _quietly(os.getloadavg)
        log_bytes = self._sample_logs(pids)
        return {
            "node_rank": self._node_rank,
            "cpu_percent": _quietly(psutil.cpu_percent),
            "memory_used_bytes": memory.total - memory.available if memory else None,
            "memory_total_bytes": memory.total if memory else None,
            "net_sent_bytes": network.bytes_sent if network else None,
            "net_received_bytes": network.bytes_recv if network else None,
            "load_1m": load[0] if load else None,
            "ranks": self._sample_ranks(pids),
            "gpus": [{key: gpu[key] for key in gpu if key != "name"} for gpu in self._gpus.read()],
            **({"log_bytes": log_bytes} if log_bytes else {}),
        }

    def _sample_logs(self, pids: Mapping[int, int]) -> dict[str, list[int]]:
        """The lengths of the log files that have grown: their lines carry no time, so this is how it is known."""
        if self._files is None:
            return {}
        changed = {}
        for name in dict.fromkeys(("node", *self._log_bytes, *map(str, pids))):  # a rank that has ended too
            is_node = name == "node"
            paths = [self._files.node_log(self._node_rank)] if is_node else _rank_logs(self._files, int(name))
            sizes = [_size(path) for path in paths]
            if sizes != self._log_bytes.get(name, [0] * len(paths)):
                changed[name] = sizes
            self._log_bytes[name] = sizes
        return changed

    def _sample_ranks(self, pids: Mapping[int, int]) -> dict[int, dict[str, float | None]]:
        now_s = time.monotonic()
        elapsed_s = max(now_s - self._last_s, 1e-6)
        self._last_s = now_s
        if self._num_samples % _TREE_EVERY == 0 or pids.keys() - self._trees.keys():
            self._trees = {rank: _tree(pid) for rank, pid in pids.items()}
        self._num_samples += 1
        ranks = {}
        for rank in pids:
            used_s, rss_bytes = _usage(self._trees.get(rank, []))
            if not rss_bytes:  # ended: who lives has memory, and its last figures are not zeros
                continue
            before_s = self._used_s.get(rank)
            percent = None if before_s is None else max(0.0, 100.0 * (used_s - before_s) / elapsed_s)
            ranks[rank] = {"cpu_percent": percent, "rss_bytes": rss_bytes}
            self._used_s[rank] = used_s
        return ranks


class _Gpus:
    """The GPUs that NVML shows; none where it is missing."""

    def __init__(self) -> None:
        self._nvml: Any = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            self._names = [_text(pynvml.nvmlDeviceGetName(handle)) for handle in self._handles]
            self._nvml = pynvml
        except Exception:  # noqa: BLE001 - no package, no driver, no permission: no GPUs to show
            return

    def read(self) -> list[dict[str, Any]]:
        if self._nvml is None:
            return []
        gpus = (_quietly(partial(self._one, index)) for index in range(len(self._handles)))
        return [gpu for gpu in gpus if gpu is not None]

    def _one(self, index: int) -> dict[str, Any]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handles[index])
        use = _quietly(lambda: self._nvml.nvmlDeviceGetUtilizationRates(self._handles[index]).gpu)
        return {
            "index": index,
            "name": self._names[index],
            "util_percent": use,
            "memory_used_bytes": int(memory.used),
            "memory_total_bytes": int(memory.total),
        }


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _usage(tree: list[psutil.Process]) -> tuple[float, int]:
    """Processor seconds and resident bytes of the processes that are still there."""
    used_s, rss_bytes = 0.0, 0
    for process in tree:
        try:
            with process.oneshot():
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
        except psutil.Error:
            continue
        used_s += times.user + times.system
    return used_s, rss_bytes


def _rank_logs(files: AttemptPaths, rank: int) -> list[Path]:
    return [files.out(rank), files.err(rank)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _quietly(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception:  # noqa: BLE001 - a file in /proc that is missing or odd must not end a run
        return None
