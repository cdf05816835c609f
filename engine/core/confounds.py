"""What may have spoiled a run's times and figures, found in its own data: one line each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.fields import sequence, text, whole, whole_or
from engine.core.rank_record import RankRecord
from engine.core.run_record import RunRecord
from engine.core.training_confounds import find_training_confounds

__all__ = ["OTHER_LOAD", "find_confounds"]

OTHER_LOAD = "other processes used "
"""How the line about other load begins; the percentage follows."""

BUSY_CPU_PERCENT = 10.0


def find_confounds(
    record: RunRecord, envs: Sequence[Mapping[str, Any]], missing_ranks: Sequence[int], times: Mapping[str, Any]
) -> list[str]:
    """Return the lines, the gravest first.

    Args:
        record: what the run said.
        envs: its nodes, in order.
        missing_ranks: ranks of whom there is no line.
        times: of its summary, in seconds.
    """
    lines: list[str] = []
    if missing_ranks:
        lines.append(f"no events of rank {', '.join(map(str, missing_ranks))}: throughput is unknown")
    lines += find_training_confounds(record, times)
    lines += _crowded_cores(record, envs)
    lines += [line for env in envs for line in _others_at_start(env)]
    lines += _cpu_of_others(record, envs)
    steps = [r.nonfinite_step for r in record.ranks.values() if r.nonfinite_step is not None]
    if steps:
        lines.append(f"the training loss was not finite from step {min(steps)} on")
    lines += sorted({note for r in record.ordered() if (note := text(r.start, "data_note")) is not None})
    if record.garbage_lines:
        lines.append(f"{record.garbage_lines} event lines could not be read")
    return list(dict.fromkeys(lines))


def _crowded_cores(record: RunRecord, envs: Sequence[Mapping[str, Any]]) -> list[str]:
    hosts: dict[str, list[RankRecord]] = defaultdict(list)
    for rank in record.ordered():
        if rank.start and rank.start.get("role") != "driver" and not _is_cuda(rank):
            hosts[text(rank.start, "host") or f"node {whole_or(rank.start, 'node_rank', 0)}"].append(rank)
    lines: list[str] = []
    for host, ranks in hosts.items():
        num_cores = _cores_of(host, ranks, envs)
        num_threads = sum(_threads_of(rank) for rank in ranks)
        if num_cores is not None and num_threads > num_cores:
            why = " (cores_per_rank = all)" if record.config.get("cores_per_rank") == "all" else ""
            lines.append(f"{num_threads} compute threads on {num_cores} cores of {host}{why}")
        cores = [tuple(core for core in sequence(rank.start, "cores") if isinstance(core, int)) for rank in ranks]
        shared = {core for core in set(sum(cores, ())) if sum(core in own for own in cores) > 1}
        if shared:
            names = ", ".join(str(core) for core in sorted(shared)[:8]) + (", ..." if len(shared) > 8 else "")
            who = ", ".join(str(r.rank) for r, own in zip(ranks, cores, strict=True) if shared & set(own))
            lines.append(f"ranks {who} share cores {names} of {host}")
    return lines


def _is_cuda(rank: RankRecord) -> bool:
    device = text(rank.start, "device")
    return device is not None and device != "cpu"


def _threads_of(rank: RankRecord) -> int:
    """Intra-op threads; those of every replica where one process holds several."""
    is_alone = whole(rank.start, "world_size") == 1
    replicas = whole_or(rank.start, "num_devices", 1) if is_alone else 1
    return max(whole_or(rank.start, "num_threads", 1), 1) * max(replicas, 1)


def _cores_of(host: str, ranks: Sequence[RankRecord], envs: Sequence[Mapping[str, Any]]) -> int | None:
    for index, env in enumerate(envs):
        if text(env, "host") == host or index == whole(ranks[0].start, "node_rank"):
            return _num_cores(env)
    return None


def _num_cores(env: Mapping[str, Any]) -> int | None:
    return len(sequence(env, "allowed_cores")) or whole(env, "num_cores")


def _others_at_start(env: Mapping[str, Any]) -> list[str]:
    """The load average is no evidence: for minutes it still holds the run before this one."""
    others = [str(other) for other in sequence(env, "other_runs")]
    if not others:
        return []
    return [f"other runs on {text(env, 'host') or 'the host'} at the start: {', '.join(others[:5])}"]


def _cpu_of_others(record: RunRecord, envs: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for node_rank, load in sorted(record.loads.items()):
        num_cores = whole(envs[node_rank], "num_cores") if 0 <= node_rank < len(envs) else None
        if not num_cores or not load.num_samples:
            continue
        others = (load.cpu_percent - load.ranks_cpu_percent / num_cores) / load.num_samples
        if others > BUSY_CPU_PERCENT:
            host = text(envs[node_rank], "host") or f"node {node_rank}"
            lines.append(f"{OTHER_LOAD}{others:.0f} % of the CPU of {host} during the run")
    return lines
