"""What can be named in the experiment file: strategy, model, dataset -> module path and one line about it.

A new one is one new file and one line here; the contract tests run over these tables. Nothing is imported until asked.
"""

from __future__ import annotations

import importlib
from typing import Any

from engine.core.own_script import SCRIPT
from engine.core.plan_catalog import PlanCatalog, StrategyTraits

__all__ = ["DATASETS", "LAUNCHERS", "MODELS", "STRATEGIES", "STRATEGY_TRAITS", "load", "plan_catalog"]

STRATEGIES = {
    "single": ("engine.worker.strategies.single:Single", "the baseline: one process, no process group"),
    "dp": ("engine.worker.strategies.dp:Dp", "one process, a replica of the model per device (per thread on CPU)"),
    "ddp": ("engine.worker.strategies.ddp:Ddp", "DistributedDataParallel: one process per device, gradients averaged"),
    "rpc_pipeline": (
        "engine.worker.strategies.rpc_pipeline:RpcPipeline",
        "stages on RPC workers, micro-batches in flight",
    ),
    "fsdp": ("engine.worker.strategies.fsdp:Fsdp", "fully_shard: parameters, gradients and optimizer in shards"),
    "pipeline": (
        "engine.worker.strategies.pipeline:Pipeline",
        "torch.distributed.pipelining: a stage per rank, GPipe or 1F1B",
    ),
}

STRATEGY_TRAITS = {
    "single": StrategyTraits(is_one_process=True),
    "dp": StrategyTraits(is_one_process=True, devices_from="dp.num_replicas"),
    "ddp": StrategyTraits(),
    "rpc_pipeline": StrategyTraits(devices_from="rpc_pipeline.num_stages", num_driver_ranks=1, is_data_parallel=False),
    "fsdp": StrategyTraits(),
    "pipeline": StrategyTraits(is_data_parallel=False, min_ranks=2),
    SCRIPT: StrategyTraits(),
}

MODELS = {
    "lenet5": (
        "engine.worker.models.lenet5:build",
        "LeNet-5 with average pooling and ReLU, 62,006 parameters at 3x32x32",
    ),
    "mlp": ("engine.worker.models.mlp:build", "fully connected layers; model_args: hidden = [512, 512]"),
    "mnist_cnn": (
        "engine.worker.models.mnist_cnn:build",
        "two convolutions, two linear layers, 51,902 parameters at 1x28x28",
    ),
    "mnist_rnn": ("engine.worker.models.mnist_rnn:build", "an LSTM over image rows, 26,602 parameters at 1x28x28"),
    "resnet18": (
        "engine.worker.models.resnet18:build",
        "torchvision's ResNet-18, 11,227,812 parameters at 100 classes; takes weights",
    ),
    "vgg19": (
        "engine.worker.models.vgg19:build",
        "VGG-19's features and 4096, 2048 with dropout 0.7, 131,220,564 parameters at 20 classes; takes weights",
    ),
}

DATASETS = {
    "cifar10": (
        "engine.worker.datasets.torchvision_sets:load_cifar10",
        "60,000 colour images 32x32 of 10 classes, from data_root or downloaded",
    ),
    "cifar100": (
        "engine.worker.datasets.torchvision_sets:load_cifar100",
        "60,000 colour images 32x32 of 100 classes, from data_root or downloaded",
    ),
    "digits": ("engine.worker.datasets.digits:load", "1,797 real 8x8 handwritten digits, shipped inside"),
    "imagefolder": (
        "engine.worker.datasets.image_folder:load",
        "data_root/train/CLASS/*.jpg, or data_root/CLASS/*.jpg; dataset_args: size, fit, num_classes, test_share",
    ),
    "imagenet20": (
        "engine.worker.datasets.image_folder:load_imagenet20",
        "an image folder of 20 classes, 224x224; dataset_args: size, fit",
    ),
    "mnist": (
        "engine.worker.datasets.torchvision_sets:load_mnist",
        "70,000 handwritten digits 28x28, from data_root or downloaded",
    ),
    "synthetic": (
        "engine.worker.datasets.synthetic:load",
        "class-dependent images or sequences of any shape, from the seed",
    ),
}

LAUNCHERS = {"local": ("engine.launchers.local:LocalLauncher", "torchrun agents on this machine")}


def load(target: str) -> Any:
    """Import ``"package.module:attribute"``.

    Raises:
        ImportError, AttributeError: as the import raised them.
    """
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def plan_catalog() -> PlanCatalog:
    """The names that the plan knows, with the line about each."""
    strategies, models, datasets = (
        {name: line for name, (_, line) in table.items()} for table in (STRATEGIES, MODELS, DATASETS)
    )
    return PlanCatalog(strategies=strategies, traits=STRATEGY_TRAITS, models=models, datasets=datasets)
