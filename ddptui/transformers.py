"""For the Hugging Face Trainer: ``Trainer(callbacks=[DdptuiCallback()], ...)``.

Does nothing in a program that ddptui did not start.
"""

from __future__ import annotations

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ddptui.speaker import log

__all__ = ["DdptuiCallback"]


class DdptuiCallback(TrainerCallback):
    """Says the samples of every optimizer step, and what the Trainer logs.

    The samples are those of whole batches: the Trainer does not tell how many the last batch of an epoch had.
    """

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 (the Trainer's signature)
        **others: Any,  # noqa: ARG002
    ) -> None:
        """Say an optimizer step."""
        samples = args.train_batch_size * args.gradient_accumulation_steps
        log(samples=samples, step=_step(state), **_epoch(state))

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        **others: Any,  # noqa: ARG002
    ) -> None:
        """Say what the Trainer says: the loss, and figures of evaluations as ``eval_...``."""
        figures = {name: value for name, value in (logs or {}).items() if name not in ("epoch", "step")}
        log(figures, step=_step(state), **_epoch(state))


def _step(state: TrainerState) -> int:
    return max(state.global_step - 1, 0)


def _epoch(state: TrainerState) -> dict[str, int]:
    """The Trainer counts parts of epochs: after the last step of the first one it is at 1.0."""
    return {} if state.epoch is None else {"epoch": max(math.ceil(state.epoch) - 1, 0)}
