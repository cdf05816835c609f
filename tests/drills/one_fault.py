"""One fault from its plan to its entry in the ledger."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.core.fields import whole_or
from engine.store import read_json
from tests.drills.cases import make_toml
from tests.drills.injections import inject
from tests.drills.kinds import KINDS, PHASES, Kind
from tests.drills.ledger import NOBODY
from tests.drills.life import Life
from tests.drills.moments import wait_for_moment
from tests.drills.plans import FaultPlan
from tests.drills.reference import Reference
from tests.drills.scene import Scene
from tests.drills.settling import Settled, settle
from tests.drills.verdict import find_faults

__all__ = ["do_fault"]

_HANG = 'hang_after = 8.0\non_hang = "end"\n'
_CLIENT_S = 120.0


def do_fault(plan: FaultPlan, reference: Reference, folder: Path, *, is_kept: bool = False) -> dict[str, Any]:
    """Do one fault and look at what comes of it; return its entry in the ledger.

    Args:
        plan: which.
        reference: of its strategy.
        folder: of the drill; the run's own folder in it stays where something was wrong.
        is_kept: keep it in any case.
    """
    begun_s = time.monotonic()
    kind = KINDS[plan.kind]
    more = _HANG if kind.needs == "hang detection" else ""
    scene = Scene(
        folder / "work" / plan.key,
        make_toml(plan.strategy, every=plan.every, more=more),
        on_tmpfs=kind.needs == "tmpfs",
        has_clock=plan.kind.startswith("clock"),
    )
    entry: dict[str, Any] = {**plan.to_json(), "hit": "", "done": "", "is_equal": False}
    settled = Settled()
    try:
        _disturb(plan, reference, scene, entry)
        settled = settle(scene, attaches=random.Random(plan.draw).random() < 0.5)
        settled.problems += find_faults(scene, reference, plan.kind)
        settled.problems += _unexpected(scene, kind, settled, entry["hit"])
        entry["is_equal"] = _is_equal(scene, reference)
    except Exception:  # noqa: BLE001 - the harness itself: an entry like any other, to be looked at
        settled.problems.append(f"the drill itself: {traceback.format_exc()[-600:]}")
    entry |= {
        "help": settled.help,
        "problems": settled.problems,
        "strays_s": round(settled.strays_s, 2),
        "attempts": len(scene.paths.attempts()),
        "resumed_from": [whole_or(read_json(a.attempt) or {}, "resumed_from_step", 0) for a in scene.paths.attempts()],
        "reasons": [((read_json(a.attempt) or {}).get("exit") or {}).get("reason") for a in scene.paths.attempts()],
        "wall_s": round(time.monotonic() - begun_s, 1),
    }
    scene.close(keep=bool(settled.problems) or is_kept)
    return entry


def _disturb(plan: FaultPlan, reference: Reference, scene: Scene, entry: dict[str, Any]) -> None:
    """Start the run and do the fault at its moment."""
    life = Life(scene.paths, scene.world_size)
    client = KINDS[plan.kind].client
    if client:
        scene.open_client(has_screen=client == "screen")
        deadline = time.monotonic() + _CLIENT_S
        while not scene.results.control.exists() and time.monotonic() < deadline:
            time.sleep(0.005)  # its check of the plan comes first, which is no part of the run's life
    else:
        scene.enqueue()
    wait_for_moment(plan, life, reference.timeline, lambda: scene.view().status != {} and not scene.is_supervised())
    entry["hit"] = life.see()
    entry["step"] = life.step()
    entry["done"] = inject(plan.kind, scene, life, plan.draw) or NOBODY


def _unexpected(scene: Scene, kind: Kind, settled: Settled, hit: str) -> Iterator[str]:
    """What the kind of the fault does not excuse."""
    num_attempts = len(scene.paths.attempts())
    is_wish_lost = bool(kind.client) and settled.help == ["run"] and hit == "supervisor start"
    if settled.help and not kind.may_need_help and not is_wish_lost:
        yield f"it did not recover by itself: {' '.join(settled.help)}"
    if kind.is_harmless and num_attempts > 1 and hit in PHASES[2:]:
        yield f"there were {num_attempts} attempts, though nothing of the run was touched"
    if kind.name.startswith("SIGHUP") and scene.screen is not None and scene.screen.wait(5.0) is None:
        yield "the program goes on without its terminal"


def _is_equal(scene: Scene, reference: Reference) -> bool:
    return scene.paths.model_final.exists() and scene.paths.model_final.read_bytes() == reference.model
