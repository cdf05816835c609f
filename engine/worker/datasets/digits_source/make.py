"""Make ``digits.npz`` anew from scikit-learn's copy, and print the checksum that ``datasets.digits`` looks for.

Run where scikit-learn is installed: ``python -m engine.worker.datasets.digits_source.make``.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Write the file beside this one."""
    source: Any = importlib.import_module("sklearn.datasets")  # not one of ddptui's own dependencies
    digits = source.load_digits()
    path = Path(__file__).with_name("digits.npz")
    np.savez_compressed(path, images=digits.images.astype(np.uint8), targets=digits.target.astype(np.uint8))
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}\n")


if __name__ == "__main__":
    main()
