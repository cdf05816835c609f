"""A pipeline step with torch's distributed autograd, every hop through the driver.

The driver calls each stage's forward pass by RPC inside one dist_autograd context, starts the backward pass there and
lets DistributedOptimizer step on every stage. Hops from stage to stage over remote references are shorter, and lose
gradients without a word in some steps (pytorch#57917); every stage has answered one call before the first step, since
an unconfirmed owner loses those of that step. The backward passes of several micro-batches meet in no fixed order, so
runs are equal up to rounding, not bit for bit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import autograd as dist_autograd
from torch.distributed import rpc

from engine.worker.strategies.interface import Batch, Phases
from engine.worker.strategies.pipeline_local import split_batches
from engine.worker.strategies.pipeline_stage import NO_MICRO_BATCH, Span, Stage
from engine.worker.strategies.pipeline_wire import Key, PeerFailedError, Wire, quiet_rpc, stage_name

__all__ = ["DistributedDriver", "DistributedStage"]

_serving: DistributedStage | None = None  # the stage of this process: RPC handlers are found by name


def _parameters() -> list[Any]:
    return [rpc.RRef(parameter) for parameter in _here().stage.part.parameters()]


def _optimizer(parameters: Iterable[Tensor], **_: Any) -> torch.optim.Optimizer:  # noqa: ARG001 (the same parameters)
    optimizer = _here().stage.optimizer
    assert optimizer is not None
    return optimizer


def _forward(call: int, index: int, inputs: Tensor) -> Tensor:
    return _here().forward(call, index, inputs)


def _forward_to_loss(
    call: int, index: int, inputs: Tensor, targets: Tensor, weight: float
) -> tuple[Tensor, Tensor | None]:
    return _here().forward_to_loss(call, index, inputs, targets, weight)


def _here() -> DistributedStage:
    assert _serving is not None
    return _serving


class DistributedDriver:
    """The driver's part in a step: all of its order, none of its arithmetic."""

    def __init__(self, wire: Wire, num_stages: int, num_micro_batches: int) -> None:
        self._wire = wire
        self._num_stages = num_stages
        self._num_micro_batches = num_micro_batches
        parameters = [rref for stage in range(num_stages) for rref in rpc.rpc_sync(stage_name(stage), _parameters)]
        with quiet_rpc():
            from torch.distributed.optim import DistributedOptimizer  # its import warns, and only this mode needs it

            self._optimizer = DistributedOptimizer(_optimizer, parameters)

    def step(self, call: int, batches: list[Batch], phases: Phases) -> tuple[Tensor, Tensor | None]:
        """Drive one step; return the mean loss and the number of correct samples.

        Raises:
            PeerFailedError: a stage failed; it says the same itself, with its own place.
        """
        try:
            return self._drive(call, batches, phases)
        except Exception as error:  # torch hands a stage's exception out as if it had been raised here
            raise PeerFailedError(f"remote worker failed first: {type(error).__name__}: {error}") from error

    def _drive(self, call: int, batches: list[Batch], phases: Phases) -> tuple[Tensor, Tensor | None]:
        phases.switch("comm")
        parts = split_batches(batches, self._num_micro_batches)
        with dist_autograd.context() as context_id:
            answers = self._forward(call, parts, phases)
            loss = torch.stack([answer[0] for answer in answers]).sum()
            phases.switch("bubble")
            dist_autograd.backward(context_id, [loss])  # type: ignore[attr-defined]  # its stub leaves it out
            self._optimizer.step(context_id)
        self._wire.send_all_stages(Key(call, "done"), None)
        counts = [answer[1] for answer in answers if answer[1] is not None]
        return loss.detach(), torch.stack(counts).sum() if counts else None

    def _forward(self, call: int, parts: list[Batch], phases: Phases) -> list[tuple[Tensor, Tensor | None]]:
        """Send micro-batch ``k`` to stage ``s`` as soon as stage ``s - 1`` has answered, in diagonals."""
        num_samples = sum(len(part.targets) for part in parts)
        calls: list[list[Any]] = [
            [
                rpc.rpc_async(stage_name(0), _forward, args=(call, index, part.inputs))
                for index, part in enumerate(parts)
            ]
        ]
        calls += [[] for _ in range(1, self._num_stages)]
        phases.switch("bubble")
        for diagonal in range(1, len(parts) + self._num_stages - 1):
            for stage in range(min(diagonal, self._num_stages - 1), 0, -1):
                index = diagonal - stage
                if index >= len(parts):
                    continue
                outputs = calls[stage - 1][index].wait()
                to = stage_name(stage)
                if stage < self._num_stages - 1:
                    calls[stage].append(rpc.rpc_async(to, _forward, args=(call, index, outputs)))
                else:
                    part = parts[index]
                    last = (call, index, outputs, part.targets, len(part.targets) / num_samples)
                    calls[stage].append(rpc.rpc_async(to, _forward_to_loss, args=last))
        return [answer.wait() for answer in calls[-1]]


