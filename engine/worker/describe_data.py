"""``python -m engine.worker --data``: what a data set holds, and what partitions of it would show each rank.

Reads ``{"run": RunSpec, "num_pictures": n, "num_epochs": e, "partitions": [{"partition": ..., "alpha": ...,
"world_size": ...}, ...]}`` from stdin and writes one JSON line: ``problem`` (one line, "" where there is none) or
sizes, shapes, statistics, class counts, some samples as grey or RGB values 0..255, and the epochs of each partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.core.errors import DdptuiError
from engine.core.share_audit import count_classes, forecast
from engine.core.shares import Partition
from engine.core.spec import RunSpec
from engine.worker.datasets.bundle import DatasetBundle, Split, load_bundle
from engine.worker.own_code import describe_error
from engine.worker.question import answer_stdin

__all__ = ["describe_data", "main"]

MAX_SIDE = 32
"""Larger pictures are averaged down to that: a terminal has few characters."""

_MAX_FOR_STATISTICS = 20_000
_CHUNK = 2_000


def main() -> int:
    """Answer the request on stdin; return the exit code."""
    return answer_stdin(describe_data)


def describe_data(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer, as this module describes it."""
    spec = RunSpec.model_validate(request["run"])
    try:
        bundle = load_bundle(spec, may_fetch=True)
        splits = {"train": bundle.train, "validation": bundle.validation, "test": bundle.test}
        return {
            "problem": "",
            "dataset": spec.config.dataset,
            "note": bundle.note,
            "messages": list(bundle.messages),
            "num_classes": bundle.num_classes,
            "input_shape": list(bundle.input_shape),
            "dtype": str(bundle.train.inputs.dtype).removeprefix("torch."),
            "normalised_by": {"mean": list(bundle.mean), "std": list(bundle.std)},
            "splits": {name: _describe_split(split, bundle) for name, split in splits.items() if split is not None},
            "pictures": _pictures(bundle, int(request.get("num_pictures") or 0)),
            "partitions": [_forecast(spec, bundle, wanted, request) for wanted in request.get("partitions") or []],
        }
    except Exception as error:  # noqa: BLE001 (whatever the data or the user's code raises is the finding)
        problem = str(error) if isinstance(error, DdptuiError) else describe_error(error, spec.project_dir)
        return {"problem": problem}


def _describe_split(split: Split, bundle: DatasetBundle) -> dict[str, Any]:
    """Counts of all samples; mean and deviation per channel (or of all values) of at most the first 20,000."""
    labels = split.labels()
    rows = torch.arange(len(split)) if split.indices is None else split.indices
    rows = rows[:_MAX_FOR_STATISTICS]
    mean, std = _statistics(split.inputs, rows, is_image=bundle.is_image)
    return {
        "samples": len(split),
        "class_counts": count_classes(labels, bundle.num_classes),
        "mean": mean,
        "std": std,
        "num_counted": len(rows),
    }


def _statistics(inputs: Tensor, rows: Tensor, *, is_image: bool) -> tuple[list[float], list[float]]:
    """In the units of the inputs, uint8 as 0..1; a chunk at a time, since the data may be larger than the memory."""
    axes = (0, 2, 3) if is_image else tuple(range(inputs.dim()))
    total = squares = torch.zeros(1, dtype=torch.float64)
    number = 0
    for first in range(0, len(rows), _CHUNK):
        chunk = inputs[rows[first : first + _CHUNK]].to(torch.float64)
        if inputs.dtype == torch.uint8:
            chunk = chunk / 255
        total = total + chunk.sum(axes)
        squares = squares + chunk.square().sum(axes)
        number += chunk.numel() // (chunk.shape[1] if is_image else 1)
    if not number:
        return [], []
    mean = total / number
    return mean.tolist(), (squares / number - mean.square()).clamp(min=0).sqrt().tolist()


def _pictures(bundle: DatasetBundle, number: int) -> list[dict[str, Any]]:
    """The first training samples of each class in turn: ``label``, and ``values`` ``[H][W]`` or ``[H][W][3]`` (RGB)."""
    labels = torch.from_numpy(bundle.train.labels())
    firsts = [torch.nonzero(labels == label).flatten()[:number].tolist() for label in range(bundle.num_classes)]
    longest = max((len(places) for places in firsts), default=0)
    in_turn = [places[turn] for turn in range(longest) for places in firsts if turn < len(places)][:number]
    rows = bundle.train.rows(torch.tensor(in_turn, dtype=torch.int64).numpy())
    return [
        {"label": int(bundle.train.targets[row]), "values": _as_picture(bundle.train.inputs[row])}
        for row in rows.tolist()
    ]


def _as_picture(sample: Tensor) -> Any:
    """A sequence ``[T, F]`` is a grey picture; floats are stretched from their least to their greatest value."""
    values = sample.to(torch.float32)
    planes = values if values.dim() == 3 else values.unsqueeze(0)
    if sample.dtype != torch.uint8:
        low, high = planes.min(), planes.max()
        planes = (planes - low) / (high - low).clamp(min=1e-12) * 255
    height, width = planes.shape[1:]
    if max(height, width) > MAX_SIDE:
        scale = MAX_SIDE / max(height, width)
        planes = F.adaptive_avg_pool2d(planes, (max(round(height * scale), 1), max(round(width * scale), 1)))
    planes = planes.round().clamp(0, 255).to(torch.uint8)
    return planes.permute(1, 2, 0).tolist() if len(planes) == 3 else planes.float().mean(0).to(torch.uint8).tolist()


def _forecast(
    spec: RunSpec, bundle: DatasetBundle, wanted: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Any]:
    config, num_shares = spec.config, int(wanted["world_size"])
    share_size = config.local_batch_size or max((config.global_batch_size or 1) // num_shares, 1)
    labels = bundle.train.labels()
    partition = Partition(
        name=str(wanted["partition"]),
        num_samples=len(bundle.train),
        num_shares=num_shares,
        share_size=share_size,
        seed=config.seed,
        alpha=float(wanted["alpha"]),
        reshuffle=wanted.get("reshuffle") is not False,
        labels=labels,
    )
    num_epochs = int(request.get("num_epochs") or 2)
    epochs = forecast(partition, labels=labels, num_classes=bundle.num_classes, num_epochs=num_epochs)
    return {**wanted, "steps_per_epoch": partition.num_steps, "share_size": share_size, "epochs": epochs}
