"""Where a model is cut into pipeline stages: at borders between the children of one ``nn.Sequential``."""

from __future__ import annotations

import statistics
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = [
    "STAGES_KEYS",
    "LayerCost",
    "Split",
    "cut_balanced",
    "cut_by_name",
    "make_split",
    "measure_layers",
    "take_stage",
]

NEARLY = 1.05
"""Splits whose slowest stage is this near to the best are told apart by what they must send."""
STAGES_KEYS = {"rpc_pipeline": "rpc_pipeline.num_stages", "pipeline": "world_size"}
"""Strategy, which is also the name of its table -> the key that holds its number of stages."""
MAX_CUTS = 200_000
"""Sets of borders looked at one by one; beyond that the greedy cut is as good as the measurement."""


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What one child of the model costs per micro-batch.

    Attributes:
        name: of the child.
        compute_s: seconds of its forward and backward pass (median).
        output_bytes: size of its output.
        num_parameters: that it holds.
    """

    name: str
    compute_s: float
    output_bytes: int
    num_parameters: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """A model cut into stages.

    Attributes:
        stages: names of the children of each stage.
        shares: each stage's part of the measured compute; they sum to 1.
        num_parameters: of each stage.
    """

    stages: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...]
    num_parameters: tuple[int, ...]

    def bubble_ratio(self, num_micro_batches: int) -> float:
        """Idle share of a step of equal stages, ``(S - 1) / (M + S - 1)`` (GPipe, arXiv:1811.06965)."""
        return (len(self.stages) - 1) / (num_micro_batches + len(self.stages) - 1)

    def max_speedup(self, num_micro_batches: int) -> float:
        """The most the pipeline can be faster than one device: ``M / (1 + (M - 1) * largest share)``.

        The first micro-batch passes all stages, each further one follows at the pace of the slowest.
        """
        return num_micro_batches / (1 + (num_micro_batches - 1) * max(self.shares))

    def describe(self, num_micro_batches: int) -> str:
        """One line for people, said before training."""
        layers = " | ".join(name[0] if len(name) == 1 else f"{name[0]}..{name[-1]}" for name in self.stages)
        return (
            f"stages {layers}, parameters {'/'.join(f'{number:,}' for number in self.num_parameters)}, "
            f"balance {'/'.join(f'{share:.2f}' for share in self.shares)}, "
            f"bubble of the schedule {self.bubble_ratio(num_micro_batches):.2f}, "
            f"at most {self.max_speedup(num_micro_batches):.2f}x one device"
        )


def layer_names(model: nn.Module, table: str = "rpc_pipeline") -> list[str]:
    """Return the names of the children that a model can be cut between.

    Args:
        model: to be cut.
        table: the strategy and its table in the experiment file, for messages.

    Raises:
        ValueError: the model is no ``nn.Sequential``: the order in which its children run is not known.
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"strategy {table} cuts an nn.Sequential between its children; {type(model).__name__} is none")
    return [name for name, _ in model.named_children()]


def cut_by_name(names: Sequence[str], begins: Sequence[str], num_stages: int, table: str = "rpc_pipeline") -> list[int]:
    """Turn the names of the layers that begin stage 1, 2, ... into positions in ``names``.

    Raises:
        ValueError: an unknown name, a wrong number of names, or names out of order.
    """
    allowed = ", ".join(names)
    for begin in begins:
        if begin not in names:
            raise ValueError(f"{table}.split: no layer {begin!r}; the layers are {allowed}")
    if len(begins) != num_stages - 1:
        raise ValueError(
            f"{table}.split names {len(begins)} layers, but {num_stages} stages need {num_stages - 1}: "
            "the layers that begin stage 1, 2, ..."
        )
    cuts = [list(names).index(begin) for begin in begins]
    if cuts != sorted(set(cuts)) or cuts[0] == 0:
        raise ValueError(f"{table}.split must name layers after the first, in the order of the model: {allowed}")
    return cuts


def cut_balanced(costs: Sequence[LayerCost], num_stages: int, table: str = "rpc_pipeline") -> list[int]:
    """Choose the cuts whose slowest stage is fastest; of nearly equal ones, those that send least.

    Raises:
        ValueError: fewer layers than stages.
    """
    if len(costs) < num_stages:
        raise ValueError(f"{STAGES_KEYS[table]} {num_stages} is more than the model's {len(costs)} layers")
    candidates = _all_cuts(len(costs), num_stages) or [_greedy_cuts(costs, num_stages)]
    slowest = [max(_stage_times(costs, cuts)) for cuts in candidates]
    near = [
        (sum(costs[cut - 1].output_bytes for cut in cuts), seconds, cuts)
        for seconds, cuts in zip(slowest, candidates, strict=True)
        if seconds <= min(slowest) * NEARLY
    ]
    return list(min(near)[2])


