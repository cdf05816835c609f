"""Make results/reference/ anew: run the main job in a folder of its own and keep its tables, plots and report.

``python -m benchmarks.reference [RESULTS]``; with RESULTS, the results folder of a main job that has just been run, it
keeps those. What it keeps is no results folder: it never counts as runs already done.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("*.csv", "report.md", "plots/*.png")


def keep(results: Path) -> None:
    """Put the tables, plots and reports of ``results`` in the place of the reference."""
    reference = ROOT / "results" / "reference"
    shutil.rmtree(reference, ignore_errors=True)
    for plan in results.glob("*/plan.json"):
        for path in (path for pattern in KEPT for path in plan.parent.glob(pattern)):
            target = reference / path.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def main() -> int:
    """Return the exit code of the run; nothing is replaced unless all of it succeeded."""
    if len(sys.argv) > 1:
        keep(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        command = [sys.executable, "-m", "tui.cli", "--headless", "run", "experiments.toml", "--results", str(results)]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode == 0:
            keep(results)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
