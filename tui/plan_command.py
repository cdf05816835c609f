"""What ``validate``, ``schema`` and ``run --dry-run`` print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.catalog import STRATEGY_TRAITS
from engine.core.coverage import coverage_words
from engine.core.plan import ExperimentPlan, Plan
from engine.core.spec import RunSpec
from engine.core.topology import Topology, make_topology
from engine.core.wording import count
from engine.launchers.by_hand import printable_command
from engine.store import ResultsPaths
from tui.check import CheckResult, Estimate, estimate_run
from tui.output import format_bytes, format_duration, format_number, print_json, print_table, say, write_line
from tui.prepare import read_plan

__all__ = [
    "commands_of",
    "describe_cost",
    "describe_estimate",
    "estimate_plan",
    "num_gpus_of",
    "print_schema",
    "say_notes",
    "show_plan",
    "topology_of",
    "validate_file",
]

PLAN_HEADERS = (
    "run", "other axes", "world\n_size", "num\n_devices", "global\nbatch", "local\nbatch", "lr", "steps", "time", "disk"
)  # fmt: skip
IN_RUN_ID = ("strategy", "world_size")

HOW_ESTIMATED = (
    "time: start-up as twice the CPU time of the check (torchrun loads torch, then the ranks do), planned steps x one "
    "step measured alone, evaluation forward only, nothing else on the machine; disk: event lines over that time and "
    "the weights"
)


def validate_file(file: str, sets: Sequence[str], *, as_json: bool) -> int:
    """Check the file and say how much it would run."""
    plan = read_plan(file, sets=sets)
    if as_json:
        experiments = [
            {"experiment": e.name, "points": len(e.points), "runs": len(e.runs), "notes": e.notes}
            for e in plan.experiments
        ]
        print_json({"file": file, "is_valid": True, "experiments": experiments})
        return 0
    for experiment in plan.experiments:
        write_line(f"{file}: {experiment.name}: {_size(experiment)}")
    say_notes(plan.experiments)
    return 0


def print_schema() -> int:
    """Print the JSON Schema of the experiment file."""
    from engine.core.schema import make_schema

    print_json(make_schema())
    return 0


def show_plan(plan: Plan, check: CheckResult | None, results: ResultsPaths, *, as_json: bool) -> int:
    """Print every run, what it would cost, and its command line.

    Args:
        plan: of the file.
        check: what the interpreters said, or None where they could not be asked.
        results: where the runs would stand.
        as_json: machine readable.
    """
    facts = check.points if check else {}
    num_gpus = num_gpus_of(check)
    estimates = estimate_plan(plan, facts, num_gpus)
    if as_json:
        print_json(_plan_json(plan, results, estimates, facts, num_gpus))
        return 0
    for number, experiment in enumerate(plan.experiments):
        if number:
            write_line()
        _print_experiment(experiment, results, estimates, facts, num_gpus)
    say_notes(plan.experiments)
    write_line()
    write_line(describe_estimate(list(estimates.values())))
    say(f"({HOW_ESTIMATED})")
    return 0


def estimate_plan(plan: Plan, facts: Mapping[str, Mapping[str, Any]], num_gpus: int) -> dict[str, Estimate]:
    """The estimate of every run, by ``experiment/run``."""
    return {
        f"{experiment.name}/{spec.id}": estimate_run(
            spec, facts.get(spec.point, {}), topology_of(spec, num_gpus).world_size
        )
        for experiment in plan.experiments
        for spec in experiment.runs
    }


def describe_estimate(estimates: Sequence[Estimate]) -> str:
    """``12 runs, expected: about 2:10, 14.0 MiB on disk``."""
    return f"{count(len(estimates), 'run')}, expected: {describe_cost(estimates)}"


def describe_cost(estimates: Sequence[Estimate]) -> str:
    """``about 2:10, 14.0 MiB on disk``, of the runs for which both are known, and how many are not among them."""
    known = [(e.time_s, e.disk_bytes) for e in estimates if e.time_s is not None and e.disk_bytes is not None]
    num_unknown = len(estimates) - len(known)
    if not known:
        return "n/a"
    time_s, disk_bytes = (sum(column) for column in zip(*known, strict=True))
    cost = f"about {format_duration(time_s)}, {format_bytes(int(disk_bytes))} on disk"
    return f"{cost}, and {count(num_unknown, 'run')} of which it is not known" if num_unknown else cost


def num_gpus_of(check: CheckResult | None) -> int:
    """The GPUs that the interpreters see; 0 where unknown."""
    return max((int(facts.get("num_gpus") or 0) for facts in (check.interpreters if check else {}).values()), default=0)


def _size(experiment: ExperimentPlan) -> str:
    num_points = len({spec.point for spec in experiment.runs})
    return f"{count(num_points, 'point')}, {count(len(experiment.runs), 'run')}"


def topology_of(spec: RunSpec, num_gpus: int) -> Topology:
    """The sizes of a run, "gpu" counted as so many, and as 1 where that is 0."""
    return make_topology(spec.config, STRATEGY_TRAITS[spec.config.strategy], num_gpus=num_gpus)


def _print_experiment(
    experiment: ExperimentPlan,
    results: ResultsPaths,
    estimates: Mapping[str, Estimate],
    facts: Mapping[str, Mapping[str, Any]],
    num_gpus: int,
) -> None:
    write_line(f"{experiment.name}: {_size(experiment)}")
    rows = []
    for spec in experiment.runs:
        sizes, estimate = topology_of(spec, num_gpus), estimates[f"{experiment.name}/{spec.id}"]
        axes = " ".join(f"{key}={value}" for key, value in spec.axes.items() if key not in IN_RUN_ID)
        batches = (sizes.global_batch_size, sizes.local_batch_size) if sizes.knows_batch else ("n/a", "n/a")
        numbers = (sizes.world_size, sizes.num_devices, *batches)
        steps = format_number(estimate.num_steps or spec.config.stop.steps)
        cost = (steps, format_duration(estimate.time_s), format_bytes(estimate.disk_bytes))
        rows.append((spec.id, axes, *map(str, numbers), f"{sizes.lr:g}" if sizes.lr else "n/a", *cost))
    if any(row[1] for row in rows):
        print_table(PLAN_HEADERS, rows, right=range(2, 10))
    else:
        columns = (PLAN_HEADERS, *rows)
        headers, *rows = [(row[0], *row[2:]) for row in columns]
        print_table(headers, rows, right=range(1, 9))
    for spec in experiment.runs:
        write_line()
        write_line(f"# {experiment.name}/{spec.id}")
        write_line(f"# partition {_describe_partition(spec)}: {coverage_words(_coverage(facts, spec))}")
        if spec.config.slow is not None:
            write_line(f"# {spec.config.slow.words}")
        for line in commands_of(spec, results, num_gpus):
            write_line(line)


def _describe_partition(spec: RunSpec) -> str:
    config = spec.config
    alpha = f" (alpha {config.partition_args.alpha:g})" if config.partition == "dirichlet" else ""
    return f"{config.partition}{alpha}{'' if config.partition_args.reshuffle else ', not reshuffled'}"


def _coverage(facts: Mapping[str, Mapping[str, Any]], spec: RunSpec) -> list[dict[str, Any]]:
    """What the check counted of the run's point; the seed of another repeat draws others."""
    return list(facts.get(spec.point, {}).get("coverage") or [])


