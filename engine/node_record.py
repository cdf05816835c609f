"""What one node of an attempt says about itself: its ranks as they start and end, and its env and exit files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ddptui.streams import NO_ROOM
from engine.core.events import decode_line
from engine.core.fields import number, text, whole
from engine.core.rootcause import RankExit, root_cause, signal_name
from engine.store import AttemptPaths, read_json, write_json
from engine.tail import Tail

__all__ = ["NodeRecord", "write_patiently"]

_LOG_TAIL_BYTES = 65536
_MAX_LOG_LINES = 200
_PATIENCE_S = 60.0
"""How long an error that is no lack of room is borne: without its exit file a run that succeeded would be lost."""
_RETRY_S = 1.0


def write_patiently(path: Path, value: dict[str, Any], *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Replace ``path``, again and again while there is no room for it; nothing where its folder is gone.

    Args:
        path: of the file.
        value: its content.
        sleep: waits.

    Raises:
        OSError: something else is wrong, and still was a minute later.
    """
    num_tries = 0
    while path.parent.is_dir():
        try:
            write_json(path, value)
        except OSError as error:
            num_tries += 1
            if error.errno not in NO_ROOM and num_tries > _PATIENCE_S / _RETRY_S:
                raise
            sleep(_RETRY_S)
        else:
            return


class NodeRecord:
    """The files of one node.

    Args:
        files: of the attempt.
        node_rank: which node.
        nodes: how many there are.
        world_size: ranks of all nodes.

    Attributes:
        pids: rank -> pid of this node's ranks that were started.
        exits: rank -> how it ended.
    """

    def __init__(self, files: AttemptPaths, *, node_rank: int, nodes: int, world_size: int) -> None:
        self.pids: dict[int, int] = {}
        self.exits: dict[int, RankExit] = {}
        self._files = files
        self._node_rank = node_rank
        self._others = [other for other in range(nodes) if other != node_rank]
        self._world_size = world_size
        self._lines = Tail(files.ranks(node_rank))
        self._log_start = _size(files.node_log(node_rank))

    @property
    def running(self) -> dict[int, int]:
        """The pids of the ranks that were started and have not ended, by rank."""
        return {rank: pid for rank, pid in self.pids.items() if rank not in self.exits}

    @property
    def has_failed_rank(self) -> bool:
        """Whether a rank has ended with anything but success."""
        return any(rank_exit.exit_code != 0 for rank_exit in self.exits.values())

    def read_ranks(self, ended: Iterable[int] = ()) -> None:
        """Read what the agent wrote since the last time.

        Args:
            ended: pids that ddptui itself has sent SIGKILL.
        """
        ours = set(ended)
        for line in self._lines.read():
            event = decode_line(line) or {}
            rank, pid, exit_code = whole(event, "rank"), whole(event, "pid"), whole(event, "exit_code")
            if rank is None or pid is None:
                continue
            if exit_code is None:
                self.pids[rank] = pid
                self.exits.pop(rank, None)
            else:
                self.exits[rank] = RankExit(
                    rank=rank, exit_code=exit_code, time_s=number(event, "time_s") or 0.0, is_ours=pid in ours
                )

    def has_failed_sibling(self) -> bool:
        """Whether another node of the attempt has ended badly: its ranks are gone, so ours wait for nobody."""
        return any(whole(other, "exit_code") != 0 for other in self._other_exits())

    def find_reason(
        self, exit_code: int, *, beats: Path, is_out_of_memory: bool, is_shared_memory_full: bool = False
    ) -> str:
        """Return the root cause in one line, from what all ranks and this node's log say."""
        errors = {rank: error for rank in range(self._world_size) if (error := self._error_of(rank, beats))}
        reason = root_cause(
            errors=errors,
            exits=list(self.exits.values()),
            agent_exit_code=exit_code,
            log=self._log_lines(self._files.node_log(self._node_rank), self._log_start),
            rank_logs={rank: self._log_lines(self._files.err(rank)) for rank in self.exits if rank not in errors},
            is_out_of_memory=is_out_of_memory,
            is_shared_memory_full=is_shared_memory_full,
        )
        if self.exits or errors:
            return reason
        elsewhere = (text(other, "reason") for other in self._other_exits())  # no rank of this node ever ran
        return next((other for other in elsewhere if other), reason)

    def write_exit(
        self,
        exit_code: int | None,
        *,
        reason: str,
        stopped: bool,
        timed_out: bool,
        ranks_left: list[int],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Write the exit file: from then on nothing of this node runs.

        Where there is no room it waits for it; other errors it bears for a minute. Where the folder was deleted there
        is nobody left to tell.

        Args:
            exit_code: torchrun's; negative for a signal; None where it never started.
            reason: one line, "" for success.
            stopped: whether the run was asked to stop and did.
            timed_out: whether ``timeout`` ended it.
            ranks_left: pids that survived.
            sleep: waits.

        Raises:
            OSError: it cannot be written.
        """
        ranks = {
            str(rank): {"exit_code": rank_exit.exit_code, "signal": signal_name(rank_exit.exit_code)}
            for rank, rank_exit in sorted(self.exits.items())
        }
        value = {
            "exit_code": exit_code,
            "ended_s": time.time(),
            "stopped": stopped,
            "timed_out": timed_out,
            "ranks": ranks,
            "reason": reason,
            "ranks_left": ranks_left,
        }
        write_patiently(self._files.exit(self._node_rank), value, sleep=sleep)

    def keep_errors(self, ranks: Iterable[int], beats: Path) -> None:
        """Put errors for which there was no room beside the others; there is some once the exit file is written."""
        for rank in ranks:
            spare = self._files.spare_error(beats, rank)
            error = read_json(spare)
            if error is not None and self._files.root.is_dir():
                with contextlib.suppress(OSError):
                    write_json(self._files.error(rank), error)
            spare.unlink(missing_ok=True)

    def note_error(self, rank: int, name: str, message: str, beats: Path) -> None:
        """Write down what a rank is ended for: it has said so itself, and does not raise it.

        Args:
            rank: which.
            name: of the error.
            message: one line.
            beats: where it goes on a full disk.
        """
        value = {"type": name, "message": message, "is_peer_error": False, "time_s": time.time()}
        for path in (self._files.error(rank), self._files.spare_error(beats, rank)):
            with contextlib.suppress(OSError):
                write_json(path, value)
                return

    def write_env(self, fields: dict[str, Any]) -> None:
        """Write the env file."""
        write_json(self._files.env(self._node_rank), fields)

    def _error_of(self, rank: int, beats: Path) -> dict[str, Any] | None:
        return read_json(self._files.error(rank)) or read_json(self._files.spare_error(beats, rank))

    def _other_exits(self) -> list[dict[str, Any]]:
        found = (read_json(self._files.exit(other)) for other in self._others)
        return [other for other in found if other is not None]

    def _log_lines(self, path: Path, start: int = 0) -> list[str]:
        try:
            with path.open("rb") as file:
                file.seek(max(start, _size(path) - _LOG_TAIL_BYTES))
                return file.read().decode(errors="replace").splitlines()[-_MAX_LOG_LINES:]
        except OSError:
            return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
