"""The undisturbed run of each strategy: what a disturbed one must end with, and how long each part of a life is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import engine
from engine.store import RunPaths, write_json
from engine.tail import attempts_that_count, read_events
from tests.drills.cases import NUM_STEPS, STRATEGIES, make_toml
from tests.drills.life import Life
from tests.drills.moments import record_life
from tests.drills.scene import Scene

__all__ = ["Reference", "losses_of", "reference_of"]

_EVERY_STEP_S = 0.3
"""Steps that take so long get a line each."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Of one strategy.

    Attributes:
        model: the bytes of its ``model_final.pt``.
        losses: ``rank/step`` -> loss, min, max and last of its line; ``rank/eval/epoch`` -> what the evaluation gave.
        timeline: phase -> seconds.
    """

    model: bytes
    losses: Mapping[str, Any]
    timeline: Mapping[str, float]


def reference_of(strategy: str, folder: Path) -> Reference:
    """Return the reference of a strategy, trained where it is not there yet.

    Args:
        strategy: which.
        folder: of the drill; the reference is kept in it until the engine's code is another.
    """
    kept = folder / "reference" / f"{strategy}-{_digest()}"
    if not (kept / "reference.json").exists():
        kept.mkdir(parents=True, exist_ok=True)
        _train(strategy, folder / "work" / f"reference-{strategy}-{os.getpid()}", kept)
    value = json.loads((kept / "reference.json").read_text())
    return Reference(model=(kept / "model_final.pt").read_bytes(), losses=value["losses"], timeline=value["timeline"])


def _train(strategy: str, work: Path, kept: Path) -> None:
    slow, _ = _run(work, make_toml(strategy, every="never", delay_s=_EVERY_STEP_S))
    losses = losses_of(slow.paths)
    steps = {key.partition("/")[2] for key in losses if "eval" not in key}  # a pipeline's loss is its last stage's
    assert len(steps) == NUM_STEPS or strategy == "rpc_pipeline", f"{strategy}: lines of {len(steps)} steps"
    shutil.copy(slow.paths.model_final, kept / "model_final.pt")
    slow.close(keep=False)
    usual, timeline = _run(work, make_toml(strategy))
    same = usual.paths.model_final.read_bytes() == (kept / "model_final.pt").read_bytes()
    assert same, f"{strategy}: two undisturbed runs end with different weights"
    usual.close(keep=False)
    write_json(kept / "reference.json", {"losses": losses, "timeline": timeline})


def _run(folder: Path, toml: str) -> tuple[Scene, dict[str, float]]:
    scene = Scene(folder, toml)
    scene.enqueue()
    timeline = record_life(Life(scene.paths, scene.world_size), lambda: not scene.is_supervised())
    while scene.processes():
        time.sleep(0.1)
    state = scene.view().state
    assert state == "succeeded", f"an undisturbed run {state}: {scene.view().reason} ({scene.folder})"
    return scene, timeline


def losses_of(paths: RunPaths) -> dict[str, Any]:
    """Return what the lines of the attempts that count say of losses, a later attempt over an earlier one."""
    found: dict[str, Any] = {}
    for attempt in attempts_that_count(paths):
        begun_at = (json.loads(attempt.attempt.read_bytes())).get("resumed_from_step") or 0
        for path in sorted((attempt.root / "events").glob("rank*.jsonl")):
            rank = path.stem.removeprefix("rank")
            found = {key: value for key, value in found.items() if not _is_superseded(key, rank, begun_at)}
            found |= _losses_in(path, rank)
    return found


def _losses_in(path: Path, rank: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in read_events(path):
        if event is None or event.get("rank") != int(rank) or not isinstance(event.get("loss"), float):
            continue
        if event["kind"] == "step":
            is_one = event.get("num_steps") == 1
            found[f"{rank}/{event['step']}"] = [event["loss_last"], event.get("correct") if is_one else None]
        elif event["kind"] == "eval":
            found[f"{rank}/eval/{event['epoch']}"] = [event["loss"], event["accuracy"], event["samples"]]
    return found


def _is_superseded(key: str, rank: str, begun_at: int) -> bool:
    own, _, step = key.partition("/")
    return own == rank and step.isdecimal() and int(step) >= begun_at


def _digest() -> str:
    """Of the code that decides what is trained."""
    sources = sorted(Path(engine.__path__[0]).rglob("*.py"))
    whole = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + make_toml("single").encode())
    return whole.hexdigest()[:10]


def all_references(folder: Path) -> dict[str, Reference]:
    """Return the references of all strategies."""
    return {strategy: reference_of(strategy, folder) for strategy in STRATEGIES}
