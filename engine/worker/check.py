"""``python -m engine.worker --check``: can this interpreter, on this machine, train these runs?

Reads ``{"runs": [RunSpec, ...]}`` from stdin, one run per point, and writes one JSON line: what torch finds here, and
for each point its problems, its sizes and the measured seconds of a step. Problems are reported, never raised. What
points share (model, data, batch) is tried once. As a by-product the dataset cache is filled before any rank starts.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from engine import catalog
from engine.core.errors import DdptuiError
from engine.core.share_audit import forecast
from engine.core.shares import Partition
from engine.core.spec import RunConfig, RunSpec
from engine.core.topology import Topology, make_topology
from engine.worker.context import RankContext, read_context
from engine.worker.datasets.bundle import DatasetBundle, load_bundle
from engine.worker.own_code import describe_error
from engine.worker.question import answer_stdin
from engine.worker.share import make_partition
from engine.worker.strategies.pipeline_split import STAGES_KEYS, cut_by_name
from engine.worker.task import build_task
from engine.worker.trial import Trial, try_step

__all__ = ["check_runs", "main"]

_NOT_IN_TRIAL = {"strategy", "world_size", "nodes", "launch", "launcher", "backend", "cores_per_rank", "epochs", "stop"}
_NOT_IN_TRIAL |= {"partition", "partition_args"}
_NOT_IN_TRIAL |= {"evaluation", "evaluate_every", "lr_scaling", "scheduler", "slow", "measure_latency"}
_NOT_IN_TRIAL |= {"dp", "ddp", "rpc_pipeline", "fsdp", "pipeline"}
_NOT_IN_TRIAL |= {"timeout", "python", "env", "setup", "seed_policy", "global_batch_size", "local_batch_size"}
_NOT_IN_TRIAL |= {"on_nonfinite", "on_disk_full"}

FORECAST_EPOCHS = 2
"""Two show whether the order changes, and whether what was not seen first is seen later."""


def main() -> int:
    """Answer the runs on stdin; return the exit code."""
    return answer_stdin(lambda request: check_runs([RunSpec.model_validate(run) for run in request["runs"]]))


def check_runs(specs: list[RunSpec]) -> dict[str, Any]:
    """Return the answer, as this module describes it."""
    torch.set_num_threads(1)  # as a rank with one core computes
    checker = _Checker()
    has_cuda = torch.cuda.is_available()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if has_cuda else []
    return {
        "torch": torch.__version__,
        "torchvision": _version("torchvision"),
        "cuda": has_cuda,
        "num_gpus": len(gpus),
        "gpus": gpus,
        "rpc": _has_rpc(),
        "points": {spec.point: checker.check(spec) for spec in specs},
    }


@dataclass
class _Facts:
    """What is known of a point; None is unknown."""

    problems: list[str] = field(default_factory=list)
    topology: Topology | None = None
    bundle: DatasetBundle | None = None
    trial: Trial | None = None
    partition: Partition | None = None
    num_epochs: int | None = None
    max_steps: int | None = None

    def answer(self) -> dict[str, Any]:
        """Return the point's part of the answer."""
        bundle, trial = self.bundle, self.trial
        per_epoch = self.partition.num_steps if self.partition else None
        limits = [self.num_epochs * per_epoch] if self.num_epochs and per_epoch is not None else []
        limits += [self.max_steps] if self.max_steps else []
        return {
            "problems": self.problems,
            "num_parameters": trial.num_parameters if trial else None,
            "input_shape": list(bundle.input_shape) if bundle else None,
            "num_classes": bundle.num_classes if bundle else None,
            "train_samples": len(bundle.train) if bundle else None,
            "validation_samples": (len(bundle.validation) if bundle.validation else 0) if bundle else None,
            "test_samples": len(bundle.test) if bundle else None,
            "steps_per_epoch": per_epoch,
            "num_steps": min(limits, default=None),
            "coverage": self._forecast(),
            "step_s": trial.step_s if trial else None,
            "note": "; ".join([bundle.note, *bundle.messages] if bundle and bundle.note else bundle.messages)
            if bundle
            else "",
        }

    def _forecast(self) -> list[dict[str, Any]]:
        """What the ranks will see in the first epochs."""
        if self.bundle is None or self.partition is None:
            return []
        num_epochs = min(self.num_epochs or FORECAST_EPOCHS, FORECAST_EPOCHS)
        labels, num_classes = self.bundle.train.labels(), self.bundle.num_classes
        return forecast(self.partition, labels=labels, num_classes=num_classes, num_epochs=num_epochs)


