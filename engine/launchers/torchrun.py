"""The torchrun command of a run: pure, so that it can be printed, written to ``command.sh`` and tested by itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from engine.core.own_script import fill_arguments
from engine.core.spec import RunSpec

__all__ = [
    "HANDLED_SIGNALS",
    "MEMORY_ENVIRONMENT",
    "NO_INTERPRETER",
    "RANK_MODULE",
    "SETUP_FAILED",
    "WORKER_MODULE",
    "Launch",
    "after_setup",
    "agent_arguments",
    "agent_command",
    "agent_environment",
    "agent_module",
    "loopback_environment",
    "rank_arguments",
    "script_environment",
    "thread_environment",
]

WORKER_MODULE = "engine.worker"
RANK_MODULE = "ddptui.start"
SETUP_FAILED = "ddptui: setup line failed"
NO_INTERPRETER = "ddptui: the interpreter"
HANDLED_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2"
"""torchrun dies of any other signal and leaves its ranks behind."""

MEMORY_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20)}
"""glibc keeps the memory of activations instead of giving it back in every step and faulting it in again, page by page:
that cost a CPU rank up to a third of its step, and not the same in every run. (Read at start; elsewhere without effect;
32 MiB is the most that glibc accepts; mallopt(3).) What the user or their environment sets wins."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One process to be started.

    Attributes:
        argv: program and arguments.
        env: what is added to the environment of the one who starts it.
        cwd: where it runs.
        log: gets its stdout and stderr.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    log: Path


def agent_arguments(
    *,
    rdzv_id: str,
    world_size: int,
    nodes: int,
    node_rank: int,
    rdzv_file: str,
    log_dir: str,
    rank: Sequence[str],
) -> list[str]:
    """Return torchrun's arguments for one node.

    Args:
        rdzv_id: names the job.
        world_size: ranks of all nodes.
        nodes: torchrun agents.
        node_rank: which of them this is.
        rdzv_file: where node 0 says how it is reached; used with several nodes only.
        log_dir: torchrun's own (it holds nothing of ours; without one torchrun leaves a folder in /tmp for every run).
        rank: what each rank becomes: arguments of ``ddptui.start``.
    """
    conf = []
    if nodes > 1:  # the path is quoted: torchrun splits this argument at commas
        conf = [f"--rdzv-conf=node_rank={node_rank},file={quote(rdzv_file)}"]
    return [
        f"--nnodes={nodes}",
        f"--nproc-per-node={world_size // nodes}",
        "--max-restarts=0",
        "--rdzv-backend=ddptui",
        f"--rdzv-id={rdzv_id}",
        "--rdzv-endpoint=127.0.0.1:0",
        *conf,
        f"--signals-to-handle={HANDLED_SIGNALS}",
        f"--log-dir={log_dir}",
        "-m",
        RANK_MODULE,
        *rank,
    ]


def rank_arguments(spec: RunSpec, *, run_dir: str, world_size: int, attempt: int, worker: str) -> list[str]:
    """Return what each rank becomes, as arguments of ``ddptui.start``: the worker, or the user's own program.

    Args:
        spec: the run.
        run_dir: its folder.
        world_size: what ``spec.config.world_size`` came to.
        attempt: which start of the run this is.
        worker: the module of ddptui's own training.
    """
    config = spec.config
    if config.script is None:
        return ["-m", worker, run_dir]
    values = {"world_size": world_size, "nodes": config.nodes, "seed": config.seed, "repeat": spec.repeat}
    arguments = fill_arguments(config.args, {**values, "attempt": attempt, "run_dir": run_dir})
    return ["--script", str(Path(spec.project_dir, config.script)), *arguments]


