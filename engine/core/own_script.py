"""A user's own program as a run: which keys go with it, and its arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from engine.core.wording import did_you_mean, list_names

__all__ = ["PLACEHOLDERS", "SCRIPT", "SCRIPT_KEYS", "TRAINING_KEYS", "fill_arguments", "script_stem", "unknown_places"]

SCRIPT = "script"
"""Stands where a run of ddptui's own training has its strategy."""

PLACEHOLDERS = ("world_size", "nodes", "seed", "repeat", "attempt", "run_dir")
"""What ``args`` may hold in braces: ``--seed {seed}``."""

SCRIPT_KEYS = frozenset(
    {"script", "args", "tensorboard", "world_size", "nodes", "launch", "launcher", "device", "cores_per_rank", "epochs"}
    | {"stop", "seed", "seed_policy", "max_restarts", "timeout", "python", "env", "setup"}
    | {"hang_after", "on_hang", "on_nonfinite"}
)
"""Keys of a run that mean something to a script."""

TRAINING_KEYS = frozenset(
    {"augment", "backend", "channels_last", "compile", "data_root", "dataset", "dataset_args", "dataset_size"}
    | {"ddp", "dp", "evaluate_every", "evaluation", "fsdp", "global_batch_size", "gradient_accumulation_steps"}
    | {"local_batch_size", "long_tail", "loss", "loss_args", "lr_scaling", "measure_latency", "metrics"}
    | {"model", "model_args", "normalise", "on_disk_full", "optimizer", "partition"}
    | {"partition_args", "pipeline", "precision", "resize", "rpc_pipeline", "scheduler", "slow", "snapshot"}
    | {"strategy", "synthetic", "validation", "weights"}
)
"""Keys of ddptui's own training: a script decides these things itself."""

_PLACE = re.compile(r"\{([a-z_]+)\}")


def unknown_places(arguments: Iterable[str | int | float]) -> str:
    """Return one line about names in braces that mean nothing, or ""."""
    names = {name: None for argument in arguments for name in _PLACE.findall(str(argument))}
    wrong = [name for name in names if name not in PLACEHOLDERS]
    if not wrong:
        return ""
    given = list_names(f"{{{name}}}" for name in wrong)
    allowed = list_names(f"{{{name}}}" for name in PLACEHOLDERS)
    return f"args: {given} cannot be filled in; allowed: {allowed}{did_you_mean(wrong[0], PLACEHOLDERS)}"


def fill_arguments(arguments: Iterable[str | int | float], values: Mapping[str, object]) -> list[str]:
    """Return the arguments as text, ``{seed}`` and the like replaced.

    Args:
        arguments: of the key ``args``.
        values: of every placeholder.
    """
    return [_PLACE.sub(lambda match: str(values[match[1]]), str(argument)) for argument in arguments]


def script_stem(script: str) -> str:
    """``scripts/train_ddp.py`` as ``train_ddp``: how the ids of its runs begin."""
    stem = re.sub(r"[^A-Za-z0-9._+=-]+", "_", _file_stem(script)).lstrip("._+=-")
    return stem[:60] or SCRIPT


def _file_stem(script: str) -> str:
    name = script.rpartition("/")[2]
    return name.rpartition(".")[0] or name
