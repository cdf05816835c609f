"""torchrun's rendezvous backend ``ddptui``: a store that listens on 127.0.0.1 and nowhere else.

``torchrun --standalone`` and ``--rdzv-backend=c10d`` open stores without authentication on every interface, and
unpickle what they read from one of them; naming an address does not help, since TCPStore ignores it when it binds.
Here the socket is bound first and handed to the store. Every rendezvous gets a fresh store and port: ranks that find
the keys of an earlier attempt dial sockets that are dead.

Several agents on this machine share one store: ``--rdzv-conf=node_rank=<k>,file=<path, percent-encoded>``. Node 0 binds
and writes the endpoint into the file (by rename), the others wait for it. Further keys: ``timeout`` (s, of the store's
operations) and ``join_timeout`` (s, until node 0 must have written the file).

torch loads this module through the entry-point group ``torchrun.handlers``; nothing else imports it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import unquote

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public, but not in its __all__
from torch.distributed.elastic.rendezvous import (
    RendezvousConnectionError,
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    RendezvousTimeoutError,
)

__all__ = ["LoopbackRendezvous", "make_handler"]

_HOST = "127.0.0.1"
_POLL_S = 0.05


class LoopbackRendezvous(RendezvousHandler):
    """Agents of one machine, each started with the same number of nodes and its own rank.

    Args:
        run_id: torchrun's ``--rdzv-id``.
        nodes: how many agents.
        node_rank: which one this is.
        file: where node 0 writes the endpoint; "" for a single node.
        timeout_s: of the store's operations.
        join_timeout_s: how long node 0 may take to write the file.
    """

    def __init__(
        self, run_id: str, *, nodes: int, node_rank: int, file: str, timeout_s: float, join_timeout_s: float
    ) -> None:
        if not 0 <= node_rank < nodes:
            raise ValueError(f"node_rank {node_rank} does not exist: there are {nodes} nodes")
        if nodes > 1 and not file:
            raise ValueError("several nodes need --rdzv-conf=node_rank=<k>,file=<path>")
        self._run_id = run_id
        self._nodes = nodes
        self._node_rank = node_rank
        self._file = file
        self._timeout = timedelta(seconds=timeout_s)
        self._join_timeout_s = join_timeout_s
        self._round = 0
        self._is_closed = False
        self._store: TCPStore | None = None

    def get_backend(self) -> str:
        """The name of this backend."""
        return "ddptui"

    @property
    def use_agent_store(self) -> bool:
        """The ranks join the agent's store instead of opening one of their own on every interface."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        """Open the store (node 0) or join it.

        Raises:
            RendezvousTimeoutError: node 0 did not say in time where its store listens.
        """
        self._round += 1
        self._store, port = self._open() if self._node_rank == 0 else self._join()
        return RendezvousInfo(
            PrefixStore(f"{self._run_id}/{self._round}", self._store),
            self._node_rank,
            self._nodes,
            RendezvousStoreInfo(_HOST, port),
        )

    def is_closed(self) -> bool:
        """Whether the job has ended."""
        return self._is_closed

    def set_closed(self) -> None:
        """Remember that the job has ended."""
        self._is_closed = True

    def num_nodes_waiting(self) -> int:
        """Nobody joins later: the number of nodes is fixed."""
        return 0

    def get_run_id(self) -> str:
        """What torchrun was given as ``--rdzv-id``."""
        return self._run_id

    def shutdown(self) -> bool:
        """Close; the store lives as long as the agent, whose ranks may still be reading."""
        self._is_closed = True
        return True

    def _open(self) -> tuple[TCPStore, int]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((_HOST, 0))
        listener.listen(512)
        port = int(listener.getsockname()[1])
        store = TCPStore(
            _HOST, port, None, True, self._timeout, wait_for_workers=False, master_listen_fd=listener.detach()
        )
        if self._file:
            self._announce(port)
        return store, port

    def _announce(self, port: int) -> None:
        temporary = f"{self._file}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"run_id": self._run_id, "round": self._round, "host": _HOST, "port": port}, file)
        os.replace(temporary, self._file)

    def _join(self) -> tuple[TCPStore, int]:
        deadline = time.monotonic() + self._join_timeout_s
        while time.monotonic() < deadline:
            port = self._announced_port()
            if port is not None and _is_listening(port):
                return TCPStore(_HOST, port, None, False, self._timeout, wait_for_workers=False), port
            time.sleep(_POLL_S)
        raise RendezvousTimeoutError(
            f"node {self._node_rank}: node 0 did not open its store within {self._join_timeout_s:g} s "
            f"(it writes the endpoint into {self._file})"
        )

    def _announced_port(self) -> int | None:
        try:
            with open(self._file, encoding="utf-8") as file:
                endpoint = json.load(file)
        except (OSError, ValueError):
            return None
        if endpoint.get("run_id") != self._run_id or endpoint.get("round") != self._round:
            return None  # left by an earlier job or attempt
        if endpoint.get("host") != _HOST:
            raise RendezvousConnectionError(f"node 0 listens on {endpoint.get('host')}; only {_HOST} is joined")
        return int(endpoint["port"])


def _is_listening(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


def make_handler() -> Callable[[RendezvousParameters], RendezvousHandler]:
    """Return what makes the handler; torch calls this once for every entry point of the group."""
    return _create


def _create(parameters: RendezvousParameters) -> RendezvousHandler:
    return LoopbackRendezvous(
        parameters.run_id,
        nodes=parameters.max_nodes,
        node_rank=parameters.get_as_int("node_rank", 0) or 0,
        file=unquote(parameters.get("file", "")),
        timeout_s=float(parameters.get("timeout", 600)),
        join_timeout_s=float(parameters.get("join_timeout", 300)),
    )