def commands_of(spec: RunSpec, results: ResultsPaths, num_gpus: int) -> list[str]:
    """The torchrun command line of each node, as a person could paste it."""
    run_dir = str(results.run(spec.experiment, spec.id).root)
    return printable_command(spec, run_dir=run_dir, world_size=topology_of(spec, num_gpus).world_size)


def _plan_json(
    plan: Plan,
    results: ResultsPaths,
    estimates: Mapping[str, Estimate],
    facts: Mapping[str, Mapping[str, Any]],
    num_gpus: int,
) -> dict[str, Any]:
    def run(spec: RunSpec) -> dict[str, Any]:
        sizes, estimate = topology_of(spec, num_gpus), estimates[f"{spec.experiment}/{spec.id}"]
        return {
            "id": spec.id,
            "point": spec.point,
            "repeat": spec.repeat,
            "axes": spec.axes,
            "baseline": spec.baseline,
            "baseline_reason": spec.baseline_reason,
            "world_size": sizes.world_size,
            "num_devices": sizes.num_devices,
            "global_batch_size": sizes.global_batch_size or None,
            "local_batch_size": sizes.local_batch_size or None,
            "lr": sizes.lr or None,
            "num_steps": estimate.num_steps,
            "expected_s": estimate.time_s,
            "expected_bytes": estimate.disk_bytes,
            "coverage": _coverage(facts, spec),
            "commands": commands_of(spec, results, num_gpus),
            "config": spec.config.model_dump(mode="json"),
        }

    experiments = [{"name": e.name, "notes": e.notes, "runs": [run(spec) for spec in e.runs]} for e in plan.experiments]
    return {"experiments": experiments, "how_estimated": HOW_ESTIMATED}


def say_notes(experiments: Sequence[ExperimentPlan], tell: Callable[[str], None] = say) -> None:
    """Say what the plan left out, and why."""
    for experiment in experiments:
        for note in experiment.notes:
            tell(f"{experiment.name}: {note}")
