"""One rank of one run: ``python -m engine.worker <run dir>``; or a question: ``--check``, ``--data``, ``--evaluate``.

Exit codes: 0 trained to the end, 1 failed (said in the events, ``errors/rank<r>.json`` and on stderr), 2 wrong call,
75 asked to leave and left after a whole step.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch

from ddptui.lines import LineWriter
from engine import catalog
from engine.core.errors import DdptuiError
from engine.core.fields import sequence
from engine.core.result_config import result_of
from engine.core.spec import RunSpec, Snapshot
from engine.store import AttemptPaths, RunPaths, read_json, write_json
from engine.worker.announce import describe_start
from engine.worker.beat import DONE, Beat, open_beat
from engine.worker.context import RankContext, read_context
from engine.worker.datasets.bundle import DatasetBundle, load_bundle
from engine.worker.failure import describe_failure
from engine.worker.latency import measure_latency
from engine.worker.loop import Loop, plan_steps
from engine.worker.own_code import is_own, project_on_path
from engine.worker.phases import SlowClock, make_clock
from engine.worker.random_state import seed_everything, set_random_state
from engine.worker.restoring import Resumed, load_resumed
from engine.worker.snapshot import PATIENCE_S, Keeper, Position, describe_origin
from engine.worker.strategies.interface import Strategy, Task
from engine.worker.task import build_task
from engine.worker.usage import measure_usage

__all__ = ["main"]

EXIT_FAILED, EXIT_WRONG_CALL, EXIT_STOPPED = 1, 2, 75


def main(arguments: list[str]) -> int:
    """Run one rank; return its exit code."""
    if arguments == ["--check"]:
        from engine.worker.check import main as check  # needed by this call alone

        return check()
    if arguments == ["--data"]:
        from engine.worker.describe_data import main as describe_data  # needed by this call alone

        return describe_data()
    if arguments == ["--evaluate"]:
        from engine.worker.evaluate_model import main as evaluate_model  # needed by this call alone

        return evaluate_model()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        questions = "--check | --data | --evaluate"
        print(f"usage: python -m engine.worker <run dir> | {questions}", file=sys.stderr)  # noqa: T201 (a command's usage)
        return EXIT_WRONG_CALL
    leaving = _Leaving()
    faulthandler.enable()  # a fatal signal prints the stack; on SIGRTMIN+3 ddptui.start does
    paths = RunPaths(Path(arguments[0]))
    attempt = AttemptPaths(Path(os.environ.get("DDPTUI_ATTEMPT_DIR") or paths.root / "attempts" / "manual"))
    rank = int(os.environ.get("RANK", "0"))
    writer = LineWriter(str(attempt.events(rank)), rank=rank, attempt=int(os.environ.get("DDPTUI_ATTEMPT", "0")))
    worker = _Worker(paths, attempt, writer, leaving)
    try:
        reason = worker.run()
    except BaseException as error:  # noqa: BLE001 (whatever it was: it is told, and ends this process)
        _tell(error, attempt, rank, writer)
        # Closing groups and the interpreter would wait for peers and for threads of gloo, nccl or RPC, maybe for ever.
        os._exit(EXIT_FAILED)
    worker.close()
    return EXIT_STOPPED if reason == "stopped" else 0


class _Leaving:
    """Whether this process was asked to leave; it does so after a whole step, together with the others."""

    def __init__(self) -> None:
        self._is_asked = False
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, self._note)

    def __call__(self) -> bool:
        return self._is_asked

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (signal's signature)
        self._is_asked = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # who asks twice at a terminal means now


class _Worker:
    """This rank from its configuration to its last line."""

    def __init__(self, paths: RunPaths, attempt: AttemptPaths, writer: LineWriter, leaving: _Leaving) -> None:
        self._paths = paths
        self._attempt = attempt
        self._writer = writer
        self._leaving = leaving
        self._strategy: Strategy | None = None

    def run(self) -> str:
        """Train; return why it ended."""
        spec = RunSpec.model_validate_json(self._paths.run.read_bytes())
        context = _enter_context(spec)
        beat = open_beat(os.environ.get("DDPTUI_BEATS"), context.rank)
        bundle = load_bundle(spec)
        task = build_task(spec, bundle, context)
        num_steps = plan_steps(task, bundle)
        seed_everything(spec.config.seed + context.rank)  # dropout must differ between ranks
        resumed = load_resumed(self._paths, self._attempt, context, global_batch_size=task.topology.global_batch_size)
        make_strategy = catalog.load(catalog.STRATEGIES[spec.config.strategy][0])
        strategy = self._strategy = make_strategy(task, context, resumed.saved if resumed else None)
        strategy.set_up()
        clock = make_clock(context, beat, spec.config.slow)
        keeper = self._make_keeper(task, strategy, context, beat)
        loop = Loop(
            strategy=strategy,
            task=task,
            bundle=bundle,
            context=context,
            writer=self._writer,
            clock=clock,
            beat=beat,
            is_leaving=self._leaving,
            keeper=keeper,
        )
        position = resumed.position if resumed else Position()
        start = describe_start(task, context, bundle, strategy, num_steps)
        self._writer.write("run_start", **start, resumed_from_step=position.num_steps)
        if context.rank == 0:
            self._say_messages(bundle, resumed)
        if spec.config.measure_latency and (latency := measure_latency(context, strategy.from_leader)):
            self._writer.write("latency", **latency)
        keeper.begin(position)
        with project_on_path(_own_folder(spec)):
            if resumed is not None:
                _go_on(resumed, loop, strategy, context)
            ending = loop.run()
        if isinstance(clock, SlowClock) and not clock.num_sleeps:
            self._warn(f"slow.phase {clock.phase} never came in this rank's steps: nothing was slowed")
        if ending.reason != "stopped":
            keeper.save_final(self._leaving)
        usage = measure_usage(context.device)
        self._writer.write("run_stop", **vars(ending), snapshot_s=keeper.spent_s, **usage)
        beat.write(DONE, time.monotonic_ns())
        self._wait_for_room()
        return ending.reason

    def _wait_for_room(self) -> None:
        """Give the last lines, which say how it ended, a minute to get into the file where the disk is full."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._writer.settle() and self._writer.no_room and time.monotonic() < deadline_s:
            if self._leaving():
                return
            time.sleep(0.2)

    def close(self) -> None:
        """Leave the process group and close the files."""
        if self._strategy is not None:
            self._strategy.close()
        self._writer.close()

    def _make_keeper(self, task: Task, strategy: Strategy, context: RankContext, beat: Beat) -> Keeper:
        config = task.config
        # Started by hand there is nobody to choose a snapshot later, and those of the run itself are to stay.
        is_by_hand = not self._attempt.attempt.exists()
        return Keeper(
            self._paths,
            strategy,
            context,
            settings=Snapshot(every="never") if is_by_hand else config.snapshot,
            writer=self._writer,
            beat=beat,
            manifest={
                "config": result_of(config),
                "strategy": config.strategy,
                "attempt": int(os.environ.get("DDPTUI_ATTEMPT", "0")),
                "global_batch_size": task.topology.global_batch_size,
                **describe_origin(context),
            },
        )

    def _say_messages(self, bundle: DatasetBundle, resumed: Resumed | None) -> None:
        for text in bundle.messages:
            self._writer.write("message", level="info", text=text)
        for text in sequence(read_json(self._attempt.attempt) or {}, "snapshot_messages"):
            self._warn(str(text))
        if resumed is not None and resumed.warning:
            self._warn(resumed.warning)

    def _warn(self, text: str) -> None:
        self._writer.write("message", level="warning", text=text)


