"""Make results/reference/ anew: run the main job and a published workload, keep their tables, plots and reports.

``python -m benchmarks.reference [RESULTS]``; with RESULTS, a results folder in which both have just been run, it keeps
what is there. What it keeps is no results folder: it never counts as runs already done. Nothing else should run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("*.csv", "report.md", "plots/*.png")
SMALL = ("--set", "synthetic=true", "--set", "dataset_size=16896", "--set", "epochs=4")
"""Published workloads are run on made-up data, a third of it: whole batches of 128, 256, 384, 512 and 132."""
JOBS = (
    ("experiments.toml",),
    ("examples/lenet5_cifar10_cpu.toml", "--only", "lenet5-published", "--only", "lenet5-fair", *SMALL),
)


def keep(results: Path) -> None:
    """Put the tables, plots and reports of the experiments in ``results`` in the place of the reference's."""
    reference = ROOT / "results" / "reference"
    for plan in results.glob("*/plan.json"):
        shutil.rmtree(reference / plan.parent.name, ignore_errors=True)
        for path in (path for pattern in KEPT for path in plan.parent.glob(pattern)):
            target = reference / path.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def main() -> int:
    """Return the exit code of the runs; nothing is replaced unless all of them succeeded."""
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        for job in JOBS:
            command = [sys.executable, "-m", "tui.cli", "--headless", "run", *job, "--results", str(results)]
            done = subprocess.run(command, cwd=ROOT, check=False)
            if done.returncode:
                return done.returncode
        keep(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
