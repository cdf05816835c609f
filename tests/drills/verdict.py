"""What must hold once a disturbed run has ended: no torn file, true states, and the result of the undisturbed run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from engine.core.events import decode_line
from engine.core.fields import whole_or
from engine.core.snapshot_rule import parse_rule
from engine.core.state import RunState
from engine.snapshots import list_snapshots, verify
from engine.store import read_json
from tests.drills.cases import NUM_STEPS
from tests.drills.reference import Reference, losses_of
from tests.drills.scene import Scene, ddptui

__all__ = ["find_faults"]

MAY_TEAR = ("garbage event line", "truncated event file", "full tmpfs")
"""Kinds after which event lines may be missing or garbage: that is the fault itself."""


def find_faults(scene: Scene, reference: Reference, kind: str) -> list[str]:
    """Return what is wrong, one line each; empty where all is well."""
    problems = [*_states(scene)]
    if scene.view().state is not RunState.SUCCEEDED:
        return [*problems, *_files(scene, kind)]
    return [*problems, *_files(scene, kind), *_result(scene, reference, kind), *_figures(scene, kind)]


def _states(scene: Scene) -> Iterator[str]:
    view = scene.view()
    status = read_json(scene.paths.status) or {}
    if view.state is not RunState.SUCCEEDED:
        yield f"it ended {view.state}: {view.reason}"
    if status.get("state") != view.state:
        yield f"status.json says {status.get('state')}, a listing {view.state}"
    listed = ddptui(scene, ["ls", "--json"])
    states = [run.get("state") for run in json.loads(listed.stdout)] if listed.returncode == 0 else [listed.stderr]
    if states != [view.state]:
        yield f"ls says {states}"
    queue = read_json(scene.results.queue) or {}
    if any(queue.get(name) for name in ("active", "waiting")):
        yield f"queue.json still holds {queue}"
    if read_json(scene.results.lock):
        yield "the lock names a supervisor that has gone"
    for attempt in scene.paths.attempts():
        told = read_json(attempt.attempt) or {}
        if told.get("ended_s") is None and scene.paths.attempts()[-1] == attempt:
            yield f"attempt {attempt.number} has no end"
        if attempt.beats.exists():
            yield f"attempt {attempt.number}: {attempt.beats} is left"
    log = scene.results.supervisor_log.read_text(errors="replace")
    if "Traceback" in log:
        yield f"the supervisor's log has a traceback: {log.strip().splitlines()[-1]}"


def _files(scene: Scene, kind: str) -> Iterator[str]:
    """Halves of files, JSON that does not parse, event lines that are none, snapshots that are not what was written."""
    for path in sorted(scene.root.rglob("*")):
        if path.is_file():
            yield from _file(path, kind)
    for info in list_snapshots(scene.paths):
        wrong = verify(info)
        if wrong and kind != "corrupt snapshot":
            yield f"snapshot {info.num_steps}: {wrong}"
    if scene.view().state is RunState.SUCCEEDED and scene.paths.snapshots.exists():
        names = sorted(path.name for path in scene.paths.snapshots.iterdir())
        yield f"snapshots of a run that is through: {names}"


def _file(path: Path, kind: str) -> Iterator[str]:
    if path.name.startswith("."):
        yield f"a half of a file is left: {path.name}"
    elif path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            if not ("snapshots" in path.parts and kind == "corrupt snapshot"):
                yield f"{path.name} is torn: {error}"
    elif path.suffix == ".jsonl" and kind not in MAY_TEAR:
        content = path.read_bytes()
        lines = content.split(b"\n")
        torn = [line for line in lines if line and decode_line(line) is None]
        if torn:
            yield f"{path.name} holds {len(torn)} lines that are none: {torn[0][:60]!r}"


def _result(scene: Scene, reference: Reference, kind: str) -> Iterator[str]:
    if not scene.paths.model_final.exists():
        yield "there is no model_final.pt"
    elif scene.paths.model_final.read_bytes() != reference.model:
        yield "the final weights are not those of the undisturbed run"
    losses = losses_of(scene.paths)
    for key, said in losses.items():
        expected = reference.losses.get(key)
        if expected is None or any(a != b for a, b in zip(said, expected, strict=True) if None not in (a, b)):
            yield f"the loss of {key} is {said}, undisturbed {expected}"
            return
    if kind not in MAY_TEAR and not any(key.endswith(f"/{NUM_STEPS - 1}") for key in losses):
        yield "no line of the last step"
    evaluations = {key for key in reference.losses if "eval" in key} - losses.keys()
    if kind not in MAY_TEAR and evaluations:
        yield f"no line of the evaluations {sorted(evaluations)}"


def _figures(scene: Scene, kind: str) -> Iterator[str]:
    summary = read_json(scene.paths.summary)
    if summary is None:
        yield "there is no summary.json"
        return
    if summary.get("state") != "succeeded":
        yield f"summary.json says {summary.get('state')}"
    if summary.get("attempts") != len(scene.paths.attempts()):
        yield f"summary.json says {summary.get('attempts')} attempts of {len(scene.paths.attempts())}"
    if kind not in MAY_TEAR and summary.get("num_steps") != NUM_STEPS:
        yield f"summary.json says {summary.get('num_steps')} steps"
    every = parse_rule(str(scene.spec.config.snapshot.every)).steps or NUM_STEPS // 3
    for attempt in scene.paths.attempts():
        told = read_json(attempt.attempt) or {}
        begun_at = whole_or(told, "resumed_from_step", 0)
        reason = _reason(scene, attempt.number - 1)
        is_told = "told to stop" in reason or "stopped by" in reason  # then one was taken at once
        if begun_at % every and not is_told and begun_at < NUM_STEPS:
            yield f"attempt {attempt.number} went on from step {begun_at}, snapshots were due every {every}"


def _reason(scene: Scene, number: int) -> str:
    """Why an attempt ended; "" where there is no such attempt."""
    ended = (read_json(scene.paths.attempt(number).attempt) or {}).get("exit")
    return str(ended.get("reason") or "") if isinstance(ended, dict) else ""
