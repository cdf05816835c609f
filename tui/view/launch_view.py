"""What the launch question says, as labelled lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.core.lifecycle import Rerun, choose_runs
from engine.core.plan import Plan
from engine.core.wording import count
from tui.view.plan_detail import Fact
from tui.view.plan_view import BUSY, LaunchCount, count_launch, states_of
from tui.view.run_row import known_state
from tui.view.snapshot import Snapshot
from tui.view.table import Pieces

__all__ = ["RERUNS", "count_plan", "describe_launch", "queue_words", "queued_tags"]

RERUNS: Mapping[Rerun, str] = {
    "missing": "what has not succeeded yet",
    "failed": "only what failed or was lost",
    "all": "everything, also what succeeded",
}

MAX_EXPERIMENTS = 8


def count_plan(plan: Plan, snapshot: Snapshot, rerun: Rerun) -> tuple[LaunchCount, ...]:
    """What a launch would do, per experiment."""
    states = states_of(plan.runs, snapshot)
    return tuple(count_launch(experiment, states, rerun) for experiment in plan.experiments)


def queued_tags(plan: Plan, snapshot: Snapshot, rerun: Rerun) -> list[str]:
    """The runs that a launch would queue."""
    states = states_of(plan.runs, snapshot)
    tags = []
    for experiment in plan.experiments:
        own = {spec.id: states[f"{spec.experiment}/{spec.id}"] for spec in experiment.runs}
        known = {run_id: known_state(state) for run_id, state in own.items()}
        chosen = [run_id for run_id in choose_runs(known, rerun)[0] if own[run_id] not in BUSY]
        tags += [f"{experiment.name}/{run_id}" for run_id in chosen]
    return tags


def queue_words(snapshot: Snapshot, own: Sequence[str]) -> str:
    """When the first of the new runs will begin."""
    waiting = [tag for tag in snapshot.queue if tag not in set(own)]
    num_active = sum(row.is_active for row in snapshot.rows)
    held = "; the queue is held: H lets it go on" if snapshot.is_held else ""
    if not waiting and not num_active:
        return f"begins at once{held}" if not held else f"empty{held}"
    parts = [f"{num_active} running" if num_active else "", f"{len(waiting)} waiting" if waiting else ""]
    return f"behind {' and '.join(part for part in parts if part)}{held}"


def describe_launch(
    counts: Sequence[LaunchCount],
    *,
    is_smoke: bool,
    rerun: Rerun,
    results: str,
    queue: str,
    check: Pieces,
    expected: str,
) -> tuple[Fact, ...]:
    """Describe a launch.

    Args:
        counts: per experiment.
        is_smoke: five steps each.
        rerun: the rule.
        results: the folder.
        queue: when it begins.
        check: how the check stands.
        expected: time and disk.
    """
    room = max((len(one.experiment) for one in counts), default=0)
    lines: list[Pieces] = [
        ((f"{one.experiment:{room}}  ", "bold"), (f"{count(one.num_runs, 'run')}: ", ""), (one.words(), "text-muted"))
        for one in counts[:MAX_EXPERIMENTS]
    ]
    if len(counts) > MAX_EXPERIMENTS:
        lines.append(((f"and {len(counts) - MAX_EXPERIMENTS} more experiments", "text-muted"),))
    smoke: Pieces = (("s  ", "primary bold"), ("on", "accent bold"), ("  each point once, five steps", "text-muted"))
    if not is_smoke:
        smoke = (("s  ", "primary bold"), ("off", ""), ("  the whole training", "text-muted"))
    return (
        Fact(label="runs", lines=tuple(lines)),
        Fact(label="smoke", lines=(smoke,), begins_group=True),
        Fact(label="rerun", lines=((("r  ", "primary bold"), (rerun, ""), (f"  {RERUNS[rerun]}", "text-muted")),)),
        Fact(label="into", lines=(((results, ""),),), begins_group=True),
        Fact(label="queue", lines=(((queue, ""),),)),
        Fact(label="check", lines=(check,)),
        Fact(label="expected", lines=(((expected, ""),),)),
    )
