"""The model in stages on RPC workers: rank 0 drives, rank s + 1 is stage s, micro-batches are in flight between them.

By default (``autograd = "local"``) each stage has its own autograd and optimizer and RPC only moves tensors: the same
bits on every run. ``autograd = "distributed"`` is torch's dist_autograd and DistributedOptimizer, through the driver.

What differs from ``single``: the gradients are sums over micro-batches (equal up to rounding); batch norm sees the
statistics of a micro-batch; dropout draws from each stage's own random numbers. With CUDA, tensors travel through
host memory. The driver computes nothing: its waits are ``bubble``, and it returns from a step when the loss is known,
while the stages are still at their backward passes; ``settle`` waits for those.

A run that goes on from a snapshot is cut where it was, since measured times would cut it anew. With local autograd it
is the undisturbed run bit for bit. With distributed autograd no two runs are: there it is so up to rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch

from engine.worker.context import RankContext
from engine.worker.strategies import pipeline_evaluate
from engine.worker.strategies.batch_norm import has_batch_norm
from engine.worker.strategies.interface import Batch, EvalSums, Phases, Saved, StepOutput, Strategy, Task
from engine.worker.strategies.pipeline_distributed import DistributedDriver, DistributedStage
from engine.worker.strategies.pipeline_local import LocalDriver, LocalStage
from engine.worker.strategies.pipeline_split import Split, make_split, take_stage
from engine.worker.strategies.pipeline_stage import Stage
from engine.worker.strategies.pipeline_wire import Key, PeerFailedError, Wire
from engine.worker.strategies.replica import set_lr

__all__ = ["RpcPipeline"]

MIN_RPC_THREADS = 16
_ASKED = float("-inf")
"""The driver's word where a rank was asked to leave: no other word is it."""
_ANY_CALL = 0
"""Of a message that belongs to no collective call; those count from 1."""