class DistributedStage:
    """A stage's part in a step: its handlers compute, one at a time and in order, until the driver says done."""

    def __init__(self, wire: Wire, stage: Stage) -> None:
        global _serving
        _serving = self
        self.stage = stage
        self._wire = wire
        self._turn = threading.Condition()
        self._next = (-1, -1)  # the call and micro-batch whose forward pass may run
        self._has_given_up = False
        self._marks = threading.Lock()
        self._num_running = 0
        self._spans: list[Span] = []
        self._phases: Phases | None = None
        if stage.optimizer is not None:
            _Updates(self, stage.optimizer)

    def step(self, call: int, phases: Phases) -> list[Span]:
        """Serve one step; return what was done when, in the order of its ends."""
        phases.switch("bubble")
        self._spans = []
        self._phases = phases
        with self._turn:
            self._next = (call, 0)
            self._turn.notify_all()
        try:
            self._wire.inbox.take(Key(call, "done"))
        except BaseException:
            self._give_up()
            raise
        self._phases = None
        return self._spans

    def _give_up(self) -> None:
        """Let the handlers go that wait for a turn which will not come; RPC cannot end before they do."""
        with self._turn:
            self._has_given_up = True
            self._turn.notify_all()

    def forward(self, call: int, index: int, inputs: Tensor) -> Tensor:
        """Handler of a micro-batch on all stages but the last."""

        def compute() -> Tensor:
            _, outputs = self.stage.run(inputs, needs_gradient=False)
            self._watch_backward(index, outputs)
            return outputs.cpu()

        return self._in_turn(call, index, compute)

    def forward_to_loss(
        self, call: int, index: int, inputs: Tensor, targets: Tensor, weight: float
    ) -> tuple[Tensor, Tensor | None]:
        """Handler of a micro-batch on the last stage."""

        def compute() -> tuple[Tensor, Tensor | None]:
            _, outputs = self.stage.run(inputs, needs_gradient=False)
            loss, correct = self.stage.weigh_loss(outputs, targets, weight)
            self._watch_backward(index, loss)
            return loss.cpu(), None if correct is None else correct.cpu()

        return self._in_turn(call, index, compute)

    def begin(self, phase: str) -> float:
        """Note that a piece of work begins; return the time."""
        with self._marks:
            self._num_running += 1
            if self._phases is not None:
                self._phases.switch(phase)
        return time.monotonic()

    def end(self, name: str, index: int, start: float) -> None:
        """Note that it has ended; without other work the stage is in the bubble."""
        with self._marks:
            self._num_running -= 1
            self._spans.append((name, index, start, time.monotonic()))
            if self._phases is not None and self._num_running == 0:
                self._phases.switch("bubble")

    def _in_turn(self, call: int, index: int, compute: Callable[[], Any]) -> Any:
        """Compute when all earlier micro-batches are through, so that random numbers and buffers see one order."""
        with self._turn:
            while self._next != (call, index):
                if self._has_given_up:
                    raise RuntimeError("this stage has ended")
                self._turn.wait()
            start = self.begin("forward")
            try:
                return compute()
            except BaseException as error:
                self._wire.inbox.fail(error)  # the main thread raises it, and the run ends with its true cause
                raise
            finally:
                self.end("F", index, start)
                self._next = (call, index + 1)
                self._turn.notify_all()

    def _watch_backward(self, index: int, outputs: Tensor) -> None:
        """Record the backward pass from the first node of the stage's graph to the last."""
        if outputs.grad_fn is None:
            return
        watch = _BackwardWatch(self, index)
        nodes = _last_nodes(outputs.grad_fn)
        watch.num_open = len(nodes)
        outputs.grad_fn.register_prehook(watch.begin)
        for node in nodes:
            node.register_hook(watch.end)


class _BackwardWatch:
    """Turns the hooks of one micro-batch into one span."""

    def __init__(self, stage: DistributedStage, index: int) -> None:
        self._stage = stage
        self._index = index
        self._start = 0.0
        self.num_open = 0

    def begin(self, *_: Any) -> None:
        self._start = self._stage.begin("backward")

    def end(self, *_: Any) -> None:
        self.num_open -= 1
        if self.num_open == 0:
            self._stage.end("B", self._index, self._start)


class _Updates:
    """Turns the optimizer's hooks into its phase and span."""

    def __init__(self, stage: DistributedStage, optimizer: torch.optim.Optimizer) -> None:
        self._stage = stage
        self._start = 0.0
        optimizer.register_step_pre_hook(self._begin)
        optimizer.register_step_post_hook(self._end)

    def _begin(self, *_: Any) -> None:
        self._start = self._stage.begin("optimizer")

    def _end(self, *_: Any) -> None:
        self._stage.end("W", NO_MICRO_BATCH, self._start)


def _last_nodes(root: Any) -> list[Any]:
    """The nodes of the graph under ``root`` that hand gradients only to parameters or to another process."""
    seen, todo, last = {root}, [root], []
    while todo:
        node = todo.pop()
        inner = [
            child
            for child, _ in node.next_functions
            if child is not None and "AccumulateGrad" not in child.name() and "RecvRpc" not in child.name()
        ]
        if not inner:
            last.append(node)
        for child in inner:
            if child not in seen:
                seen.add(child)
                todo.append(child)
    return last
