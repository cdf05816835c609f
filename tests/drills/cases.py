"""What a drill trains: a run of seconds for each strategy."""

from __future__ import annotations

from pathlib import Path

from engine.core.spec import RunSpec
from tui.prepare import plan_text

EXPERIMENT = "drill"
EPOCHS = 3
STEPS_PER_EPOCH = 12
NUM_STEPS = EPOCHS * STEPS_PER_EPOCH
CADENCES = ("2 steps", "5 steps", "1 epochs")

STRATEGIES = {
    "single": "",
    "dp": "[experiment.dp]\nnum_replicas = 2\n",
    "ddp": "world_size = 2\n",
    "fsdp": "world_size = 2\n",
    "pipeline": "world_size = 2\n[experiment.pipeline]\nnum_micro_batches = 2\n",
    "rpc_pipeline": "world_size = 3\n[experiment.rpc_pipeline]\nnum_stages = 2\nnum_micro_batches = 2\n",
}

_SLOW_RANK = {"rpc_pipeline": 1}
"""A rank whose steps have the phase ``forward``: a pipeline's driver has none."""


def make_toml(
    strategy: str, *, every: str = "5 steps", max_restarts: int = 2, delay_s: float = 0.03, more: str = ""
) -> str:
    """Return the experiment file of one run.

    Args:
        strategy: which.
        every: ``snapshot.every``.
        max_restarts: attempts that the supervisor may add.
        delay_s: slept in every step, so that there is a time to be hit.
        more: further lines.
    """
    return f"""[defaults]
model = "mlp"
dataset = "digits"
dataset_size = {STEPS_PER_EPOCH * 32}
global_batch_size = 32
epochs = {EPOCHS}
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9 }}
seed = 7

[[experiment]]
name = "{EXPERIMENT}"
snapshot = {{ every = "{every}", keep = 2 }}
max_restarts = {max_restarts}
slow = {{ rank = {_SLOW_RANK.get(strategy, 0)}, phase = "forward", delay_s = {delay_s} }}
{more}strategy = "{strategy}"
{STRATEGIES[strategy]}"""


def plan_run(file: Path) -> tuple[RunSpec, dict[str, object]]:
    """Return the one run of the file, and what ``plan.json`` says of it."""
    plan = plan_text(file.read_text(), str(file))
    (spec,) = plan.runs
    experiment = plan.experiments[0]
    stored = {"format": 1, "experiment": experiment.name, "run_ids": [spec.id], "on_error": "continue"}
    return spec, {**stored, "toml": experiment.toml, "file": plan.file, "repeats": 1, "baseline": experiment.baseline}
