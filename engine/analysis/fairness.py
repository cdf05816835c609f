"""What makes a comparison with a baseline unfair: a line per difference that the strategy alone does not explain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from statistics import fmean
from typing import Any

from engine.core.confounds import OTHER_LOAD
from engine.core.fields import mapping, sequence, text, whole

__all__ = ["compare_fairly", "merge_alike", "own_confounds"]

Run = tuple[Mapping[str, Any], Mapping[str, Any]]
"""``run.json`` and ``summary.json``."""

_OF_THE_STRATEGY = {
    "strategy", "world_size", "nodes", "dp", "ddp", "rpc_pipeline", "fsdp", "pipeline", "seed", "seed_policy",
    "backend", "timeout", "env", "setup", "python", "data_root", "global_batch_size", "local_batch_size", "lr_scaling",
    "device", "measure_latency", "slow",
}  # fmt: skip
"""Keys that differ because the strategy or its size does, whose effect is compared (batch, rate, device) below, or that
the run itself names (slow)."""

_UNLIKE_PERCENT = 10.0

_RESOLVED = {
    "global_batch_size": "global batch",
    "lr": "learning rate",
    "device": "device",
    "torch": "torch",
    "train_samples": "training samples",
    "batch_norm_samples": "samples over which batch norm takes its statistics",
}


def compare_fairly(runs: Sequence[Run], baseline: Sequence[Run]) -> list[str]:
    """Return one line per difference between a point's runs and its baseline's that may spoil their ratio."""
    if not runs or not baseline:
        return []
    (spec, summary), (base_spec, base_summary) = runs[0], baseline[0]
    config, base_config = mapping(spec, "config"), mapping(base_spec, "config")
    lines: list[str] = []
    for key, word in _RESOLVED.items():
        ours, theirs = _plain(summary.get(key)), _plain(base_summary.get(key))
        if ours is not None and theirs is not None and ours != theirs:
            lines.append(f"{word} {_show(ours)}, baseline {_show(theirs)}{_of_the_rate(key, config, runs, baseline)}")
    lines += _thread_lines(summary, base_summary)
    for key in sorted(set(config) | set(base_config)):
        is_said = key in _OF_THE_STRATEGY or key in mapping(spec, "axes")  # what is compared on purpose
        if not is_said and config.get(key) != base_config.get(key):
            lines += _config_lines(key, config.get(key), base_config.get(key))
    if _cpu_models(runs) and _cpu_models(baseline) and _cpu_models(runs) != _cpu_models(baseline):
        lines.append(f"CPU {', '.join(_cpu_models(runs))}, baseline {', '.join(_cpu_models(baseline))}")
    known = {_form(line) for line in _confounds(baseline)}
    lines += _own_lines(runs, known)
    lines += _other_load(runs, baseline)
    return list(dict.fromkeys(lines))


def _other_load(runs: Sequence[Run], baseline: Sequence[Run]) -> list[str]:
    """Both sides were disturbed, but not alike: the ratio is off by about as much."""
    ours, theirs = _percent_of_others(runs), _percent_of_others(baseline)
    if ours is None or theirs is None or abs(ours - theirs) <= _UNLIKE_PERCENT:
        return []
    return [f"{OTHER_LOAD}{ours:.0f} % of the CPU, in the baseline's runs {theirs:.0f} %"]


def _percent_of_others(runs: Sequence[Run]) -> float | None:
    lines = [line for line in _confounds(runs) if line.startswith(OTHER_LOAD)]
    return fmean(float(_NUMBER.findall(line)[0]) for line in lines) if lines else None


def _of_the_rate(key: str, config: Mapping[str, Any], runs: Sequence[Run], baseline: Sequence[Run]) -> str:
    """What became of the learning rate where the batch is another than the baseline's."""
    scaling = text(config, "lr_scaling") or "none"
    if key == "lr" and scaling != "none":
        return f" (lr_scaling = {scaling})"
    rates = [_plain(group[0][1].get("lr")) for group in (runs, baseline)]
    same = rates[0] is not None and rates[0] == rates[1]
    return f", at the same learning rate {_show(rates[0])}" if key == "global_batch_size" and same else ""


def own_confounds(runs: Sequence[Run]) -> list[str]:
    """Return what the runs themselves say may have spoiled their times.

    Lines of several repeats that differ in their numbers only become one, with the range of each number.
    """
    return _own_lines(runs, set())


def _own_lines(runs: Sequence[Run], known: Set[str]) -> list[str]:
    found = [(line, str(index)) for index, run in enumerate(runs) for line in _confounds([run])]
    merged = merge_alike([(line, index) for line, index in found if _form(line) not in known])
    return [f"{line} ({len(whose)} of {len(runs)} runs)" if len(runs) > 1 else line for line, whose in merged]


def merge_alike(lines: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return each line, merged with those that differ from it in their numbers only, and whose it is.

    Args:
        lines: each with whose it is, in order.
    """
    alike: dict[str, list[str]] = {}
    whose: dict[str, list[str]] = {}
    for line, owner in lines:
        alike.setdefault(_form(line), []).append(line)
        whose.setdefault(_form(line), []).append(owner)
    return [(_merge(list(dict.fromkeys(group))), list(dict.fromkeys(whose[form]))) for form, group in alike.items()]


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


_SCHEDULER_USES: dict[str, set[str]] = {
    "constant": set(),
    "step": {"step_size", "gamma"},
    "multistep": {"milestones", "gamma"},
    "exponential": {"gamma"},
    "cosine": {"t_max", "eta_min"},
}
"""Settings of a schedule beside its warm-up; the others are there with their defaults, and mean nothing."""

_OF_ONE_KIND = set().union(*_SCHEDULER_USES.values())


def _config_lines(key: str, ours: Any, theirs: Any) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if key == "scheduler":
            ours, theirs = _used_schedule(ours), _used_schedule(theirs)
            if ours.get("name") != theirs.get("name"):  # the settings of the one mean nothing to the other
                ours, theirs = ({k: v for k, v in side.items() if k not in _OF_ONE_KIND} for side in (ours, theirs))
        names = [name for name in sorted(set(ours) | set(theirs), key=str) if ours.get(name) != theirs.get(name)]
        return [f"{key}.{name} {_show(ours.get(name))}, baseline {_show(theirs.get(name))}" for name in names]
    return [f"{key} {_show(ours)}, baseline {_show(theirs)}"]


def _used_schedule(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """What the schedule of that name takes; of an unknown name, everything."""
    name = text(scheduler, "name") or "constant"
    used = _SCHEDULER_USES.get(name, set(scheduler)) | {"name", "warmup_epochs"}
    if whole(scheduler, "warmup_epochs"):
        used |= {"warmup_factor"}
    return {key: value for key, value in scheduler.items() if key in used}


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
