"""Replicas of a model in threads of one process: what ``nn.DataParallel`` would be on a CPU.

Each replica has modules and gradients of its own and its parameters share the storage of the first one's, so nothing is
copied between steps. ``functional_call`` on one shared module would not do: it swaps parameters in place, which threads
see of each other.

Dropout layers draw from generators of their own, which a snapshot holds. What else draws random numbers in the threads
(``nn.LSTM(dropout=...)``) shares torch's generator in no fixed order: no run of such a model repeats another bit for
bit, nor does one that goes on from a snapshot.
"""

from __future__ import annotations

import copy
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from engine.worker.precision import compile_model
from engine.worker.strategies.dropout import dropout_states, seed_dropout, set_dropout_states
from engine.worker.strategies.interface import Batch, Phases, StepOutput
from engine.worker.strategies.replica import Replica, mean_loss

__all__ = ["ThreadReplicas"]


class ThreadReplicas:
    """Trains ``replica`` on chunks of each batch, one chunk a thread.

    Gradients are added in the order of the replicas, so a run can be repeated bit for bit. As with ``nn.DataParallel``,
    running statistics (BatchNorm) are the first replica's.

    Args:
        replica: the first one; has the optimizer.
        count: of replicas.
        cores: that this process may use; each thread gets an equal part where there are enough.
        num_threads: intra-op threads of each replica.
    """

    def __init__(self, replica: Replica, count: int, cores: tuple[int, ...], num_threads: int) -> None:
        self._replica = replica
        self._models = [replica.model] + [_share_weights(replica.model) for _ in range(count - 1)]
        for number, model in enumerate(self._models):
            seed_dropout(model, torch.initial_seed() + number)
        self._forwards = [replica.forward] + [compile_model(model, replica.task.config) for model in self._models[1:]]
        self._parameters = [list(model.parameters()) for model in self._models]
        numbers = itertools.count()
        self._pool = ThreadPoolExecutor(
            count,
            thread_name_prefix="replica",
            initializer=lambda: _begin_thread(next(numbers), count, cores, num_threads),
        )

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """See ``Strategy.train_step``. A phase ends when the slowest replica ends it."""
        results: list[tuple[Tensor, Tensor | None]] = []
        for batch in micro_batches:
            results += self._forward_backward(batch, 1.0 / len(micro_batches), phases)
        phases.switch("comm")
        self._add_gradients()
        phases.switch("optimizer")
        self._replica.precision.update(self._replica.optimizer)
        for parameters in self._parameters:
            for parameter in parameters:
                parameter.grad = None
        phases.switch("other")
        correct = [count for _, count in results if count is not None]
        return StepOutput(
            loss=mean_loss([loss for loss, _ in results]),
            correct=torch.stack(correct).sum() if correct else None,
            num_samples=sum(len(batch.targets) for batch in micro_batches),
        )

    def _forward_backward(self, batch: Batch, share: float, phases: Phases) -> list[tuple[Tensor, Tensor | None]]:
        """Return loss and number of correct samples of each replica's chunk, in the order of the replicas."""
        count = len(self._models)
        inputs, targets = batch.inputs.tensor_split(count), batch.targets.tensor_split(count)
        phases.switch("forward")
        turn = _Turn(count, lambda: phases.switch("backward"))

        def work(number: int) -> tuple[Tensor, Tensor | None]:
            chunk = Batch(inputs[number], targets[number])
            try:
                loss, outputs = self._replica.compute_loss(chunk, self._forwards[number])
            finally:
                turn.arrive()
            self._replica.precision.backward(loss * (share * len(chunk.targets) / len(batch.targets)))
            return loss.detach(), self._replica.count_correct([(outputs.detach(), chunk.targets)])

        return list(self._pool.map(work, range(count)))

    def _add_gradients(self) -> None:
        first, *others = ([parameter.grad for parameter in parameters] for parameters in self._parameters)
        for gradients in others:
            pairs = [(a, b) for a, b in zip(first, gradients, strict=True) if a is not None and b is not None]
            torch._foreach_add_([a for a, _ in pairs], [b for _, b in pairs])

    def state(self) -> dict[str, Any]:
        """Return what every replica has for itself: its random numbers and its buffers, as they are."""
        return {
            "dropout": [dropout_states(model) for model in self._models],
            "buffers": [dict(model.named_buffers()) for model in self._models],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what ``state`` gave."""
        for model, numbers, buffers in zip(self._models, state["dropout"], state["buffers"], strict=True):
            set_dropout_states(model, numbers)
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class _Turn:
    """Calls ``act`` once, in the thread that arrives last."""

    def __init__(self, count: int, act: Callable[[], None]) -> None:
        self._left = count
        self._act = act
        self._lock = threading.Lock()

    def arrive(self) -> None:
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._act()


def _share_weights(model: nn.Module) -> nn.Module:
    """Return a copy whose parameters are leaves of their own over the storage of ``model``'s."""
    replica = copy.deepcopy(model)
    for own, shared in zip(replica.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return replica


def _begin_thread(number: int, count: int, cores: tuple[int, ...], num_threads: int) -> None:
    """Give this thread its cores, and the threads that torch starts for it with them; needs to run in the thread."""
    torch.set_num_threads(num_threads)
    size = len(cores) // count
    if size and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(threading.get_native_id(), cores[number * size : (number + 1) * size])
