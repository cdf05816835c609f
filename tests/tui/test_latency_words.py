"""What is said of the latency of collectives."""

from __future__ import annotations

from typing import Any

from tui.view.latency_words import latency_facts


def test_each_operation_has_its_median_its_range_and_what_was_counted() -> None:
    times = {"median_s": 0.000412, "p5_s": 0.0003, "p95_s": 0.0021}
    latency: dict[str, Any] = {"world_size": 2, "all_reduce": times | {"num_bytes": 4, "num_repeats": 100}}
    assert latency_facts(latency | {"barrier": times | {"num_repeats": 10}}) == [
        ("all_reduce_latency", "412 µs, 5 to 95 %: 300 µs to 2,100 µs (4 bytes, 2 ranks, 100 repeats)"),
        ("barrier_latency", "412 µs, 5 to 95 %: 300 µs to 2,100 µs (2 ranks, 10 repeats)"),
    ]


def test_one_process_says_not_available() -> None:
    assert latency_facts({}) == [("all_reduce_latency", "n/a"), ("barrier_latency", "n/a")]