def script_environment(spec: RunSpec, *, attempt: int) -> dict[str, str]:
    """Variables that tell a user's own program of its run; none for ddptui's own training.

    Args:
        spec: the run.
        attempt: which start of the run this is, from 1; 0 by hand.
    """
    config = spec.config
    if config.script is None:
        return {}
    told = {
        "DDPTUI_RESTART": max(attempt - 1, 0),
        "DDPTUI_SEED": config.seed,
        "DDPTUI_REPEAT": spec.repeat,
        "DDPTUI_EPOCHS": config.epochs,
        "DDPTUI_STEPS": config.stop.steps,
    }
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if config.device == "cpu" else {}
    return {**{name: str(value) for name, value in told.items() if value is not None}, **hidden}


def agent_module(launch: str) -> str:
    """Return the module of torch that a value of ``launch`` means; both take the arguments of ``agent_arguments``.

    torch.distributed.launch, which torch deprecates, starts the same agent and gives each rank ``--local-rank=N`` as
    its first argument too (``ddptui.start`` hands it to a user's own program).
    """
    return "torch.distributed.run" if launch == "torchrun" else launch


def agent_command(python: str, setup: Sequence[str], module: str, arguments: Sequence[str]) -> list[str]:
    """Return the argv of the agent: ``python -m ddptui.start --agent <module> -- <arguments>`` after the setup lines.

    Args:
        python: the interpreter of the ranks.
        setup: shell lines that run first in the same shell; one that fails ends the run.
        module: of ``agent_module``.
        arguments: of ``agent_arguments``.
    """
    return after_setup(setup, [python, "-m", RANK_MODULE, "--agent", module, "--", *arguments])


def after_setup(setup: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return the argv that runs the setup lines in a shell and then becomes ``argv``; ``argv`` itself without any.

    The lines read nothing and speak on stderr: stdin and stdout belong to ``argv``. One that fails ends it all with a
    line on stderr that begins with ``SETUP_FAILED``.
    """
    if not setup:
        return list(argv)
    return ["bash", "-c", _setup_script(setup), "setup", *argv]


def agent_environment(
    base: Mapping[str, str], spec: RunSpec, *, num_threads: int, platform: str, own: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of the agent, and so of its ranks.

    Args:
        base: the environment of the node runner.
        spec: the run; its ``env`` wins over ``base`` and over what is set for loopback and threads.
        num_threads: intra-op threads of a rank.
        platform: as ``sys.platform``.
        own: the DDPTUI_ variables, which win over everything.
    """
    # torchrun takes its arguments from PET_ variables too; those of an outer torchrun would end up in ours
    outer = ("PET_", "TORCHELASTIC_", "DDPTUI_")
    return {
        **MEMORY_ENVIRONMENT,
        **{name: value for name, value in base.items() if not name.startswith(outer)},
        **loopback_environment(platform),
        **thread_environment(num_threads),
        "TORCH_CPP_LOG_LEVEL": base.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        **spec.config.env,
        "PYTHONSAFEPATH": "1",
        **own,
    }


def loopback_environment(platform: str) -> dict[str, str]:
    """Variables that keep gloo, TensorPipe and NCCL on the loopback interface.

    Args:
        platform: as ``sys.platform``.
    """
    interface = "lo0" if platform == "darwin" else "lo"
    return dict.fromkeys(("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), interface)


def thread_environment(num_threads: int) -> dict[str, str]:
    """Variables that set the intra-op threads of a rank; they count only if set before torch is loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(num_threads))


def _setup_script(setup: Sequence[str]) -> str:
    lines = []
    for line in setup:
        lines += [line, f"ddptui_check $? {shlex.quote(line)}"]
    return "\n".join([_SETUP_HEAD, *lines, _SETUP_TAIL])


_SETUP_HEAD = f"""\
exec 3<&0 4>&1 </dev/null >&2
trap 'echo "{SETUP_FAILED}: the shell ended with exit code $?"' EXIT
ddptui_check() {{ [ "$1" = 0 ] || {{ trap - EXIT; echo "{SETUP_FAILED} with exit code $1: $2"; exit 1; }}; }}"""

_SETUP_TAIL = f"""\
trap - EXIT
command -v "$1" >/dev/null || {{ echo "{NO_INTERPRETER} $1 does not exist"; exit 127; }}
exec "$@" <&3 >&4 3<&- 4>&-"""
