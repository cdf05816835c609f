"""Rows for the tests of the Runs mode: two experiments, runs in every state."""

from __future__ import annotations

from typing import Any

from tui.view.run_row import RunRow
from tui.view.snapshot import ExperimentView, Snapshot

T0_S = 1_790_000_000.0


def run_row(experiment: str, run_id: str, state: str = "queued", **more: Any) -> RunRow:
    strategy, size, repeat, _ = run_id.split("-")
    fields: dict[str, Any] = dict.fromkeys(RunRow.__dataclass_fields__)
    fields |= {
        "experiment": experiment, "id": run_id, "point": f"{strategy}-{size}", "repeat": int(repeat[1:]),
        "state": state, "reason": "", "attempt": 1, "strategy": strategy, "world_size": int(size[1:]),
        "num_devices": int(size[1:]), "num_epochs": 20, "folder": f"results/{experiment}/runs/{run_id}",
        "axes": {"strategy": strategy, "world_size": int(size[1:])}, "is_pinned": False, "note": "", "dossier": "",
    }  # fmt: skip
    return RunRow(**{**fields, **more})


def done_row(experiment: str, run_id: str, samples_per_s: float | None, **more: Any) -> RunRow:
    fields: dict[str, Any] = {
        "progress": 1.0, "epoch": 19, "step": 3999, "num_steps": 4000, "loss": 0.08, "samples_per_s": samples_per_s,
        "test_accuracy": 0.97, "elapsed_s": 100.0, "started_s": T0_S, "ended_s": T0_S + 100,
    }  # fmt: skip
    return run_row(experiment, run_id, "succeeded", **{**fields, **more})


def live_row(experiment: str, run_id: str, step: int = 2479, **more: Any) -> RunRow:
    fields: dict[str, Any] = {
        "progress": (step + 1) / 4000, "epoch": step // 200, "step": step, "num_steps": 4000, "loss": 500 / (step + 1),
        "samples_per_s": 3411.0, "elapsed_s": 72.0, "eta_s": 44.0, "last_event_s": T0_S,
    }  # fmt: skip
    return run_row(experiment, run_id, "running", **{**fields, **more})


def many_rows() -> tuple[RunRow, ...]:
    scaling, chunks = "scaling", "chunks"
    return (
        done_row(scaling, "single-w1-r0-1a2b3c", 1043.0, loss=0.09),
        done_row(scaling, "ddp-w2-r0-3fa9c1", 1912.0, loss=0.07),
        live_row(scaling, "ddp-w4-r0-77c0de"),
        run_row(scaling, "ddp-w4-r1-77c0de", "starting"),
        run_row(
            scaling, "dp-w4-r0-0badf0", "stalled", reason="no step for 60 s (median 0.02 s)", progress=0.31, loss=0.44
        ),
        run_row(
            scaling, "ddp-w8-r0-beef01", "failed", reason="rank 3: CUDA out of memory", progress=0.02, attempt=2
        ),
        run_row(scaling, "ddp-w8-r1-beef01", "failed", loss=float("nan"), nonfinite_step=120, progress=0.03),
        done_row(chunks, "pipe-w2-r0-aa00b1", 640.0, note="slow net"),
        run_row(chunks, "pipe-w2-r1-aa00b1", "stopping", progress=0.5),
        run_row(chunks, "pipe-w4-r0-c0ffee", "stopped", progress=0.4),
        run_row(chunks, "pipe-w4-r1-c0ffee", "lost", reason="no process of the run is left"),
        run_row(chunks, "pipe-w8-r0-d00d1e"),
        run_row(chunks, "pipe-w8-r1-d00d1e"),
        run_row(chunks, "pipe-w8-r2-d00d1e"),
    )  # fmt: skip


def snapshot_of(*rows: RunRow, **more: Any) -> Snapshot:
    experiments = {row.experiment: ExperimentView(name=row.experiment) for row in rows}
    fields: dict[str, Any] = {
        "revision": 1, "read_s": T0_S, "rows": rows, "experiments": tuple(experiments.values()),
        "queue": tuple(row.tag for row in rows if row.state == "queued"),
    }  # fmt: skip
    return Snapshot(**{**fields, **more})