def _go_on(resumed: Resumed, loop: Loop, strategy: Strategy, context: RankContext) -> None:
    """Put everything back to where the snapshot was taken; the random numbers last, since all else may draw some."""
    saved = resumed.saved
    if saved.own is not None:
        loop.rehearse()
    strategy.restore(saved)
    loop.go_on(resumed.position, saved.loader)
    if saved.random is not None:
        set_random_state(saved.random, context.device)


def _enter_context(spec: RunSpec) -> RankContext:
    """Set this process's threads and device; return its place.

    Raises:
        DdptuiError: a GPU is asked for that is not there.
    """
    threads = os.environ.get("DDPTUI_THREADS")
    if threads:
        torch.set_num_threads(int(threads))
    traits = catalog.STRATEGY_TRAITS[spec.config.strategy]
    context = read_context(
        device=spec.config.device, backend=spec.config.backend, num_driver_ranks=traits.num_driver_ranks
    )
    if context.device.type == "cuda":
        num_gpus = torch.cuda.device_count()
        if (context.device.index or 0) >= num_gpus:
            raise DdptuiError(f"rank {context.rank} needs GPU {context.device.index}: torch sees {num_gpus} here")
        torch.cuda.set_device(context.device)
    return context


def _own_folder(spec: RunSpec) -> str:
    """The user's folder where the run uses code of theirs (it may import while it runs), else ""."""
    config = spec.config
    names = (config.model, config.dataset, config.loss, *config.metrics)
    return spec.project_dir if any(is_own(name) for name in names) else ""


def _tell(error: BaseException, attempt: AttemptPaths, rank: int, writer: LineWriter) -> None:
    """Say what happened in the events, in this rank's error file and on stderr."""
    failure = describe_failure(error)
    writer.write("error", **failure)
    record = {**failure, "time_s": time.time()}
    beats = os.environ.get("DDPTUI_BEATS")
    spare = [attempt.spare_error(Path(beats), rank)] if beats else []
    for path in (attempt.error(rank), *spare):  # a full disk must not hide why: beats are in memory
        if not attempt.root.is_dir():
            break  # deleted, and not to rise again
        with contextlib.suppress(OSError):
            write_json(path, record)
            break
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(failure["traceback"])
        sys.stderr.flush()
        sys.stdout.flush()


def _leave(code: int) -> NoReturn:
    """End at once: what torch's libraries tear down at an ordinary exit takes a second and may hang in threads."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
