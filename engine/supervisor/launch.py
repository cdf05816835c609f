"""Start an attempt: its files, then its node runners."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

from pydantic import ValidationError

from ddptui.privacy import FOLDER_MODE
from engine import catalog
from engine.core.errors import DdptuiError
from engine.core.result_config import result_of
from engine.core.spec import RunSpec
from engine.launchers.by_hand import command_script
from engine.launchers.torchrun import Launch
from engine.ownership import RefusedFileError, check_own_file, check_own_folder
from engine.processes import Handle
from engine.snapshots import Choice, choose_snapshot
from engine.store import AttemptPaths, RunPaths, make_folder, read_json, write_json, write_whole

__all__ = ["Launcher", "begin_attempt", "describe_nodes", "find_launcher", "read_spec", "start_nodes"]


class Launcher(Protocol):
    """Where node runners are started."""

    def plan(self, spec: RunSpec, paths: RunPaths, *, attempt: int, node_rank: int) -> Launch:
        """Say how a node runner is started, without starting it."""
        ...

    def start(self, launch: Launch) -> Handle:
        """Start what was planned; raises DdptuiError."""
        ...


def find_launcher(name: str) -> Launcher:
    """Return the launcher that the catalog knows under ``name``."""
    launcher: Launcher = catalog.load(catalog.LAUNCHERS[name][0])()
    return launcher


def read_spec(paths: RunPaths) -> RunSpec:
    """Read ``run.json``.

    Raises:
        DdptuiError: it is missing, not a run, or not ours: it says which program is to be started; one line.
    """
    try:
        check_own_folder(paths.root)
        check_own_file(paths.run)
        return RunSpec.model_validate_json(paths.run.read_bytes())
    except RefusedFileError as error:
        raise DdptuiError(f"not started: {paths.run} {error}") from error
    except OSError as error:
        raise DdptuiError(f"cannot read {paths.run}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DdptuiError(f"{paths.run} is not a run of this version: {where}: {first['msg']}") from error


def begin_attempt(
    spec: RunSpec, paths: RunPaths, *, now_s: float, restarts: int = 0, on_chunk: Callable[[], None] = lambda: None
) -> AttemptPaths:
    """Make the folder of the next attempt and the files that describe it, with the snapshot that it goes on from.

    Args:
        spec: the run.
        paths: its folder.
        now_s: Unix seconds.
        restarts: attempts before this one that fell since somebody asked for the run.
        on_chunk: called again and again while a snapshot is compared with its checksums.

    Raises:
        OSError: something cannot be written.
        InputError: the newest snapshot is of another config.
    """
    numbers = [attempt.number for attempt in paths.attempts()]
    attempt = paths.attempt(max(numbers, default=0) + 1)
    choice = choose_snapshot(paths, result_of(spec.config), on_chunk=on_chunk)
    make_folder(attempt.root.parent)
    attempt.root.mkdir(mode=FOLDER_MODE)
    write_json(attempt.attempt, {**_description(spec, attempt, now_s, choice), "restarts": restarts})
    paths.summary.unlink(missing_ok=True)  # of the attempt before: this one's comes at its end
    script = command_script(
        spec,
        world_size=_world_size(spec),
        python=spec.config.python or sys.executable,
        num_threads=spec.config.cores_per_rank if isinstance(spec.config.cores_per_rank, int) else os.cpu_count() or 1,
        platform=sys.platform,
    )
    write_whole(paths.command, script.encode(), mode=FOLDER_MODE)
    return attempt


def start_nodes(launcher: Launcher, spec: RunSpec, paths: RunPaths, attempt: AttemptPaths) -> dict[int, Handle]:
    """Start the node runner of every node.

    Raises:
        DdptuiError: one cannot be started; the others may run.
    """
    launches = [
        launcher.plan(spec, paths, attempt=attempt.number, node_rank=node_rank)
        for node_rank in range(spec.config.nodes)
    ]
    return {node_rank: launcher.start(launch) for node_rank, launch in enumerate(launches)}


def describe_nodes(attempt: AttemptPaths, nodes: int) -> dict[str, Any]:
    """Return what the node runners have said of their machines: hosts, cores of each rank, where the beats are."""
    envs = [read_json(attempt.env(node_rank)) or {} for node_rank in range(nodes)]
    cores: dict[str, Any] = {}
    for env in envs:
        cores.update(env.get("cores") or {})
    beats = next((env["beats"] for env in envs if env.get("beats")), None)
    world_size = next((env["world_size"] for env in envs if env.get("world_size")), None)
    found = {"hosts": [env.get("host") for env in envs], "cores": cores, "beats": beats, "world_size": world_size}
    return {key: value for key, value in found.items() if value}


def _description(spec: RunSpec, attempt: AttemptPaths, now_s: float, choice: Choice) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "world_size": _world_size(spec),
        "nodes": spec.config.nodes,
        "hosts": [],
        "cores": {},
        "beats": None,
        "resumed_from_step": choice.info.num_steps if choice.info else 0,
        "snapshot": choice.info.folder.name if choice.info else None,
        "snapshot_messages": list(choice.messages),
        "started_s": now_s,
        "ended_s": None,
        "exit": None,
    }


def _world_size(spec: RunSpec) -> int:
    """With "gpu", ``num_devices`` is what the check on the run's own interpreter found (1 where it found nothing)."""
    return spec.config.world_size if isinstance(spec.config.world_size, int) else spec.num_devices
