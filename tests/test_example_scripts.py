"""The programs in ``examples/scripts`` run to their end, as somebody would start them alone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "examples" / "scripts"
NEEDS = {"plain_ddp": "torch", "fabric_train": "lightning", "accelerate_train": "accelerate"}


def test_every_script_is_here():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(NEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_a_script_trains_and_prints_its_rate(name, tmp_path):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    alone |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **alone, "PYTHONPATH": str(SCRIPTS.parents[1])}
    if name != "plain_ddp":  # the others find out by themselves that they are alone
        environment = {key: value for key, value in environment.items() if key not in alone or key[:3] == "OMP"}
    arguments = [sys.executable, str(SCRIPTS / f"{name}.py"), "--epochs", "1", "--batch-size", "512"]
    done = subprocess.run(
        arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "samples/s" in done.stdout
