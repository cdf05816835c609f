"""What each fault of a drill is: a pure function of its seed and index."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from tests.drills.cases import CADENCES, STRATEGIES
from tests.drills.kinds import KINDS, PHASES

_UNIFORM_EVERY = 3
"""One fault in so many comes at a time that is uniform over the whole life; the others first draw a phase."""


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """One fault.

    Attributes:
        seed, index: which one.
        kind: name in ``KINDS``.
        strategy: of the run.
        every: how often the run takes snapshots.
        phase: in which it shall come; "" where its time is uniform over the whole life, or over the part of it in which
            there is somebody to meet that kind.
        share: when: of the measured length of the phase, or of all those phases; in [0, 1).
        step_share: of the steps; phases that come again and again are entered next after so many.
        draw: seeds whatever else must be chosen.
    """

    seed: int
    index: int
    kind: str
    strategy: str
    every: str
    phase: str
    share: float
    step_share: float
    draw: int

    @property
    def key(self) -> str:
        """Its name in file names and environments."""
        return f"{self.seed}-{self.index}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def plan_fault(seed: int, index: int) -> FaultPlan:
    """Return the plan of one fault."""
    return next(islice(plan_faults(seed), index, None))


def plan_faults(seed: int) -> Iterator[FaultPlan]:
    """Plan one fault after the other, without end.

    Every phase comes once before any comes again, and of the kinds that a phase allows one that was planned least;
    likewise the strategies of a kind.
    """
    random_ = random.Random(f"drill {seed}")
    phases: list[str] = []
    planned: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    index = 0
    while True:
        phase = ""
        if index % _UNIFORM_EVERY:
            if not phases:
                phases = random_.sample(PHASES, len(PHASES))
            phase = phases.pop()
        allowed = [kind.name for kind in KINDS.values() if not phase or phase in kind.phases]
        kind = _least(allowed, planned, random_)
        strategy = _least([(kind, name) for name in STRATEGIES], pairs, random_)[1]
        planned[kind] += 1
        pairs[kind, strategy] += 1
        yield FaultPlan(
            seed=seed,
            index=index,
            kind=kind,
            strategy=strategy,
            every=random_.choice(CADENCES),
            phase=phase,
            share=random_.random(),
            step_share=random_.random(),
            draw=random_.getrandbits(32),
        )
        index += 1


def _least(items: Sequence[Any], counts: Counter[Any], random_: random.Random) -> Any:
    fewest = min(counts[item] for item in items)
    return random_.choice([item for item in items if counts[item] == fewest])