class RpcPipeline(Strategy):
    """Driver or stage of a pipeline over torch.distributed.rpc; see the module."""

    def __init__(self, task: Task, context: RankContext, saved: Saved | None = None) -> None:
        super().__init__(task, context, saved)
        self._config = task.config.rpc_pipeline
        self._num_stages = self._config.num_stages
        if context.world_size != self._num_stages + 1:
            raise ValueError(
                f"strategy rpc_pipeline with num_stages = {self._num_stages} needs world_size = "
                f"{self._num_stages + 1} (a driver and the stages), not {context.world_size}"
            )
        if task.config.precision == "fp16":
            raise ValueError(
                "strategy rpc_pipeline takes precision fp32 or bf16: the scaler of fp16 would need the gradients of "
                "all stages at once"
            )
        self._is_driver = context.rank == 0
        self._device = context.device
        self._wire = Wire(context.rank, context.world_size)
        self._call = 0
        self._stages: tuple[tuple[str, ...], ...] = ()
        self._is_broken = False
        self._is_asked = False
        self._driver: LocalDriver | DistributedDriver | None = None
        self._worker: LocalStage | DistributedStage | None = None
        self._stage: Stage | None = None
        self.role = "driver" if self._is_driver else "stage"
        self.reports = self._is_driver

    @property
    def _num_micro_batches(self) -> int:
        return self._config.num_micro_batches * self.task.config.gradient_accumulation_steps

    def set_up(self) -> None:
        """Connect the ranks, cut the model where the driver says, and give each stage its part.

        Raises:
            ValueError: the model cannot be cut as the configuration says.
            DdptuiError: this torch has no RPC, or another rank failed.
        """
        self._wire.open(max(MIN_RPC_THREADS, self._num_micro_batches + MIN_RPC_THREADS // 2))
        with self._telling_others():
            call = self._next_call()
            if self._is_driver:
                split, self.description = self._plan_split()
                self._stages = split.stages
                self._wire.send_all_stages(Key(call, "split"), (split.stages, self.description))
                for index in range(self._num_stages):
                    self._wire.inbox.take(Key(call, "ready", index))
                self._driver = self._make_driver()
            else:
                stages, self.description = self._wire.inbox.take(Key(call, "split"))
                self._make_stage(stages)
                self._wire.send(0, Key(call, "ready", self._index), None)

    def data_share(self) -> tuple[int, int] | None:
        """The driver loads every batch, the stages none."""
        return (0, 1) if self._is_driver else None

    def train_step(self, micro_batches: list[Batch], phases: Phases) -> StepOutput:
        """Take one optimizer step; a stage returns its spans, the driver the loss of the whole batch."""
        with self._telling_others():
            call = self._next_call()
            if self._driver is not None:
                loss, correct = self._driver.step(call, micro_batches, phases)
                num_samples = sum(len(batch.targets) for batch in micro_batches)
                return StepOutput(loss=loss, correct=correct, num_samples=num_samples)
            assert self._worker is not None
            return StepOutput(loss=None, correct=None, num_samples=0, spans=self._worker.step(call, phases))

    def evaluate(self, batches: Iterable[Batch], num_batches: int) -> EvalSums:  # noqa: ARG002 (only the driver counts)
        """Evaluate the driver's batches through the pipeline; the sums are known to the driver alone."""
        with self._telling_others():
            call = self._next_call()
            if self._is_driver:
                return pipeline_evaluate.drive(self._wire, call, batches, self._num_stages)
            assert self._stage is not None
            pipeline_evaluate.serve(self._wire, call, self._stage, self.task, self._index, self._num_stages)
            return EvalSums()

    def settle(self, phases: Phases) -> None:
        """Keep the driver until every stage has finished its steps: a wait for others as any in its steps."""
        with self._telling_others():
            call = self._next_call()
            if not self._is_driver:
                self._wire.send(0, Key(call, "settled", self._index), None)
                return
            phases.switch("bubble")
            for index in range(self._num_stages):
                self._wire.inbox.take(Key(call, "settled", index))

    def from_leader(self, value: float) -> float:
        """Return the driver's value."""
        with self._telling_others():
            call = self._next_call()
            if self._is_driver:
                self._wire.send_all_stages(Key(call, "value"), value)
                return value
            return float(self._wire.inbox.take(Key(call, "value")))

    def agree(self, word: float, is_asked: bool) -> tuple[float, bool]:
        """See ``Strategy``. The driver is ahead of the stages and waits for none: it tells what it knows."""
        if self._is_driver:
            came = [self._takes_request(stage) for stage in range(self._num_stages)]
            self._is_asked = self._is_asked or is_asked or any(came)
            word = self.from_leader(_ASKED if self._is_asked else word)
        else:
            if is_asked and not self._is_asked:
                self._is_asked = True
                with self._telling_others():
                    self._wire.send(0, Key(_ANY_CALL, "asked", self._index), None)
            word = self.from_leader(word)
        return word, word == _ASKED

    def _takes_request(self, stage: int) -> bool:
        """Whether word has come that a stage was asked to leave; told once."""
        key = Key(_ANY_CALL, "asked", stage)
        if not self._wire.inbox.holds(key):
            return False
        with self._telling_others():
            self._wire.inbox.take(key)
        return True

    def sum_over_ranks(self, values: list[float]) -> list[float]:
        """Add up on the driver, in the order of ranks."""
        with self._telling_others():
            call = self._next_call()
            if not self._is_driver:
                self._wire.send(0, Key(call, "values", self._index), values)
                sums: list[float] = self._wire.inbox.take(Key(call, "sums"))
                return sums
            shares = [values, *(self._wire.inbox.take(Key(call, "values", index)) for index in range(self._num_stages))]
            sums = [sum(column) for column in zip(*shares, strict=True)]
            self._wire.send_all_stages(Key(call, "sums"), sums)
            return sums

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the stage's own optimizer."""
        if self._stage is not None and self._stage.optimizer is not None:
            set_lr(self._stage.optimizer, lr)

    def model_state(self) -> dict[str, Any] | None:
        """Put the stages' parts together on the driver, in the order of the whole model."""
        with self._telling_others():
            call = self._next_call()
            if self._stage is not None:
                self._wire.send(0, Key(call, "state", self._index), self._stage.state())
                return None
            state: dict[str, Any] = {}
            for index in range(self._num_stages):
                state |= self._wire.inbox.take(Key(call, "state", index))
            return state

    def shared_state(self) -> dict[str, Any]:
        """See ``Strategy``: where the model was cut (measured times decide it anew), and the whole model."""
        model = self.model_state()
        return {"model": model, "stages": [list(names) for names in self._stages]}

    def own_state(self) -> dict[str, Any]:
        """See ``Strategy``: a stage has its part and its optimizer, the driver nothing."""
        return {} if self._stage is None else self._stage.snapshot()

    def restore(self, saved: Saved) -> None:
        """See ``Strategy``; with another number of stages the optimizers begin anew."""
        if self._stage is None:
            return
        if saved.own is not None:
            self._stage.load(saved.own)
            return
        names = self._stage.part.state_dict().keys()
        self._stage.part.load_state_dict({name: saved.shared["model"][name] for name in names})

    def close(self) -> None:
        """Leave the RPC group: together with the other ranks, or after an error at once."""
        self._wire.close(is_clean=not self._is_broken)

    @property
    def _index(self) -> int:
        return self.context.rank - 1

    def _next_call(self) -> int:
        """Number the collective calls: every rank makes the same ones in the same order."""
        self._call += 1
        return self._call

    def _plan_split(self) -> tuple[Split, str]:
        config = self.task.config
        model = self.task.build_model()
        parts = self._config.num_micro_batches * config.gradient_accumulation_steps
        size = max(1, self.task.topology.global_batch_size // parts)
        with torch.random.fork_rng():
            sample = torch.randn(size, *self.task.input_shape).to(self._device)
        split = make_split(model.to(self._device), sample, self._wanted_split(), self._num_stages)
        words = [
            split.describe(self._num_micro_batches),
            f"{self._config.schedule} of {self._config.num_micro_batches} micro-batches",
            f"{self._config.autograd} autograd",
        ]
        if has_batch_norm(model):
            words.append("batch norm sees one micro-batch at a time")
        if config.device != "cpu" and torch.cuda.is_available():
            words.append("balance measured on the driver's CPU")
        return split, "; ".join(words)

    def _wanted_split(self) -> Literal["auto"] | list[str]:
        """As the configuration says; a run that goes on is cut where it was."""
        stages = self.saved.shared.get("stages") if self.saved is not None and self.saved.own is not None else None
        return self._config.split if not stages else [names[0] for names in stages[1:]]

    def _make_driver(self) -> LocalDriver | DistributedDriver:
        if self._config.autograd == "local":
            return LocalDriver(self._wire, self._num_stages, self._config.num_micro_batches)
        return DistributedDriver(self._wire, self._num_stages, self._config.num_micro_batches)

    def _make_stage(self, stages: tuple[tuple[str, ...], ...]) -> None:
        part = take_stage(self.task.build_model(), stages[self._index])
        self._stage = Stage(part, self._index, self.task, self._device)
        if self._config.autograd == "local":
            self._worker = LocalStage(self._wire, self._stage, self._index, self._num_stages, self._config.schedule)
        else:
            self._worker = DistributedStage(self._wire, self._stage)

    @contextlib.contextmanager
    def _telling_others(self) -> Iterator[None]:
        """Where this rank cannot go on, the others must not wait for it."""
        try:
            yield
        except BaseException as error:
            self._tell(error)
            raise

    def _tell(self, error: BaseException) -> None:
        if not self._is_broken and not isinstance(error, PeerFailedError):
            self._wire.tell_failure(f"{type(error).__name__}: {error}")
        self._is_broken = True
