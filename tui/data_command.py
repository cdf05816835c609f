"""What ``ddptui data`` prints: a data set's samples, classes and statistics, and what partitions show each rank."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.catalog import DATASETS, STRATEGY_TRAITS
from engine.core.checks import is_own_name
from engine.core.coverage import COVERAGE_NOTE, total_coverage
from engine.core.errors import InputError
from engine.core.partition_names import PARTITIONS
from engine.core.spec import RunConfig, RunSpec
from engine.core.topology import make_topology
from engine.core.wording import did_you_mean, list_names
from tui.check import ask_worker
from tui.output import format_number, format_ratio, print_json, print_table, say, write_line, write_paragraph
from tui.prepare import plan_text, read_plan
from tui.view.pictures import grid_lines

__all__ = ["DataOptions", "show_data"]

BAR_WIDTH = 40
MAX_CLASSES_SHOWN = 40

AUDIT_HEADERS = (
    "partition", "world\n_size", "per rank", "seen in\nan epoch", "seen in\nall", "overlap", "class\nskew", "order"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What was asked for; None and empty are not given."""

    name: str
    experiment: str | None = None
    sets: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    world_sizes: tuple[int, ...] = ()
    num_epochs: int = 2
    num_pictures: int = 20
    is_ascii: bool = False
    as_json: bool = False


def show_data(options: DataOptions) -> int:
    """Print what a data set holds.

    Raises:
        InputError: there is no such data set, its files are missing, or a partition is unknown.
        DdptuiError: the worker broke.
    """
    _check_names(options)
    specs = _specs_of_file(options) if options.experiment else [_plain_spec(options)]
    answer = ask_worker(
        specs[0].config,
        "--data",
        {
            "run": specs[0].model_dump(mode="json"),
            "num_pictures": options.num_pictures,
            "num_epochs": options.num_epochs,
            "partitions": _wanted(options, specs),
        },
        answered_by="problem",
    )
    if answer["problem"]:
        said = str(answer["problem"])
        raise InputError(said if said.startswith("dataset: ") else f"dataset {options.name}: {said}")
    if options.as_json:
        print_json(answer)
        return 0
    _print_data(answer, options)
    return 0


def _check_names(options: DataOptions) -> None:
    if options.name not in DATASETS and not is_own_name(options.name):
        known = f"known: {list_names(DATASETS)}, or your own package.module:attribute"
        raise InputError(f"unknown data set {options.name!r}; {known}{did_you_mean(options.name, DATASETS)}")
    for name in options.partitions:
        if name not in PARTITIONS and name != "all":
            hint = did_you_mean(name, PARTITIONS)
            raise InputError(f"--partition {name!r}: no such partition; known: {list_names(PARTITIONS)}, all{hint}")


def _specs_of_file(options: DataOptions) -> list[RunSpec]:
    """The runs of the file that use the data set."""
    assert options.experiment is not None
    plan = read_plan(options.experiment, sets=options.sets)
    specs = [spec for spec in plan.runs if spec.config.dataset == options.name]
    if not specs:
        used = list_names(dict.fromkeys(spec.config.dataset for spec in plan.runs))
        raise InputError(f"{options.experiment}: no run uses data set {options.name}; used: {used}")
    return specs


def _plain_spec(options: DataOptions) -> RunSpec:
    """A run that only loads the data, with the keys of ``--set``; the plan says what is wrong in them."""
    keys = {"model": "mlp", "dataset": options.name, "epochs": 1, "global_batch_size": 64}
    lines = ["[defaults]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    document = "\n".join([*lines, 'optimizer = { name = "sgd", lr = 0.1 }', "[[experiment]]", 'name = "data"'])
    return plan_text(document, str(Path.cwd() / "ddptui-data.toml"), sets=options.sets).runs[0]


def _wanted(options: DataOptions, specs: Sequence[RunSpec]) -> list[dict[str, Any]]:
    """The partitions to look at: those that were named, else those of the file's runs, else the usual one."""
    names = list(PARTITIONS) if "all" in options.partitions else list(options.partitions)
    found = []
    for spec in specs:
        config = spec.config
        sizes = options.world_sizes or (_num_shares(config) if options.experiment else 2,)
        for name in names or [config.partition]:
            arguments = config.partition_args.model_dump()
            found += [{"partition": name, **arguments, "world_size": size} for size in sizes]
    return list({json.dumps(item): item for item in found}.values())


def _num_shares(config: RunConfig) -> int:
    return make_topology(config, STRATEGY_TRAITS[config.strategy]).num_data_parallel


def _print_data(answer: Mapping[str, Any], options: DataOptions) -> None:
    is_plain = options.is_ascii or not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))
    shape = " x ".join(str(size) for size in answer["input_shape"])
    write_line(f"{options.name}: {answer['num_classes']} classes, samples of {shape}, {answer['dtype']}")
    for text in (answer["note"], *answer["messages"]):
        if text:
            write_line(text)
    write_line()
    print_table(
        ("split", "samples", "mean", "std"),
        [
            (name, format_number(split["samples"], 12), _numbers(split["mean"]), _numbers(split["std"]))
            for name, split in answer["splits"].items()
        ],
        right=(1,),
    )
    write_line()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    pictures = [(str(picture["label"]), picture["values"]) for picture in answer["pictures"]]
    for line in grid_lines(pictures, width=width, is_ascii=is_plain):
        write_line(line)
    for line in _bar_lines(answer["splits"]["train"]["class_counts"], is_ascii=is_plain):
        write_line(line)
    if answer["partitions"]:
        _print_audit(answer["partitions"], options)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values) or "n/a"


def _bar_lines(counts: Sequence[int] | None, *, is_ascii: bool) -> Iterator[str]:
    if not counts:
        yield "class counts: n/a, there are too many classes"
        return
    most = max(counts) or 1
    mark = "#" if is_ascii else "\N{FULL BLOCK}"
    yield "training samples of each class"
    for label, number in enumerate(counts[:MAX_CLASSES_SHOWN]):
        yield f"{label:>5}  {number:>9,}  {mark * round(BAR_WIDTH * number / most)}".rstrip()
    if len(counts) > MAX_CLASSES_SHOWN:
        yield f"  ...  and {len(counts) - MAX_CLASSES_SHOWN} more classes"


def _print_audit(partitions: Sequence[Mapping[str, Any]], options: DataOptions) -> None:
    write_line()
    print_table(AUDIT_HEADERS, [_audit_row(item) for item in partitions], right=range(1, 7))
    write_line()
    epochs = "1 epoch" if options.num_epochs == 1 else f"{options.num_epochs} epochs"
    write_paragraph(f"Over {epochs}, the worst of each; at a share of {partitions[0]['share_size']} samples a step.")
    write_paragraph(COVERAGE_NOTE)
    if any(not item["epochs"] for item in partitions):
        say("n/a: too many samples to count here, or fewer than one step takes")


def _audit_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    total = total_coverage(item["epochs"])
    order = {True: "new each epoch", False: "the same each epoch", None: "n/a"}[total["order_changed"]]
    alpha = f" (alpha {item['alpha']:g})" if item["partition"] == "dirichlet" else ""
    sizes = total["per_share"]
    ratios = ("seen_ratio", "seen_so_far_ratio", "overlap_ratio", "class_skew_ratio")
    return (
        f"{item['partition']}{alpha}",
        str(item["world_size"]),
        format_number(max(sizes), 12) if sizes else "n/a",
        *(format_ratio(total[name]) for name in ratios),
        order,
    )
