"""Points, speedups and efficiencies, and when they are n/a."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analysis.scaling import make_points

Run = tuple[dict[str, Any], dict[str, Any]]


def make_run(
    strategy: str, num_devices: int, repeat: int, rate: float | None, total_s: float | None, **changes: Any
) -> Run:
    """One run and its summary; ``changes`` may set state, samples_seen, axes, config, confounds, baseline."""
    world_size = {"single": 1, "dp": 1, "rpc_pipeline": num_devices + 1}.get(strategy, num_devices)
    axes = {"strategy": strategy, "world_size": world_size} | changes.get("axes", {})
    point = "-".join([strategy, f"d{num_devices}", *(str(v) for v in changes.get("axes", {}).values())])
    config = {"strategy": strategy, "world_size": world_size, "precision": "fp32"} | changes.get("config", {})
    spec = {"id": f"{point}-r{repeat}", "point": point, "repeat": repeat, "axes": axes, "config": config}
    spec |= {"baseline": changes.get("baseline", "single-d1"), "num_devices": num_devices, "baseline_reason": "named"}
    summary = {
        "state": changes.get("state", "succeeded"),
        "strategy": strategy,
        "world_size": world_size,
        "num_devices": num_devices,
        "global_batch_size": changes.get("global_batch_size", 64),
        "samples_seen": changes.get("samples_seen", 10_000),
        "throughput": {"samples_per_s": rate},
        "time": {"total_s": total_s},
        "final": {"test_accuracy": 0.9},
        "confounds": changes.get("confounds", []),
        "ranks": [{"rank": 0, "num_threads": changes.get("num_threads", 1)}],
    }
    return spec, summary


def points(*runs: Run) -> dict[str, Any]:
    return {row.point: row for row in make_points(runs)}


def test_speedup_and_efficiency_are_those_of_the_medians():
    runs = [make_run("single", 1, r, rate, 100.0) for r, rate in enumerate([90.0, 100.0, 110.0])]
    runs += [make_run("ddp", 2, r, rate, 60.0) for r, rate in enumerate([170.0, 180.0, 400.0])]
    row = points(*runs)["ddp-d2"]
    assert row.n == 3
    assert row.samples_per_s.value == 180.0
    assert row.throughput_speedup.value == pytest.approx(1.8)
    assert row.throughput_efficiency.value == pytest.approx(0.9)
    assert row.throughput_speedup.low < 1.8 < row.throughput_speedup.high
    assert row.throughput_efficiency.low == pytest.approx(row.throughput_speedup.low / 2)
    assert row.time_speedup.value == pytest.approx(100 / 60)
    assert row.time_saved_ratio.value == pytest.approx(0.4)
    assert row.notes == ()


def test_the_baseline_is_one_by_definition_and_without_interval():
    row = points(*[make_run("single", 1, r, 100.0 + r, 100.0) for r in range(3)])["single-d1"]
    assert row.is_baseline
    assert (row.throughput_speedup.value, row.throughput_speedup.low) == (1.0, None)
    assert row.throughput_efficiency.value == 1.0
    assert row.time_saved_ratio.value == 0.0


def test_the_driver_of_a_pipeline_is_no_device():
    row = points(make_run("single", 1, 0, 100.0, 1.0), make_run("rpc_pipeline", 2, 0, 150.0, 1.0))["rpc_pipeline-d2"]
    assert row.world_size == 3
    assert row.throughput_efficiency.value == pytest.approx(0.75)
    assert row.label == "rpc_pipeline, 2 stages"


def test_efficiency_counts_from_the_devices_of_the_baseline():
    runs = [make_run("ddp", 2, 0, 100.0, 1.0, baseline="ddp-d2"), make_run("ddp", 4, 0, 180.0, 1.0, baseline="ddp-d2")]
    row = points(*runs)["ddp-d4"]
    assert row.throughput_speedup.value == pytest.approx(1.8)
    assert row.throughput_efficiency.value == pytest.approx(0.9)


def test_time_speedup_is_not_available_where_another_number_of_samples_was_seen():
    row = points(make_run("single", 1, 0, 100.0, 50.0), make_run("ddp", 2, 0, 200.0, 50.0, samples_seen=20_000))[
        "ddp-d2"
    ]
    assert row.time_speedup is None
    assert row.time_efficiency is None
    assert row.time_saved_ratio is None
    assert row.throughput_speedup.value == pytest.approx(2.0)
    assert row.notes == ("time_speedup is n/a: 20,000 samples seen, baseline 10,000",)


def test_a_last_batch_that_was_left_out_does_not_keep_times_from_being_compared():
    runs = [make_run("single", 1, 0, 100.0, 50.0, samples_seen=49_920)]
    row = points(*runs, make_run("ddp", 4, 0, 300.0, 25.0, samples_seen=49_664))["ddp-d4"]
    assert (row.time_speedup.value, row.time_efficiency.value) == (2.0, 0.5)


def test_without_a_baseline_that_succeeded_nothing_is_compared():
    runs = [make_run("single", 1, 0, 100.0, 1.0, state="failed"), make_run("ddp", 2, 0, 200.0, 1.0)]
    rows = points(*runs)
    assert rows["ddp-d2"].throughput_speedup is None
    assert rows["ddp-d2"].notes == ("no run of its baseline single-d1 succeeded",)
    assert rows["single-d1"].samples_per_s is None
    assert (rows["single-d1"].n, rows["single-d1"].num_runs) == (0, 1)
    assert rows["single-d1"].notes == ("no run of this point succeeded",)


def test_a_point_without_a_baseline_says_why():
    row = points(make_run("ddp", 2, 0, 200.0, 1.0, baseline=None))["ddp-d2"]
    assert row.throughput_speedup is None
    assert row.notes == ("named",)


def test_unknown_throughput_stays_unknown():
    row = points(make_run("single", 1, 0, None, None), make_run("ddp", 2, 0, 200.0, 1.0))["ddp-d2"]
    assert (row.throughput_speedup, row.time_speedup) == (None, None)


def test_differences_that_spoil_the_comparison_are_named():
    base = make_run("single", 1, 0, 100.0, 1.0, num_threads=4)
    other = make_run(
        "ddp", 2, 0, 200.0, 1.0, global_batch_size=128, confounds=["ranks 0, 1 share cores 0 of h"],
        config={"precision": "bf16", "optimizer": {"lr": 0.2, "name": "sgd"}, "seed": 3},
    )  # fmt: skip
    assert points(base, other)["ddp-d2"].notes == (
        "global batch 128, baseline 64",
        "threads per rank 1, baseline 4",
        "optimizer {'lr': 0.2, 'name': 'sgd'}, baseline not set",
        "precision bf16, baseline fp32",
        "ranks 0, 1 share cores 0 of h",
    )


def test_another_batch_is_named_with_what_became_of_the_learning_rate():
    def run(strategy, devices, batch, lr, **config):
        spec, summary = make_run(strategy, devices, 0, 100.0, 1.0, global_batch_size=batch, config=config)
        return spec, summary | {"lr": lr}

    base = run("single", 1, 128, 0.01)
    assert points(base, run("ddp", 4, 256, 0.01, local_batch_size=64))["ddp-d4"].notes == (
        "global batch 256, baseline 128, at the same learning rate 0.01",
    )
    assert points(base, run("ddp", 2, 256, 0.02, lr_scaling="linear"))["ddp-d2"].notes == (
        "global batch 256, baseline 128",
        "learning rate 0.02, baseline 0.01 (lr_scaling = linear)",
    )
    assert points(base, run("ddp", 2, 128, 0.01, local_batch_size=64))["ddp-d2"].notes == ()


def test_what_is_compared_on_purpose_is_in_the_label_and_no_difference():
    base = make_run("ddp", 2, 0, 100.0, 1.0, axes={"partition": "disjoint"}, config={"partition": "disjoint"})
    other = make_run("ddp", 2, 1, 100.0, 1.0, axes={"partition": "random"}, config={"partition": "random"})
    other[0]["baseline"] = base[0]["point"]
    assert points(base, other)["ddp-d2-random"].notes == ()
    assert points(base, other)["ddp-d2-random"].label == "ddp, 2 ranks, partition random"


def test_batch_norm_over_fewer_samples_is_named():
    (spec, summary), (base_spec, base) = make_run("ddp", 2, 0, 100.0, 1.0), make_run("single", 1, 0, 100.0, 1.0)
    runs = [(spec, summary | {"batch_norm_samples": 32}), (base_spec, base | {"batch_norm_samples": 64})]
    assert points(*runs)["ddp-d2"].notes == ("samples over which batch norm takes its statistics 32, baseline 64",)


def test_more_than_the_ideal_is_questioned():
    rows = points(
        make_run("single", 1, 0, 100.0, 1.0), make_run("ddp", 2, 0, 275.0, 1.0), make_run("ddp", 4, 0, 410.0, 1.0)
    )
    assert rows["ddp-d2"].notes == ("138 % of the ideal: its devices were faster than the baseline's, why?",)
    assert rows["ddp-d4"].notes == ()


def test_settings_that_the_schedule_ignores_are_no_difference():
    def run(strategy, devices, **scheduler):
        default = {"name": "constant", "step_size": 1, "gamma": 0.1, "t_max": None, "warmup_epochs": 0}
        config = {"scheduler": default | {"warmup_factor": 0.1} | scheduler}
        return make_run(strategy, devices, 0, 100.0, 1.0, config=config)

    base = run("single", 1)
    assert points(base, run("ddp", 2, gamma=0.7, warmup_factor=0.5))["ddp-d2"].notes == ()
    assert points(base, run("ddp", 2, name="step", gamma=0.7))["ddp-d2"].notes == (
        "scheduler.name step, baseline constant",
    )
    steps = run("single", 1, name="step", gamma=0.5)
    assert points(steps, run("ddp", 2, name="step", gamma=0.7))["ddp-d2"].notes == (
        "scheduler.gamma 0.7, baseline 0.5",
    )
    warm = run("ddp", 2, warmup_epochs=2, warmup_factor=0.5)
    assert "scheduler.warmup_factor 0.5, baseline not set" in points(base, warm)["ddp-d2"].notes


def test_what_the_baseline_suffered_too_is_no_difference_whatever_the_repeats():
    lines = ["synthetic data in place of mnist"]
    runs = [make_run(s, d, r, 100.0, 1.0, confounds=lines) for s, d in (("single", 1), ("ddp", 2)) for r in range(3)]
    rows = points(*runs)
    assert rows["single-d1"].notes == ("synthetic data in place of mnist (3 of 3 runs)",)
    assert rows["ddp-d2"].notes == ()


def test_another_load_than_that_of_the_baseline_is_named():
    def run(strategy, devices, percent):
        lines = [f"other processes used {percent} % of the CPU of box during the run"]
        return make_run(strategy, devices, 0, 100.0, 1.0, confounds=lines)

    assert points(run("single", 1, 77), run("ddp", 2, 45))["ddp-d2"].notes == (
        "other processes used 45 % of the CPU, in the baseline's runs 77 %",
    )
    assert points(run("single", 1, 77), run("ddp", 2, 70))["ddp-d2"].notes == ()


def test_more_accumulation_steps_are_a_difference_even_at_the_same_global_batch():
    base = make_run("single", 1, 0, 100.0, 1.0, config={"gradient_accumulation_steps": 1})
    other = make_run("ddp", 2, 0, 200.0, 1.0, config={"gradient_accumulation_steps": 4})
    assert points(base, other)["ddp-d2"].notes == ("gradient_accumulation_steps 4, baseline 1",)


def test_labels_carry_the_axes_that_tell_points_apart():
    runs = [make_run("ddp", n, 0, 1.0, 1.0, axes={"model": m, "seed": 1}) for n in (1, 2) for m in ("mlp", "lenet5")]
    assert [row.label for row in make_points(runs)] == [
        "ddp, 1 rank, model mlp",
        "ddp, 1 rank, model lenet5",
        "ddp, 2 ranks, model mlp",
        "ddp, 2 ranks, model lenet5",
    ]
    assert {row.series for row in make_points(runs)} == {"ddp, model mlp", "ddp, model lenet5"}


def test_a_name_that_goes_with_the_strategy_is_left_out_of_the_label():
    runs = [make_run(strategy, 2, 0, 1.0, 1.0, axes={"case": f"{strategy}-two"}) for strategy in ("dp", "ddp")]
    assert [row.label for row in make_points(runs)] == ["dp, 2 replicas", "ddp, 2 ranks"]


KEYS = st.sampled_from(
    [
        "id",
        "point",
        "repeat",
        "axes",
        "config",
        "baseline",
        "num_devices",
        "strategy",
        "world_size",
        "state",
        "throughput",
        "time",
        "samples_per_s",
        "total_s",
        "final",
        "best",
        "confounds",
        "ranks",
        "env",
        "samples_seen",
        "num_threads",
        "role",
        "cpu_model",
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=4), st.sampled_from(["succeeded", "p", "ddp"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)
ODD = st.dictionaries(KEYS, VALUES, max_size=8)


@settings(max_examples=200)
@given(st.lists(st.tuples(ODD, ODD), max_size=5))
def test_no_folder_of_a_stranger_stops_the_points(runs):
    succeeded = [(spec, summary | {"state": "succeeded"}) for spec, summary in runs]
    assert len(make_points(runs + succeeded)) <= 2 * len(runs)


def test_process_times_are_the_slowest_life_and_the_mean_cpu_time_of_the_ranks():
    spec, summary = make_run("ddp", 2, 0, 200.0, 50.0)
    times = [{"rank": 0, "real_s": 61.0, "user_s": 40.0, "system_s": 2.0}]
    times += [{"rank": 1, "real_s": 62.0, "user_s": 50.0, "system_s": None}]
    row = points((spec, summary | {"ranks": times}))["ddp-d2"]
    assert (row.real_s.value, row.user_s.value) == (62.0, 45.0)
    assert row.system_s is None
