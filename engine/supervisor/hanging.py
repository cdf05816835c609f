"""What the supervisor does about an attempt that hangs: have every rank looked at, judge, then end it or wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from engine.core.dossier import describe_dossier, make_dossier
from engine.core.fields import mapping, text, whole
from engine.store import AttemptPaths, RunPaths, read_json, write_whole

__all__ = ["HangDesk"]

COLLECT_S = 12.0
"""A node runner answers within six seconds; one that is stuck itself is not waited for."""
END_S = 20.0
"""A node runner that was told to end the attempt needs less."""


class HangDesk:
    """Watches the claims of the node runners of one attempt.

    All that run must be silent: as long as one node's ranks go on, the others only wait for them.

    Args:
        paths: the run's folder.
        attempt: the attempt's.
        nodes: how many node runners it has.
        put: writes a JSON file, now or later.

    Attributes:
        reason: what holds the run up, as one line; "" while it moves or nothing was found yet.
    """

    def __init__(
        self, paths: RunPaths, attempt: AttemptPaths, *, nodes: int, put: Callable[[Path, dict[str, Any]], object]
    ) -> None:
        self.reason = ""
        self._attempt = attempt
        self._nodes = nodes
        self._put = put
        config = mapping(read_json(paths.run) or {}, "config")
        self._settings = {
            "run": f"{paths.root.parent.parent.name}/{paths.run_id}",
            "attempt": attempt.number,
            "on_hang": text(config, "on_hang") or "end",
            "hang_after": config.get("hang_after", "auto"),
        }
        self._order: dict[str, Any] = {}
        self._since_s: float | None = None
        self._asked: int | None = None
        self._asked_s = 0.0
        self._go_on_with(read_json(attempt.hang_order) or {})

    def look(self, living: Collection[int], now_s: float) -> None:
        """See whether the run hangs, and take the next step.

        Args:
            living: node ranks that have not ended.
            now_s: Unix seconds.
        """
        if self._since_s is None and self._order:
            self._since_s = now_s
        if "end" in self._order:
            return
        if self._asked is not None:
            self._answer(self._asked, set(living), now_s)
            return
        claims = {node_rank: read_json(self._attempt.hang(node_rank)) for node_rank in living}
        if not claims or any(claim is None for claim in claims.values()):
            self._forget()
        elif not self._order:
            self._give_order({"collect": int(now_s * 1000)}, now_s)
        elif not self.reason:
            self._collect([claim for claim in claims.values() if claim is not None], set(living), now_s)

    def ask(self, now_s: float) -> int | None:
        """Have the ranks looked at without ending anything; the answer goes to the attempt's ``stacks``.

        Returns:
            The number that the answer will carry; None where the attempt is being ended.
        """
        if "end" in self._order:
            return None
        if self._asked is None:
            self._asked, self._asked_s = int(now_s * 1000), now_s
            self._put(self._attempt.hang_order, {"collect": self._asked})
        return self._asked

    def must_force(self, now_s: float) -> bool:
        """Whether the node runners were told to end the attempt and have not done so in time."""
        return "end" in self._order and self._since_s is not None and now_s >= self._since_s + END_S

    def _go_on_with(self, order: dict[str, Any]) -> None:
        """Take up what a supervisor that is gone has begun."""
        dossier = read_json(self._attempt.dossier) or {}
        if whole(order, "collect") is None or whole(dossier, "order") != whole(order, "collect"):
            return
        self._order = order
        self.reason = text(order, "end") or text(dossier, "reason") or ""

    def _collect(self, claims: list[dict[str, Any]], living: set[int], now_s: float) -> None:
        order = whole(self._order, "collect")
        is_late = self._since_s is not None and now_s >= self._since_s + COLLECT_S
        dossier = self._put_together(order, claims, living, now_s, is_late=is_late)
        if dossier is None:
            return
        self._put(self._attempt.dossier, dossier)
        with contextlib.suppress(OSError):  # a full disk: the JSON file says the same, and is tried again
            write_whole(self._attempt.dossier_text, "\n".join([*describe_dossier(dossier), ""]).encode())
        self.reason = dossier["reason"]
        if self._settings["on_hang"] == "end":
            self._give_order({"collect": order, "end": self.reason}, now_s)

    def _answer(self, order: int, living: set[int], now_s: float) -> None:
        dossier = self._put_together(order, [], living, now_s, is_late=now_s >= self._asked_s + COLLECT_S)
        if dossier is None:
            return
        self._put(self._attempt.stacks, dossier)
        self._asked = None
        if not self._order:
            with contextlib.suppress(OSError):
                self._attempt.hang_order.unlink(missing_ok=True)

    def _put_together(
        self, order: int | None, claims: list[dict[str, Any]], living: set[int], now_s: float, *, is_late: bool
    ) -> dict[str, Any] | None:
        """What the nodes have seen; None while one that may still answer has not."""
        found = {node_rank: read_json(self._attempt.node_dossier(node_rank)) or {} for node_rank in living}
        parts = {node_rank: part for node_rank, part in found.items() if whole(part, "order") == order}
        if len(parts) < len(living) and not is_late:
            return None
        ended = {node_rank: read_json(self._attempt.exit(node_rank)) or {} for node_rank in range(self._nodes)}
        return make_dossier(
            parts,
            claims=claims,
            exits={node_rank: ended[node_rank] for node_rank in ended.keys() - living},
            missing=sorted(living - parts.keys()),
            order=order,
            time_s=now_s,
            **self._settings,
        )

    def _give_order(self, order: dict[str, Any], now_s: float) -> None:
        self._order, self._since_s = order, now_s
        self._put(self._attempt.hang_order, order)

    def _forget(self) -> None:
        """It moves (again)."""
        if self._order:
            with contextlib.suppress(OSError):
                self._attempt.hang_order.unlink(missing_ok=True)
        self._order, self._since_s, self.reason = {}, None, ""
