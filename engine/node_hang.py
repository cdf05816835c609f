"""What a node runner does about a hang: it watches its ranks, says when they are silent, and looks at them when asked.

Whether the run hangs, and what follows, is for the supervisor to decide: other nodes may go on.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from engine.core.errors import DdptuiError
from engine.core.fields import text, whole
from engine.core.hang_rule import HangRule, HangWatch, Silence
from engine.life_signs import Signs
from engine.node_record import NodeRecord
from engine.rank_stacks import Stack, look_at, take_stacks
from engine.store import AttemptPaths, ResultsPaths, read_json, write_json
from engine.wake import ensure_supervisor, results_of

__all__ = ["NodeHang"]

_PATIENCE_S = 5.0
"""So often it is seen to that a supervisor lives who decides what follows."""


class NodeHang:
    """The watch over the ranks of one node.

    Args:
        files: of the attempt.
        node_rank: which node.
        signs: of life of the ranks.
        ranks: of this node.
        rule: of the run.
        first_step: that this attempt begins with.

    Attributes:
        end_reason: why the supervisor wants the attempt ended; "" while it does not.
    """

    def __init__(
        self,
        files: AttemptPaths,
        node_rank: int,
        *,
        signs: Signs,
        ranks: list[int],
        rule: HangRule,
        first_step: int,
    ) -> None:
        self.end_reason = ""
        self._files = files
        self._node_rank = node_rank
        self._signs = signs
        self._ranks = ranks
        self._watch = HangWatch(rule, first_step)
        self._claim: dict[str, Any] | None = None
        self._claimed_s = 0.0
        self._answered: int | None = None

    def look(self, now_s: float, record: NodeRecord, agent_pid: int) -> None:
        """Look at the ranks, and at what the supervisor wants.

        Args:
            now_s: monotonic seconds.
            record: knows who they are.
            agent_pid: of torchrun.
        """
        self._signs.look(now_s)
        # Of ranks that have all ended torchrun should take note: it is watched, too.
        known = [rank for rank in self._signs.places if rank not in record.exits]
        places = {rank: self._signs.whereabouts(rank, is_over=not known) for rank in known or list(self._signs.places)}
        silence = self._watch.look(now_s, places, self._signs.times_s)
        self._say(silence, now_s)
        order = _read_order(self._files.hang_order)
        wanted = whole(order, "collect")
        if wanted is not None and wanted != self._answered:
            self._answered = wanted
            self._collect(wanted, now_s, record, agent_pid)
        self.end_reason = text(order, "end") or ""

    def _say(self, silence: Silence | None, now_s: float) -> None:
        """Write down that the ranks are silent, or take it back; a full disk is tried again with the next look."""
        if silence is None:
            if self._claim is not None:
                with contextlib.suppress(OSError):
                    self._files.hang(self._node_rank).unlink(missing_ok=True)
                self._claim = None
            return
        if self._claim is None:
            self._claim, self._claimed_s = {"since_s": time.time(), **vars(silence)}, now_s
        if not self._files.hang(self._node_rank).exists():
            with contextlib.suppress(OSError):
                write_json(self._files.hang(self._node_rank), self._claim)
        if now_s - self._claimed_s >= _PATIENCE_S:
            self._claimed_s = now_s
            _wake_supervisor(self._files)

    def _collect(self, order: int, now_s: float, record: NodeRecord, agent_pid: int) -> None:
        alive = {rank: pid for rank, pid in record.running.items() if rank in self._ranks}
        looks = {rank: look_at(pid) for rank, pid in alive.items()}  # before anything is asked of them
        stacks = take_stacks(alive, {rank: self._files.stack(rank) for rank in alive})
        ranks: dict[str, Any] = {}
        for rank in self._ranks:
            place, rank_exit, look = self._signs.places.get(rank), record.exits.get(rank), looks.get(rank)
            stack = stacks.get(rank, Stack())
            ranks[str(rank)] = {
                "pid": record.pids.get(rank),
                "step": None if place is None else place.step,
                "phase": None if place is None else place.phase,
                "quiet_s": None if place is None else max(now_s - place.mono_s, 0.0),
                "state": "gone" if look is None else look.state,
                "wchan": "" if look is None else look.wchan,
                "exit_code": None if rank_exit is None else rank_exit.exit_code,
                "stack": stack.text,
                "stack_from": stack.source,
                "stack_note": stack.note,
            }
        part = {
            "order": order,
            "node_rank": self._node_rank,
            "host": os.uname().nodename,
            "time_s": time.time(),
            "agent": {"pid": agent_pid, "state": look_at(agent_pid).state},
            "ranks": ranks,
        }
        with contextlib.suppress(OSError):  # a full disk: the supervisor goes on without this part after a while
            write_json(self._files.node_dossier(self._node_rank), part)


def _read_order(path: Path) -> dict[str, Any]:
    """What the supervisor wants; another user's file is nobody's order."""
    try:
        if path.stat().st_uid != os.getuid():
            return {}
    except OSError:
        return {}
    return read_json(path) or {}


def _wake_supervisor(files: AttemptPaths) -> None:
    """Start a supervisor where ours is dead; a run that was started by hand has none to wake."""
    results = results_of(files.root.parent.parent)
    if ResultsPaths(results).lock.exists():
        with contextlib.suppress(DdptuiError, OSError):
            ensure_supervisor(results)