class _Checker:
    """Checks points one after the other and remembers what they share."""

    def __init__(self) -> None:
        self._bundles: dict[str, DatasetBundle | str] = {}
        self._trials: dict[str, Trial | str] = {}

    def check(self, spec: RunSpec) -> dict[str, Any]:
        """Return the point's part of the answer."""
        config = spec.config
        facts = _Facts(num_epochs=config.epochs, max_steps=config.stop.steps)
        facts.problems += _environment_problems(config)
        num_gpus = torch.cuda.device_count() if _wants_cuda(config) else 0
        try:
            facts.topology = make_topology(config, catalog.STRATEGY_TRAITS[config.strategy], num_gpus=num_gpus)
        except (KeyError, ValueError) as error:
            facts.problems.append(str(error) if isinstance(error, ValueError) else f"unknown strategy {error}")
        else:
            facts.problems += _device_problems(config, facts.topology, num_gpus)
        self._try(spec, facts)
        return facts.answer()

    def _try(self, spec: RunSpec, facts: _Facts) -> None:
        if spec.config.script is not None:
            facts.problems += _script_problems(spec)
            return
        bundle = self._load(spec)
        if isinstance(bundle, str):
            facts.problems.append(bundle)
            return
        facts.bundle = bundle
        topology = facts.topology
        if topology is None:
            return
        facts.partition = make_partition(spec.config, topology, bundle)
        if not facts.partition.num_steps:
            facts.problems.append(
                f"one step takes {topology.global_batch_size} samples over all devices and there are "
                f"{len(bundle.train)} to train on"
            )
            return
        trial = self._train(spec, bundle, topology)
        if isinstance(trial, str):
            facts.problems.append(trial)
            return
        facts.trial = trial
        facts.problems += _split_problems(spec.config, topology, trial)

    def _load(self, spec: RunSpec) -> DatasetBundle | str:
        config = spec.config
        fields = {"model", "dataset", "dataset_args", "dataset_size", "data_root", "validation", "long_tail", "seed"}
        fields |= {"synthetic", "resize", "normalise"}
        key = json.dumps([config.model_dump(mode="json", include=fields), spec.project_dir], sort_keys=True)
        if key not in self._bundles:
            try:
                self._bundles[key] = load_bundle(spec, may_fetch=True)
            except Exception as error:  # noqa: BLE001 (whatever the user's code raises is a finding about it)
                self._bundles[key] = _one_line(error, spec)
        return self._bundles[key]

    def _train(self, spec: RunSpec, bundle: DatasetBundle, topology: Topology) -> Trial | str:
        shared = spec.config.model_dump(mode="json", exclude=_NOT_IN_TRIAL)
        key = json.dumps([shared, topology.local_batch_size, spec.project_dir], sort_keys=True)
        if key not in self._trials:
            try:
                context = _context(spec.config)
                task = build_task(spec, bundle, context, may_fetch=True)
                self._trials[key] = try_step(spec, bundle, task, context)
            except Exception as error:  # noqa: BLE001 (whatever the user's code raises is a finding about it)
                self._trials[key] = _one_line(error, spec)
        return self._trials[key]


