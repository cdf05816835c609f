"""Hold the samples/s that ddptui measures of the example scripts against those that they print themselves.

First ``ddptui --headless --results DIR run examples/own_scripts.toml``, then ``python -m benchmarks.own_scripts DIR``.
Both leave out the first epoch. Exit code 1 where one is off by more than 3 %.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from engine.store import ResultsPaths, list_experiments, list_runs, read_json

MAX_OFF_RATIO = 0.03


def printed_rate(log: Path) -> float | None:
    """Samples per second over the epochs after the first, each as long as the others in samples."""
    rates = [float(rate) for rate in re.findall(r"([\d.]+) samples/s", log.read_text())][1:]
    return len(rates) / sum(1 / rate for rate in rates) if rates else None


def main(folder: str) -> int:
    results = ResultsPaths(Path(folder))
    worst = 0.0
    for experiment in list_experiments(results):
        for run in list_runs(results.experiment(experiment)):
            summary, attempts = read_json(run.summary) or {}, run.attempts()
            measured = (summary.get("throughput") or {}).get("samples_per_s")
            printed = printed_rate(attempts[-1].out(0)) if attempts and attempts[-1].out(0).exists() else None
            if measured is None or printed is None:
                print(f"{experiment}/{run.run_id}: n/a ({summary.get('reason') or summary.get('state')})")
                continue
            off = measured / printed - 1
            worst = max(worst, abs(off))
            print(f"{experiment}/{run.run_id}: measured {measured:,.1f}, printed {printed:,.1f}, {off:+.2%}")
    print(f"the largest difference is {worst:.2%}")
    return int(worst > MAX_OFF_RATIO)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
