"""The latency of collectives in a summary: percentiles over ranks, whatever the lines hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine.core.latency import MAX_TIMES
from engine.core.metrics import RunFold


def latency_of(*events: dict[str, Any]) -> Any:
    fold = RunFold({})
    for event in events:
        fold.add({"kind": "latency", "attempt": 1} | event)
    return fold.summary({"state": "succeeded"})["latency"]


def test_the_percentiles_are_those_of_all_repeats_of_all_ranks() -> None:
    times = [[0.001 * value for value in range(1, 20)], [0.002, 0.5, 0.003, 0.004]]
    found = latency_of(
        *({"rank": r, "world_size": 2, "all_reduce_s": t, "barrier_s": t[:2]} for r, t in enumerate(times))
    )
    for key, percent in (("p5_s", 5), ("median_s", 50), ("p95_s", 95)):
        assert found["all_reduce"][key] == pytest.approx(np.percentile(times[0] + times[1], percent))
    assert found["barrier"]["median_s"] == pytest.approx(0.002)
    assert (found["all_reduce"]["num_repeats"], found["barrier"]["num_repeats"]) == (19, 2)


def test_a_run_that_measured_none_has_none() -> None:
    assert latency_of() is None


def test_a_rank_that_began_anew_counts_once() -> None:
    start = {"kind": "run_start", "rank": 0, "all_reduce_s": None}
    found = latency_of(
        {"rank": 0, "all_reduce_s": [9.0]}, start, {"rank": 0, "all_reduce_s": [1.0], "barrier_s": [2.0]}
    )
    assert (found["all_reduce"]["median_s"], found["barrier"]["median_s"]) == (1.0, 2.0)


def test_what_is_no_time_does_not_count() -> None:
    odd = [None, "1", -1.0, math.nan, math.inf, True, [1.0], 0.25]
    found = latency_of({"rank": 0, "all_reduce_s": odd, "barrier_s": "soon", "all_reduce_bytes": "four"})
    assert found["all_reduce"] == {"median_s": 0.25, "p5_s": 0.25, "p95_s": 0.25, "num_repeats": 1, "num_bytes": None}
    assert found["barrier"] == {"median_s": None, "p5_s": None, "p95_s": None, "num_repeats": None}
    many = latency_of({"rank": 0, "all_reduce_s": [1.0] * MAX_TIMES + [5.0] * 10 * MAX_TIMES})
    assert many["all_reduce"]["p95_s"] == 1.0
