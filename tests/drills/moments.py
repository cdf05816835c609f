"""Waiting for the moment of a fault, and how long the parts of an undisturbed life are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from tests.drills.cases import NUM_STEPS
from tests.drills.kinds import KINDS, PHASES
from tests.drills.life import FAST_S, SLOW_S, Life
from tests.drills.plans import FaultPlan

__all__ = ["Timeline", "record_life", "wait_for_moment"]

_DEADLINE_S = 300.0
_AGAIN = ("snapshot write", "evaluation")
"""Phases that come again and again, for milliseconds."""
_SHORT = ("snapshot write", "evaluation", "final model write", "first step", "shutdown")

Timeline = Mapping[str, float]
"""Phase -> seconds that it took, each time, in an undisturbed life."""


def record_life(life: Life, is_over: Callable[[], bool]) -> dict[str, float]:
    """Follow a run from before its start to its end; return the mean length of each phase, in seconds."""
    spans: dict[str, list[float]] = {}
    phase, since_s = "", time.monotonic()
    for seen in life.follow():
        if seen != phase:
            now_s = time.monotonic()
            if phase:
                spans.setdefault(phase, []).append(now_s - since_s)
            phase, since_s = seen, now_s
        if phase == "shutdown" and is_over():
            spans.setdefault(phase, []).append(time.monotonic() - since_s)
            break
    lengths = {name: sum(found) / len(found) for name, found in spans.items()}
    return lengths | {"training": sum(spans.get("training", [0.0])), "life": sum(map(sum, spans.values()))}


def wait_for_moment(plan: FaultPlan, life: Life, timeline: Timeline, is_over: Callable[[], bool]) -> None:
    """Return when the fault is due; earlier where the run ends before."""
    if not plan.phase:
        first = PHASES.index(KINDS[plan.kind].phases[0])
        _wait(lambda: PHASES.index(life.see()) >= first, life, is_over, SLOW_S)
        before_s = sum(timeline.get(phase, 0.0) for phase in PHASES[:first])
        _pause(plan.share * (timeline["life"] - before_s), life, is_over, SLOW_S)
        return
    if plan.phase in _AGAIN:
        _wait(lambda: life.step() >= int(plan.step_share * (NUM_STEPS - 1)), life, is_over, SLOW_S)
    before = PHASES.index(plan.phase)
    _wait(lambda: _has_come(life.see(), plan.phase, before), life, is_over, FAST_S if plan.phase in _SHORT else SLOW_S)
    _pause(plan.share * timeline.get(plan.phase, 0.0), life, is_over, FAST_S)


def _has_come(seen: str, wanted: str, place: int) -> bool:
    """Whether it is there, or can come no more."""
    if wanted in _AGAIN:
        return seen == wanted or PHASES.index(seen) > PHASES.index("evaluation")
    return PHASES.index(seen) >= place


def _wait(claim: Callable[[], bool], life: Life, is_over: Callable[[], bool], pause_s: float) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not claim() and not (life.see() == "shutdown" and is_over()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the run stands in {life.see()} for {_DEADLINE_S:.0f} s")
        time.sleep(pause_s)


def _pause(seconds: float, life: Life, is_over: Callable[[], bool], pause_s: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not (life.see() == "shutdown" and is_over()):
        time.sleep(min(pause_s, max(deadline - time.monotonic(), 0.0)))
