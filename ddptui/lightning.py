"""For Lightning: ``Trainer(callbacks=[DdptuiCallback()])``; for Fabric: ``Fabric(loggers=[DdptuiLogger()])``.

Does nothing in a program that ddptui did not start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.fabric.loggers.logger import Logger
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.data import extract_batch_size

from ddptui.speaker import log

__all__ = ["DdptuiCallback", "DdptuiLogger"]


class DdptuiCallback(Callback):
    """Says loss, samples, step and epoch of every batch, and what evaluations log."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002 (Lightning's signature)
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Say a batch; several of one optimizer step are one step."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        step = max(trainer.global_step - 1, 0)
        log(loss=loss, samples=extract_batch_size(batch), step=step, epoch=trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say the figures of a validation."""
        if not trainer.sanity_checking:
            _say_evaluation(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say the figures of a test."""
        _say_evaluation(trainer, "test")


def _say_evaluation(trainer: Trainer, split: str) -> None:
    figures = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(split)}
    log(figures, epoch=trainer.current_epoch)


class DdptuiLogger(Logger):
    """Says what ``fabric.log`` and ``fabric.log_dict`` are given, of every rank; ``samples`` are those of the rank."""

    @property
    def name(self) -> str:
        """What the logger is called."""
        return "ddptui"

    @property
    def version(self) -> str:
        """There is one."""
        return ""

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Say figures."""
        log(metrics, **({} if step is None else {"step": step}))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """They stand in the experiment file."""
