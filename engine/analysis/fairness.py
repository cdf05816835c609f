"""What makes a comparison with a baseline unfair: a line per difference that the strategy alone does not explain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.fields import mapping, sequence, text, whole

__all__ = ["compare_fairly", "own_confounds"]

Run = tuple[Mapping[str, Any], Mapping[str, Any]]
"""``run.json`` and ``summary.json``."""

_OF_THE_STRATEGY = {
    "strategy", "world_size", "nodes", "dp", "ddp", "rpc_pipeline", "fsdp", "pipeline", "seed", "seed_policy",
    "backend", "timeout", "env", "setup", "python", "data_root", "global_batch_size", "local_batch_size", "lr_scaling",
    "device", "measure_latency",
}  # fmt: skip
"""Keys that differ because the strategy or its size does, or whose effect is compared (batch, rate, device) below."""

_RESOLVED = {
    "global_batch_size": "global batch",
    "lr": "learning rate",
    "device": "device",
    "torch": "torch",
    "train_samples": "training samples",
}


def compare_fairly(runs: Sequence[Run], baseline: Sequence[Run]) -> list[str]:
    """Return one line per difference between a point's runs and its baseline's that may spoil their ratio."""
    if not runs or not baseline:
        return []
    (spec, summary), (base_spec, base_summary) = runs[0], baseline[0]
    lines: list[str] = []
    for key, word in _RESOLVED.items():
        ours, theirs = _plain(summary.get(key)), _plain(base_summary.get(key))
        if ours is not None and theirs is not None and ours != theirs:
            lines.append(f"{word} {_show(ours)}, baseline {_show(theirs)}")
    lines += _thread_lines(summary, base_summary)
    config, base_config = mapping(spec, "config"), mapping(base_spec, "config")
    for key in sorted(set(config) | set(base_config)):
        if key not in _OF_THE_STRATEGY and config.get(key) != base_config.get(key):
            lines += _config_lines(key, config.get(key), base_config.get(key))
    if _cpu_models(runs) and _cpu_models(baseline) and _cpu_models(runs) != _cpu_models(baseline):
        lines.append(f"CPU {', '.join(_cpu_models(runs))}, baseline {', '.join(_cpu_models(baseline))}")
    theirs = {_form(line) for line in _confounds(baseline)}
    lines += [line for line in own_confounds(runs) if _form(line) not in theirs]
    return list(dict.fromkeys(lines))


def own_confounds(runs: Sequence[Run]) -> list[str]:
    """Return what the runs themselves say may have spoiled their times.

    Lines of several repeats that differ in their numbers only become one, with the range of each number.
    """
    alike: dict[str, list[str]] = {}
    for line in _confounds(runs):
        alike.setdefault(_form(line), []).append(line)
    lines = []
    for form, group in alike.items():
        found = sum(any(_form(line) == form for line in _confounds([run])) for run in runs)
        lines.append(_merge(group) + (f" ({found} of {len(runs)} runs)" if len(runs) > 1 else ""))
    return lines


_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")


def _form(line: str) -> str:
    """The line without its numbers, and without what other runs were called."""
    return _NUMBER.sub("#", line.split(": ")[0] if line.startswith("other runs") else line)


def _merge(lines: Sequence[str]) -> str:
    """One line for all: each number that differs as "low to high"."""
    columns = [_NUMBER.findall(line) for line in lines]
    if len(lines) == 1 or len({len(numbers) for numbers in columns}) > 1:
        return lines[0]
    ranges = [sorted(set(values), key=float) for values in zip(*columns, strict=True)]
    words = iter(r[0] if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in ranges)
    return _NUMBER.sub(lambda _: next(words), lines[0])


def _config_lines(key: str, ours: Any, theirs: Any) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = [name for name in sorted(set(ours) | set(theirs), key=str) if ours.get(name) != theirs.get(name)]
        return [f"{key}.{name} {_show(ours.get(name))}, baseline {_show(theirs.get(name))}" for name in names]
    return [f"{key} {_show(ours)}, baseline {_show(theirs)}"]


def _thread_lines(summary: Mapping[str, Any], base_summary: Mapping[str, Any]) -> list[str]:
    ours, theirs = _threads(summary), _threads(base_summary)
    if ours and theirs and ours != theirs:
        return [f"threads per rank {_show(ours)}, baseline {_show(theirs)}"]
    return []


def _threads(summary: Mapping[str, Any]) -> list[int]:
    ranks = [rank for rank in sequence(summary, "ranks") if isinstance(rank, dict) and rank.get("role") != "driver"]
    return sorted({value for rank in ranks if (value := whole(rank, "num_threads")) is not None})


def _cpu_models(runs: Sequence[Run]) -> list[str]:
    envs = [env for _, summary in runs for env in sequence(summary, "env") if isinstance(env, dict)]
    return sorted({model for env in envs if (model := text(env, "cpu_model")) is not None})


def _confounds(runs: Sequence[Run]) -> list[str]:
    lines = [line for _, summary in runs for line in sequence(summary, "confounds") if isinstance(line, str)]
    return list(dict.fromkeys(lines))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) and value != "" else None


def _show(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
        return " and ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)[:80]
