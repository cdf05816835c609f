"""The torchrun command of a run as a person gives it: printed by the dry run, and as ``command.sh`` of its folder."""

from __future__ import annotations

import shlex

from ddptui.privacy import UMASK
from engine.core.spec import RunSpec
from engine.launchers.torchrun import (
    MEMORY_ENVIRONMENT,
    WORKER_MODULE,
    agent_arguments,
    agent_module,
    loopback_environment,
    rank_arguments,
    script_environment,
    thread_environment,
)

__all__ = ["command_script", "printable_command"]


def printable_command(spec: RunSpec, *, run_dir: str, world_size: int) -> list[str]:
    """Return the torchrun command line of each node, as a person could paste it.

    Args:
        spec: the run.
        run_dir: its folder.
        world_size: what ``spec.config.world_size`` came to.
    """
    attempt = f"{run_dir}/attempts/manual"
    return [
        shlex.join(
            [*_LAUNCH_WORDS[spec.config.launch], *_manual_arguments(spec, world_size, node_rank, run_dir, attempt)]
        )
        for node_rank in range(spec.config.nodes)
    ]


_LAUNCH_WORDS = {
    "torchrun": ["torchrun"],
    "torch.distributed.launch": ["python", "-m", "torch.distributed.launch"],
}


def command_script(spec: RunSpec, *, world_size: int, python: str, num_threads: int, platform: str) -> str:
    """Return ``command.sh``: the run again, by hand, with its output on the terminal and its files in attempts/manual.

    Args:
        spec: the run.
        world_size: what ``spec.config.world_size`` came to.
        python: the interpreter of the ranks.
        num_threads: intra-op threads of a rank.
        platform: as ``sys.platform``.
    """
    environment = {
        **MEMORY_ENVIRONMENT,
        **loopback_environment(platform),
        **thread_environment(num_threads),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **spec.config.env,
        "PYTHONSAFEPATH": "1",
        "DDPTUI_RUN_ID": f"{spec.experiment}/{spec.id}",
        "DDPTUI_ATTEMPT": "0",
        "DDPTUI_THREADS": str(num_threads),
        **script_environment(spec, attempt=0),
    }
    lines = [_SCRIPT_HEAD.format(name=f"{spec.experiment}/{spec.id}", umask=UMASK)]
    if spec.project_dir:
        lines.append(f"cd {shlex.quote(spec.project_dir)} || exit 1")
    lines += spec.config.setup
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines.append(
        _SCRIPT_FOLDERS.format(
            launch=spec.config.launch, python=shlex.quote(python), module=agent_module(spec.config.launch)
        )
    )
    lines += [f"{_script_line(spec, world_size, node_rank)} & pids+=($!)" for node_rank in range(spec.config.nodes)]
    lines.append(_SCRIPT_TAIL)
    return "\n".join(lines)


_SCRIPT_HEAD = """\
#!/usr/bin/env bash
# {name}: the same training by hand. Output goes to the terminal, files to attempts/manual, which each start empties.
# Not pinned to cores: ddptui chooses free ones when it starts a run.
umask {umask:03o}
run=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"""

_RUN = "RUN_FOLDER"

_SCRIPT_FOLDERS = """\
unset DDPTUI_RANK_FILES DDPTUI_CORES DDPTUI_AGENT_PID DDPTUI_BEATS
export DDPTUI_RUN_DIR="$run" DDPTUI_ATTEMPT_DIR="$run/attempts/manual"
rm -rf "$DDPTUI_ATTEMPT_DIR" && mkdir -p "$DDPTUI_ATTEMPT_DIR" || exit 1
{launch}() {{ exec {python} -m {module} "$@"; }}
rdzv=${{run//%/%25}} rdzv=${{rdzv//,/%2C}}  # torchrun splits its configuration at commas
pids=()
trap 'kill "${{pids[@]}}" 2>/dev/null' INT TERM HUP"""

_SCRIPT_TAIL = """\
status=0
for pid in "${pids[@]}"; do
  wait "$pid" || status=$?
done
while [ -n "$(jobs -pr)" ]; do sleep 0.2; done  # a signal ends wait before the ranks are gone
exit "$status"
"""


def _script_line(spec: RunSpec, world_size: int, node_rank: int) -> str:
    """One line of the agent whose paths are the shell's variables: the folder may have moved since."""
    arguments = _manual_arguments(spec, world_size, node_rank, _RUN, f"{_RUN}/attempts/manual")
    return " ".join([spec.config.launch, *(_shell_word(part) for part in arguments)])


def _shell_word(part: str) -> str:
    if _RUN not in part:
        return shlex.quote(part)
    variable = "$rdzv" if part.startswith("--rdzv-conf") else "$run"
    return f'"{part.replace(_RUN, variable)}"'


def _manual_arguments(spec: RunSpec, world_size: int, node_rank: int, run_dir: str, attempt_dir: str) -> list[str]:
    return agent_arguments(
        rdzv_id=spec.id,
        world_size=world_size,
        nodes=spec.config.nodes,
        node_rank=node_rank,
        rdzv_file=f"{attempt_dir}/rdzv.json",
        log_dir=f"{attempt_dir}/torchrun",
        rank=rank_arguments(spec, run_dir=run_dir, world_size=world_size, attempt=0, worker=WORKER_MODULE),
    )