def _all_cuts(num_layers: int, num_stages: int) -> list[tuple[int, ...]]:
    cuts: list[tuple[int, ...]] = []
    for cut in combinations(range(1, num_layers), num_stages - 1):
        if len(cuts) == MAX_CUTS:
            return []
        cuts.append(cut)
    return cuts


def _greedy_cuts(costs: Sequence[LayerCost], num_stages: int) -> tuple[int, ...]:
    """Cut where the running sum passes each multiple of an equal share, leaving a layer for every stage."""
    total, passed, cuts = sum(cost.compute_s for cost in costs), 0.0, list[int]()
    for position, cost in enumerate(costs[:-1], start=1):
        passed += cost.compute_s
        num_missing = num_stages - 1 - len(cuts)
        must = len(costs) - position == num_missing
        if num_missing and (must or passed >= total * (len(cuts) + 1) / num_stages):
            cuts.append(position)
    return tuple(cuts)


def _groups(num_layers: int, cuts: Sequence[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, num_layers], strict=True)]


def _stage_times(costs: Sequence[LayerCost], cuts: Sequence[int]) -> list[float]:
    return [sum(cost.compute_s for cost in costs[group]) for group in _groups(len(costs), cuts)]


def make_split(
    model: nn.Module,
    sample: Tensor,
    split: Literal["auto"] | list[str],
    num_stages: int,
    *,
    table: str = "rpc_pipeline",
    budget_s: float = 1.0,
) -> Split:
    """Cut ``model`` as the configuration says and measure what each stage costs.

    Args:
        model: an ``nn.Sequential``; run on ``sample`` in training mode, so hand in one that is not trained.
        sample: inputs of one micro-batch, ``[B, ...]``.
        split: "auto" or the layers that begin stage 1, 2, ...
        num_stages: at least 2.
        table: the strategy and its table in the experiment file, for messages.
        budget_s: time for measuring beyond the first passes.

    Raises:
        ValueError: the model or the names do not allow it.
    """
    names = layer_names(model, table)
    cuts = None if split == "auto" else cut_by_name(names, split, num_stages, table)
    costs = measure_layers(model, sample, budget_s=budget_s)
    groups = _groups(len(names), cut_balanced(costs, num_stages, table) if cuts is None else cuts)
    times = [sum(cost.compute_s for cost in costs[group]) for group in groups]
    return Split(
        stages=tuple(tuple(names[group]) for group in groups),
        shares=tuple(seconds / sum(times) for seconds in times),
        num_parameters=tuple(sum(cost.num_parameters for cost in costs[group]) for group in groups),
    )


def take_stage(model: nn.Module, names: Sequence[str]) -> nn.Sequential:
    """Return the children ``names`` of ``model`` alone; they keep their names in the state_dict."""
    children = dict(model.named_children())
    return nn.Sequential(OrderedDict((name, children[name]) for name in names))


def measure_layers(model: nn.Module, sample: Tensor, *, budget_s: float = 1.0, max_passes: int = 15) -> list[LayerCost]:
    """Time forward and backward of each child on ``sample``, with one thread, as medians over passes.

    The random state of torch is left as it was.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            _pass_through(model, sample)  # the first pass allocates
            passes = [_pass_through(model, sample)]
            end = time.monotonic() + budget_s
            while len(passes) < max_passes and (len(passes) < 3 or time.monotonic() < end):
                passes.append(_pass_through(model, sample))
    finally:
        torch.set_num_threads(num_threads)
    seconds = [statistics.median(one[index][0] for one in passes) for index in range(len(passes[0]))]
    return [
        LayerCost(
            name=name,
            compute_s=max(seconds[index], 1e-9),
            output_bytes=passes[0][index][1],
            num_parameters=sum(parameter.numel() for parameter in child.parameters()),
        )
        for index, (name, child) in enumerate(model.named_children())
    ]


def _pass_through(model: nn.Module, sample: Tensor) -> list[tuple[float, int]]:
    """Run each child once, forward and backward; return (seconds, bytes of the output) of each."""
    measured = []
    values = sample
    for index, child in enumerate(model.children()):
        inputs = values.detach().clone().requires_grad_(index > 0 and values.is_floating_point())
        if getattr(child, "inplace", False):
            inputs = inputs * 1  # a leaf that needs its gradient must not be overwritten
        start = _now(sample.device)
        values = child(inputs)
        if values.requires_grad:
            values.backward(torch.ones_like(values))
        measured.append((_now(sample.device) - start, values.numel() * values.element_size()))
    return measured


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
