"""Make results/reference/ anew: run the main job in a folder of its own and keep its tables, plots and report.

``python -m benchmarks.reference``. What it keeps is no results folder: it never counts as runs already done.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("*.csv", "report.md", "plots/*.png")


def main() -> int:
    """Return the exit code of the run; nothing is replaced unless all of it succeeded."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        command = [sys.executable, "-m", "tui.cli", "--headless", "run", "experiments.toml", "--results", str(results)]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
        reference = ROOT / "results" / "reference"
        shutil.rmtree(reference, ignore_errors=True)
        for experiment in (path for path in results.iterdir() if not path.name.startswith(".")):
            for pattern in KEPT:
                for path in experiment.glob(pattern):
                    target = reference / path.relative_to(results)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
