"""The torchrun agent of one node as its node runner starts it: which ranks on which cores with which environment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ddptui.privacy import SHARE_VARIABLE
from engine.catalog import STRATEGY_TRAITS
from engine.core.cores import assign_cores, threads_per_rank
from engine.core.plan_catalog import StrategyTraits
from engine.core.spec import RunSpec
from engine.launchers.torchrun import (
    Launch,
    agent_arguments,
    agent_command,
    agent_environment,
    agent_module,
    rank_arguments,
    script_environment,
)
from engine.store import AttemptPaths, RunPaths

__all__ = ["AgentPlan", "Host", "Start", "plan_agent"]


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the plan must know of the machine and of the one who carries it out.

    Attributes:
        platform: as ``sys.platform``.
        python: the interpreter where the run names none.
        pid: of the node runner.
        environment: of the node runner.
        allowed_cores: best first.
        num_gpus: that NVML shows.
    """

    platform: str
    python: str
    pid: int
    environment: Mapping[str, str]
    allowed_cores: Sequence[int]
    num_gpus: int


@dataclass(frozen=True, kw_only=True)
class AgentPlan:
    """How torchrun is started on one node.

    Attributes:
        launch: the process.
        ranks: of this node, by local rank.
        cores: rank -> cores.
        num_threads: intra-op threads of each rank.
    """

    launch: Launch
    ranks: list[int]
    cores: dict[int, list[int]]
    num_threads: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of the agent of one node.

    Attributes:
        attempt: which start of the run this is.
        node_rank: which node.
        world_size: ranks of all nodes.
        beats: folder of the beats, on this machine.
        started_s: Unix seconds, handed to the ranks.
        marks: variables by which the run's processes are known.
        worker: the module that each rank becomes.
    """

    attempt: int
    node_rank: int
    world_size: int
    beats: Path
    started_s: float
    marks: Mapping[str, str]
    worker: str

    def ranks(self, nodes: int) -> list[int]:
        """Those of this node, by local rank."""
        per_node = self.world_size // nodes
        return list(range(self.node_rank * per_node, (self.node_rank + 1) * per_node))


def plan_agent(spec: RunSpec, paths: RunPaths, host: Host, start: Start) -> AgentPlan:
    """Decide everything about the agent of one node.

    Args:
        spec: the run.
        paths: its folder, absolute.
        host: where it runs.
        start: which start, of which node.
    """
    config = spec.config
    ranks = start.ranks(config.nodes)
    shape = _shape(spec, start.world_size)
    cores = assign_cores(host.allowed_cores, config.cores_per_rank, **shape)
    num_threads = threads_per_rank(len(host.allowed_cores), config.cores_per_rank, **shape)
    own = {
        **_inherited(host),
        **start.marks,
        **_visible_gpus(spec, host, ranks),
        **_told(spec, paths, host, start),
        "DDPTUI_CORES": json.dumps({str(place): cores[rank] for place, rank in enumerate(ranks)}),
        "DDPTUI_THREADS": str(num_threads),
    }
    launch = Launch(
        argv=_command(spec, paths, host, start),
        env=agent_environment(host.environment, spec, num_threads=num_threads, platform=host.platform, own=own),
        cwd=Path(spec.project_dir or paths.root),
        log=paths.attempt(start.attempt).node_log(start.node_rank),
    )
    return AgentPlan(launch=launch, ranks=ranks, cores={rank: cores[rank] for rank in ranks}, num_threads=num_threads)


def _command(spec: RunSpec, paths: RunPaths, host: Host, start: Start) -> list[str]:
    config, world_size, node_rank = spec.config, start.world_size, start.node_rank
    rank = rank_arguments(
        spec, run_dir=str(paths.root), world_size=world_size, attempt=start.attempt, worker=start.worker
    )
    arguments = agent_arguments(
        rdzv_id=spec.id,
        world_size=world_size,
        nodes=config.nodes,
        node_rank=node_rank,
        rdzv_file=str(paths.attempt(start.attempt).rdzv),
        log_dir=str(start.beats / f"torchrun{node_rank}"),
        rank=rank,
    )
    return agent_command(config.python or host.python, config.setup, agent_module(config.launch), arguments)


def _told(spec: RunSpec, paths: RunPaths, host: Host, start: Start) -> dict[str, str]:
    """What agent and ranks must know of this start: who began it, where its files are."""
    files = paths.attempt(start.attempt)
    own_files = [_files(spec, files, rank) for rank in start.ranks(spec.config.nodes)]
    return {
        "DDPTUI_ATTEMPT": str(start.attempt),
        "DDPTUI_ATTEMPT_DIR": str(files.root),
        "DDPTUI_BEATS": str(start.beats),
        "DDPTUI_PARENT_PID": str(host.pid),
        "DDPTUI_RANKS_FILE": str(files.ranks(start.node_rank)),
        "DDPTUI_RANK_FILES": json.dumps({str(place): own for place, own in enumerate(own_files)}),
        "DDPTUI_STARTED_S": repr(start.started_s),
        **script_environment(spec, attempt=start.attempt),
    }


def _inherited(host: Host) -> dict[str, str]:
    return {name: host.environment[name] for name in (SHARE_VARIABLE,) if name in host.environment}


def _shape(spec: RunSpec, world_size: int) -> dict[str, int]:
    traits = STRATEGY_TRAITS.get(spec.config.strategy, StrategyTraits())
    return {
        "world_size": world_size,
        "num_replicas": spec.num_devices if traits.is_one_process else 1,
        "num_driver_ranks": traits.num_driver_ranks,
    }


def _files(spec: RunSpec, files: AttemptPaths, rank: int) -> dict[str, str]:
    own = {
        "out": str(files.out(rank)),
        "err": str(files.err(rank)),
        "error": str(files.error(rank)),
        "stack": str(files.stack(rank)),
    }
    if spec.config.script is None:
        return own
    return {**own, "lines": str(files.events(rank)), "events": str(files.said(rank))}


def _visible_gpus(spec: RunSpec, host: Host, ranks: Sequence[int]) -> dict[str, str]:
    """Local ranks count from 0 on every node: nodes that share a machine need GPUs of their own."""
    shown = host.environment.get("CUDA_VISIBLE_DEVICES")
    gpus = [str(index) for index in range(host.num_gpus)] if shown is None else shown.split(",")
    mine = gpus[ranks[0] : ranks[-1] + 1]
    if spec.config.nodes == 1 or spec.config.device == "cpu" or len(mine) < len(ranks):
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine)}
