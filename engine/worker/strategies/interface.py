"""What a strategy owes the loop, and what the loop hands it.

Every rank runs the same loop over the same plan of epochs and steps; a strategy decides what this rank does in a step.
A strategy keeps the phase clock honest: it calls ``clock.switch(name)`` at each border inside ``train_step`` (the loop
has called ``start`` and measured ``data`` before, and calls ``stop`` after). Time belongs to the phase last switched
to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from engine.core.spec import RunConfig
from engine.core.topology import Topology
from engine.worker.context import RankContext
from engine.worker.strategies.batch_norm import has_batch_norm

__all__ = ["Batch", "EvalSums", "Phases", "Saved", "StepOutput", "Strategy", "Task"]


class Batch(NamedTuple):
    """Samples on the rank's device: inputs ``[B, ...]`` (already normalised floats), targets ``[B]``."""

    inputs: Tensor
    targets: Tensor


class Phases(Protocol):
    """The phase clock as a strategy sees it (``engine.worker.phases.PhaseClock``)."""

    def switch(self, phase: str) -> None:
        """End the phase that runs and begin ``phase``."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, the same on every rank.

    Attributes:
        config: the run's configuration.
        topology: its sizes.
        input_shape: of one sample as the model sees it, ``(C, H, W)`` or ``(T, F)``.
        build_model: makes the model on the CPU with weights that depend on the seed only, equal on every rank.
        loss: ``(outputs [B, ...], targets [B]) -> mean loss`` (0-d tensor, differentiable).
        count_correct: ``(outputs, targets) -> 0-d tensor`` of the number of correct samples, or None.
        make_optimizer: ``(parameters) -> optimizer`` with the scaled learning rate.
        metrics: name -> ``(outputs, targets) -> sum over samples`` for evaluation, accuracy apart.
    """

    config: RunConfig
    topology: Topology
    input_shape: tuple[int, ...]
    build_model: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    count_correct: Callable[[Tensor, Tensor], Tensor] | None
    make_optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer]
    metrics: dict[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """What one optimizer step gives.

    Attributes:
        loss: mean over this rank's samples of the step, detached 0-d tensor; None where this rank does not know it.
        correct: 0-d tensor, number of this rank's samples that were right; None where not counted.
        num_samples: this rank's samples in the step; 0 on ranks that see none.
        spans: pipelines: ``(op, micro_batch, start mono_s, end mono_s)`` with op "F", "B" or "W" (optimizer).
    """

    loss: Tensor | None
    correct: Tensor | None
    num_samples: int
    spans: list[tuple[str, int, float, float]] | None = None


@dataclass(kw_only=True)
class EvalSums:
    """Sums over samples; added up over ranks before anybody divides."""

    samples: int = 0
    loss: float = 0.0
    correct: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a snapshot holds for a rank.

    Attributes:
        shared: what ``shared_state`` gave on rank 0.
        own: what ``own_state`` gave on this rank; None where as many ranks as then are not there, and what goes on is
            not the same run bit for bit.
        loader: of this rank's data; None with ``own``.
        random: this rank's random numbers; None with ``own``.
    """

    shared: dict[str, Any]
    own: dict[str, Any] | None
    loader: dict[str, Any] | None
    random: dict[str, Any] | None


class Strategy(ABC):
    """One way of spreading the training over ranks and devices.

    Life: ``set_up`` once, where a run goes on ``rehearse`` and ``restore``, then per epoch ``set_lr``, many
    ``train_step``, some ``evaluate`` and ``from_leader``, and between two steps what a snapshot asks for; at the end
    ``model_state`` and ``close``. All of these are collective: every rank calls them in the same order.

    Attributes:
        role: "rank", "driver" or "stage".
        description: one line for people: what this strategy does here.
        reports: whether this rank writes the ``eval`` lines (exactly one rank does).
    """

    role = "rank"
    description = ""
    reports = True

    def __init__(self, task: Task, context: RankContext, saved: Saved | None = None) -> None:
        self.task = task
        self.context = context
        self.saved = saved

    @abstractmethod
    def set_up(self) -> None:
        """Make the model, the optimizer and the connections."""

    def data_share(self) -> tuple[int, int] | None:
        """``(index, count)``: which equal share of each global batch this rank loads; None for none."""
        return 0, 1

    @abstractmethod
    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """Take one optimizer step.

        Args:
            micro_batches: this rank's share, in ``gradient_accumulation_steps`` parts; empty where the share is None.
            phases: the clock.
        """

    @abstractmethod
    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:
        """Evaluate without gradients and in eval mode; return the sums over all ranks.

        Args:
            batches: this rank's own part of the split (its share is sharded without padding, so sizes differ by one).
            num_batches: how many there are on the rank that has most.
        """

    def from_leader(self, value: float) -> float:
        """Return the value that the leading rank (0) passed: what only one rank decides."""
        return value

    def agree(self, word: float, is_asked: bool) -> tuple[float, bool]:
        """Return the leading rank's word and whether a rank was asked to leave: the same on all, to end at one step.

        Args:
            word: the leading rank's counts.
            is_asked: whether this rank was asked; what one has said may be told to all at a later call only.
        """
        return word, is_asked

    def settle(self, phases: Phases) -> None:  # noqa: B027 (most have nothing to wait for)
        """Wait until the steps handed out are done; called at the end of an epoch's last step, before it is timed."""

    def sum_over_ranks(self, values: list[float]) -> list[float]:
        """Return the sums over ranks; zeros come from a rank that knows nothing. At the end of epochs only."""
        return values

    @abstractmethod
    def set_lr(self, lr: float) -> None:
        """Set the learning rate of every parameter this rank owns."""

    @abstractmethod
    def model_state(self) -> dict[str, Any] | None:
        """Return the whole model's state_dict (CPU tensors, the plain model's names) on rank 0, None elsewhere."""

    @abstractmethod
    def shared_state(self) -> dict[str, Any]:
        """Return what is the same on all ranks, for a snapshot: whole on rank 0, of no use elsewhere. A collective."""

    def own_state(self) -> dict[str, Any]:
        """Return what only this rank knows, for a snapshot: tensors and plain values."""
        return {}

    @abstractmethod
    def restore(self, saved: Saved) -> None:
        """Put back what ``shared_state`` and ``own_state`` gave."""

    def rehearse(self, micro_batches: list[Batch]) -> None:  # noqa: B027 (most come to no other state by a first step)
        """Go once through a step that changes nothing, before ``restore``: what forms in the first step is then there.

        Args:
            micro_batches: as in ``train_step``.
        """

    def num_parameters(self) -> int:
        """Parameters of the whole model."""
        return sum(parameter.numel() for parameter in self.task.build_model().parameters())

    def has_batch_norm(self) -> bool:
        """Whether the model takes statistics over the samples that it is given at a time, on each rank apart."""
        return has_batch_norm(self.task.build_model())

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Leave the process group; never raises. Called after a good end; after an error the process just exits."""