def _script_problems(spec: RunSpec) -> list[str]:
    """What keeps a user's own program from being started; nothing of it is run."""
    path = Path(spec.project_dir, spec.config.script or "")
    try:
        compile(path.read_bytes(), str(path), "exec")
    except OSError as error:
        return [f"script: {path}: {error.strerror}"]
    except (SyntaxError, ValueError) as error:
        return [f"script: {describe_error(error)}"]
    return []


def _one_line(error: Exception, spec: RunSpec) -> str:
    return str(error) if isinstance(error, DdptuiError) else describe_error(error, spec.project_dir)


def _wants_cuda(config: RunConfig) -> bool:
    return config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())


def _context(config: RunConfig) -> RankContext:
    """The context of a trial: on the CPU where a GPU is asked for in vain, so that other problems are found too."""
    context = read_context(device=config.device, backend=config.backend)
    if context.device.type == "cuda" and not torch.cuda.is_available():
        return replace(context, device=torch.device("cpu"))
    return context


def _environment_problems(config: RunConfig) -> list[str]:
    """What this interpreter lacks, whatever the sizes."""
    problems = []
    if config.device == "cuda" and not torch.cuda.is_available():
        why = "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no GPU"
        problems.append(f'device = "cuda", but {why} (torch {torch.__version__})')
    if not _wants_cuda(config):
        is_gpu_asked = config.world_size == "gpu" or (config.strategy == "dp" and config.dp.num_replicas == "gpu")
        if is_gpu_asked:
            key = "world_size" if config.world_size == "gpu" else "dp.num_replicas"
            problems.append(f'{key} = "gpu", but there is no GPU to count here')
        if config.backend == "nccl":
            problems.append('backend = "nccl" needs GPUs; use gloo on CPUs')
        if config.compile and not _has_compiler():
            problems.append("compile needs a C++ compiler on CPUs, and none is found: install g++ or set CXX")
    elif config.backend == "nccl" and not torch.distributed.is_nccl_available():
        problems.append('backend = "nccl", but this torch is built without NCCL')
    if config.launch != "torchrun" and importlib.util.find_spec(config.launch) is None:
        problems.append(f'launch = "{config.launch}": torch {torch.__version__} no longer has it; take "torchrun"')
    if config.strategy == "rpc_pipeline" and not _has_rpc():
        problems.append("strategy rpc_pipeline needs torch.distributed.rpc, and this torch is built without it")
    if config.strategy in STAGES_KEYS and config.precision == "fp16":
        problems.append(f"strategy {config.strategy} takes precision fp32 or bf16")
    return problems


def _device_problems(config: RunConfig, topology: Topology, num_gpus: int) -> list[str]:
    if not _wants_cuda(config) or num_gpus == 0 or topology.num_devices <= num_gpus:
        return []
    key = catalog.STRATEGY_TRAITS[config.strategy].devices_from or "world_size"
    found = f"{num_gpus} is found" if num_gpus == 1 else f"{num_gpus} are found"
    return [
        f'{key} {topology.num_devices} needs {topology.num_devices} GPUs, {found}; device = "cpu" has no such limit'
    ]


def _split_problems(config: RunConfig, topology: Topology, trial: Trial) -> list[str]:
    """Whether the model can be cut as the pipeline's table says."""
    strategy = config.strategy
    if strategy not in STAGES_KEYS:
        return []
    table = config.pipeline if strategy == "pipeline" else config.rpc_pipeline
    num_stages = topology.num_devices
    if not trial.is_sequential:
        return [f"strategy {strategy} cuts an nn.Sequential between its children; model {config.model} is none"]
    if table.split == "auto":
        if len(trial.layers) < num_stages:
            return [f"{STAGES_KEYS[strategy]} {num_stages} is more than the model's {len(trial.layers)} layers"]
        return []
    try:
        cut_by_name(trial.layers, table.split, num_stages, strategy)
    except ValueError as error:
        return [str(error)]
    return []


def _has_rpc() -> bool:
    return torch.distributed.is_available() and torch.distributed.rpc.is_available()


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
