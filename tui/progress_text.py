"""How progress reads: pure functions from what is known of runs to words. Nothing is drawn here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.core.state import RunState
from tui.output import format_duration, format_number, format_ratio, strip_escapes
from tui.view.run_row import RunRow

__all__ = ["describe_end", "describe_overall", "describe_progress", "expected_rest_s", "position"]


def position(row: RunRow) -> str:
    """``epoch 3/10``, or ``step 120/400`` where the run is not counted in epochs."""
    if row.epoch is not None and row.num_epochs is not None:
        return f"epoch {row.epoch + 1}/{row.num_epochs}"
    if row.step is not None:
        return f"step {row.step + 1}" + (f"/{row.num_steps}" if row.num_steps else "")
    return ""


def describe_progress(row: RunRow) -> str:
    """One line about a run that is going on: what is not known yet is left out."""
    parts = [position(row)]
    if row.epoch is not None and row.num_epochs is not None and row.step is not None:
        parts.append(f"step {row.step + 1}" + (f"/{row.num_steps}" if row.num_steps else ""))
    if row.loss is not None:
        parts.append(f"loss {format_number(row.loss)}")
    if row.samples_per_s is not None:
        parts.append(f"{format_number(row.samples_per_s)} samples/s")
    if row.eta_s is not None:
        parts.append(f"ETA {format_duration(row.eta_s)}")
    return "  ".join(part for part in parts if part)


def describe_end(row: RunRow) -> str:
    """One line about a run that has ended; narrow terminals cut its end, so what matters most comes first."""
    if row.state != RunState.SUCCEEDED:
        return strip_escapes(row.reason).replace("\n", " ") or "no reason known"
    parts = []
    if row.started_s is not None and row.ended_s is not None:
        parts.append(f"in {format_duration(row.ended_s - row.started_s)}")
    if row.samples_per_s is not None:
        parts.append(f"{format_number(row.samples_per_s)} samples/s")
    if row.test_accuracy is not None:
        parts.append(f"test accuracy {format_ratio(row.test_accuracy)}")
    if row.loss is not None:
        parts.append(f"loss {format_number(row.loss)}")
    return "  ".join(parts)


def describe_overall(rows: Sequence[RunRow]) -> str:
    """``3/12 runs  1 running  8 queued  about 2:10 left``."""
    counts = Counter(row.state for row in rows)
    num_done = sum(row.is_terminal for row in rows)
    parts = [f"{num_done}/{len(rows)} runs"]
    parts += [f"{counts[state]} {state}" for state in RunState if counts[state] and state != RunState.SUCCEEDED]
    rest_s = expected_rest_s(rows)
    if rest_s is not None:
        parts.append(f"about {format_duration(rest_s)} left")
    return "  ".join(parts)


def expected_rest_s(rows: Sequence[RunRow]) -> float | None:
    """Seconds to the end as far as runs tell: active ones by their ETA, queued ones like the mean of those that ended.

    None where a queued run has nothing to go by. Runs are taken to go one after another.
    """
    ended = [v.ended_s - v.started_s for v in rows if v.is_terminal and v.ended_s and v.started_s]
    active = [row for row in rows if row.is_active]
    num_queued = sum(row.state == RunState.QUEUED for row in rows)
    if any(row.eta_s is None for row in active) or (num_queued and not ended):
        return None
    if not active and not num_queued:
        return None
    mean_s = sum(ended) / len(ended) if ended else 0.0
    return sum(row.eta_s or 0.0 for row in active) + num_queued * mean_s
