"""What moves between the ranks of the RPC pipeline: messages with a key, put into the receiver's inbox.

A message is one ``rpc_async`` call of a tiny handler that stores the value and wakes the receiver; nobody waits for the
answer, so a send costs its caller only the packing. Tensors travel through host memory and must not be written to
after they were sent.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.distributed import rpc

from engine.core.errors import DdptuiError

__all__ = ["Inbox", "Key", "PeerFailedError", "Wire", "quiet_rpc", "stage_name"]

DRIVER = "driver"
RPC_TIMEOUT_S = 1800.0
"""A slow stage is no error: a dead one is ended by torchrun, which ends the others."""
GRACE_S = 60.0
"""How long ``close`` waits for the other ranks, one of which may still be writing the model."""
FAREWELL_S = 2.0


class PeerFailedError(RuntimeError):
    """Another rank failed first: the cause is to be found there. The message says who and why."""


class Key(NamedTuple):
    """What a message is about: number of the collective call, kind of message, micro-batch or batch."""

    call: int
    kind: str
    number: int = 0


class Inbox:
    """Messages that arrived and were not taken yet; safe between threads, waits without polling."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._values: dict[Key, Any] = {}
        self._failure: BaseException | None = None

    def put(self, key: Key, value: Any) -> None:
        """Store ``value`` and wake whoever waits."""
        with self._arrived:
            self._values[key] = value
            self._arrived.notify_all()

    def fail(self, error: BaseException) -> None:
        """Make every present and later ``take`` raise ``error``; the first error stays."""
        with self._arrived:
            self._failure = self._failure or error
            self._arrived.notify_all()

    def holds(self, key: Key) -> bool:
        """Whether ``take`` would return at once."""
        with self._arrived:
            return key in self._values or self._failure is not None

    def take(self, key: Key) -> Any:
        """Wait for the message of ``key`` and return its value.

        Raises:
            PeerFailedError: another rank failed; or the error that a handler of this rank met.
        """
        with self._arrived:
            while key not in self._values and self._failure is None:
                self._arrived.wait()
            if self._failure is not None:
                raise self._failure
            return self._values.pop(key)


_inbox = Inbox()  # of this process: handlers are found by their name, so their inbox must be too


def _receive(key: Key, value: Any) -> None:
    _inbox.put(key, value)


def _receive_failure(name: str, reason: str) -> None:
    _inbox.fail(PeerFailedError(f"remote worker {name} failed first: {reason}"))


def stage_name(stage: int) -> str:
    """The RPC name of a stage."""
    return f"stage{stage}"


@contextlib.contextmanager
def quiet_rpc() -> Iterator[None]:
    """Hide the two warnings by which torch's RPC code reports its own age."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*You are using a Backend.*")
        warnings.filterwarnings("ignore", message=".*TorchScript support for functional optimizers.*")
        warnings.filterwarnings("ignore", message=".*torch.jit.* is deprecated.*")
        yield


class Wire:
    """This rank's end of the connections among driver (rank 0) and stages (rank s + 1)."""

    def __init__(self, rank: int, world_size: int) -> None:
        self._rank = rank
        self._names = [DRIVER, *(stage_name(stage) for stage in range(world_size - 1))]
        self._peers: list[Any] = []
        self._unanswered: deque[Any] = deque()
        self._is_open = False
        self.inbox = _inbox

    @property
    def name(self) -> str:
        """The RPC name of this rank."""
        return self._names[self._rank]

    def open(self, num_threads: int) -> None:
        """Connect all ranks by the rendezvous of the environment (``env://``).

        Args:
            num_threads: of the RPC handlers; one alone deadlocks where a handler waits.

        Raises:
            DdptuiError: this torch was built without RPC.
        """
        global _inbox
        if not rpc.is_available():
            raise DdptuiError("strategy rpc_pipeline needs torch.distributed.rpc, which this build of torch lacks")
        _inbox = self.inbox = Inbox()
        options = rpc.TensorPipeRpcBackendOptions(
            num_worker_threads=num_threads,
            rpc_timeout=RPC_TIMEOUT_S,
            init_method="env://",
            _transports=["uv"],  # the default ones poll: 72 % of a core while idle
            _channels=["basic"],
        )
        with quiet_rpc():
            rpc.init_rpc(self.name, rank=self._rank, world_size=len(self._names), rpc_backend_options=options)
        self._peers = [rpc.get_worker_info(name) for name in self._names]
        self._is_open = True

    def send(self, rank: int, key: Key, value: Any) -> None:
        """Send ``value`` to another rank's inbox without waiting for its arrival.

        Raises:
            RuntimeError: an earlier message could not be delivered.
        """
        while self._unanswered and self._unanswered[0].done():
            self._unanswered.popleft().wait()
        self._unanswered.append(rpc.rpc_async(self._peers[rank], _receive, args=(key, value)))

    def send_all_stages(self, key: Key, value: Any) -> None:
        """Send ``value`` to every stage."""
        for rank in range(1, len(self._names)):
            self.send(rank, key, value)

    def tell_failure(self, reason: str) -> None:
        """Wake all other ranks with the reason why this one cannot go on; never raises."""
        if not self._is_open:
            return
        with contextlib.suppress(RuntimeError):
            others = [name for name in self._names if name != self.name]
            told = [
                rpc.rpc_async(name, _receive_failure, args=(self.name, reason), timeout=FAREWELL_S) for name in others
            ]
            for answer in told:
                with contextlib.suppress(RuntimeError):
                    answer.wait()

    def close(self, *, is_clean: bool) -> None:
        """Leave: together with the others where all went well, at once where not. Bounded, never raises."""
        if not self._is_open:
            return
        self._is_open = False
        leaving = threading.Thread(target=_shut_down, args=(is_clean,), daemon=True)
        leaving.start()
        leaving.join(GRACE_S + 2 * FAREWELL_S)


def _shut_down(is_clean: bool) -> None:
    with contextlib.suppress(RuntimeError), quiet_rpc(), torch.no_grad():
        rpc.shutdown(graceful=is_clean, timeout=int(GRACE_S))
