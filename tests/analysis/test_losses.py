"""Where the efficiency went: the causes sum to what is lost, and nothing is invented."""

import pytest

from engine.analysis.losses import CAUSES, explain_loss
from engine.analysis.scaling import make_points
from tests.analysis.test_scaling import make_run


def run(strategy="single", devices=1, *, rate, total_s, phases, num_steps=100, times=None):
    spec, summary = make_run(strategy, devices, 0, rate, total_s)
    names = list(dict.fromkeys(name for own in phases for name in own))
    mean = {name: sum(own.get(name, 0.0) for own in phases) / len(phases) for name in names}
    summary |= {"phases": {str(rank): own for rank, own in enumerate(phases)}, "phases_mean": mean}
    summary |= {"num_steps": num_steps, "time": {"total_s": total_s} | (times or {})}
    summary["ranks"] = [{"rank": rank, "num_threads": 1} for rank in range(len(phases))]
    return spec, summary


ALONE = {"data": 0.01, "forward": 0.03, "backward": 0.05, "optimizer": 0.01}
SINGLE = run(rate=640.0, total_s=12.0, phases=[ALONE], times={"eval_s": 1.5, "snapshot_s": 0.0})


def lost_of(*runs):
    (point,) = [point for point in make_points(runs) if not point.is_baseline]
    return point


def test_the_causes_of_the_total_time_sum_to_what_is_lost():
    fast, slow = ALONE | {"comm": 0.03, "forward": 0.02}, ALONE | {"comm": 0.01, "forward": 0.04}
    times = {"eval_s": 1.5, "snapshot_s": 0.1}
    point = lost_of(SINGLE, run("ddp", 2, rate=1000.0, total_s=9.0, phases=[fast, slow], num_steps=50, times=times))
    lost = point.lost
    assert (lost.basis, lost.efficiency) == ("total time", pytest.approx(12 / 9 / 2))
    assert sum(share for share in lost.shares.values() if share is not None) == pytest.approx(1 - lost.efficiency)
    # each of the device seconds that the point takes, 2 x 9 s, less those of the baseline, 12 s
    assert lost.shares["communication"] == pytest.approx(2 * 50 * 0.01 / 18)
    assert lost.shares["waiting"] == pytest.approx(2 * 50 * 0.01 / 18)
    assert lost.shares["computation"] == pytest.approx((2 * 50 * 0.09 - 100 * 0.09) / 18, abs=1e-9)
    assert lost.shares["evaluation"] == pytest.approx((2 * 1.5 - 1.5) / 18)
    assert lost.shares["snapshots"] == pytest.approx(2 * 0.1 / 18)
    assert lost.shares["bubble"] is None


def test_per_sample_where_other_samples_were_seen_so_that_evaluation_is_not_lost_sight_of():
    spec, summary = run("ddp", 2, rate=960.0, total_s=9.0, phases=[ALONE | {"comm": 0.02}] * 2, num_steps=50)
    summary = summary | {"samples_seen": 12_000, "time": {"total_s": 9.0, "eval_s": 3.0}}
    lost = lost_of(SINGLE, (spec, summary)).lost
    assert (lost.basis, lost.efficiency) == ("time per sample", pytest.approx((12 / 10_000) / (9 / 12_000) / 2))
    assert lost.shares["evaluation"] == pytest.approx(3 / 9 - lost.efficiency * 1.5 / 12)
    assert sum(share for share in lost.shares.values() if share is not None) == pytest.approx(1 - lost.efficiency)


def test_of_the_steady_step_where_the_samples_seen_are_unknown():
    spec, summary = run("ddp", 2, rate=960.0, total_s=9.0, phases=[ALONE | {"comm": 0.1}] * 2)
    lost = lost_of(SINGLE, (spec, summary | {"samples_seen": None})).lost
    assert (lost.basis, lost.efficiency) == ("steady step", pytest.approx(0.75))
    assert lost.shares["evaluation"] is None
    assert lost.shares["communication"] == pytest.approx(0.5)
    assert sum(share for share in lost.shares.values() if share is not None) == pytest.approx(0.25)


def test_what_one_side_did_not_measure_apart_is_computation_on_both():
    apart = run("ddp", 2, rate=1000.0, total_s=10.0, phases=[ALONE | {"comm": 0.02}] * 2)
    within = run("fsdp", 4, rate=1500.0, total_s=8.0, phases=[ALONE | {"backward": 0.08}] * 4)
    known = explain_loss([within], [apart], time_efficiency=None, throughput_efficiency=0.75, device_ratio=None)
    assert known.shares["communication"] is None
    assert known.shares["computation"] == pytest.approx(0.12 / 0.13 - 0.75 * 0.11 / 0.12)
    other = explain_loss([apart], [within], time_efficiency=None, throughput_efficiency=0.75, device_ratio=None)
    assert other.shares["communication"] is None


def test_steady_steps_slower_than_the_others_fill_no_more_than_the_training():
    slow = {name: 10 * seconds for name, seconds in ALONE.items()}
    lost = lost_of(SINGLE, run("ddp", 1, rate=64.0, total_s=12.0, phases=[slow], times={"eval_s": 1.5})).lost
    assert lost.shares["rest"] == pytest.approx(-lost.efficiency * (12 - 1.5 - 10) / 12)


def test_without_phases_or_a_baseline_nothing_is_said():
    assert lost_of(SINGLE, make_run("ddp", 2, 0, 1000.0, 9.0)).lost is None
    assert lost_of(run("ddp", 2, rate=1000.0, total_s=9.0, phases=[ALONE] * 2)).lost is None
    assert make_points([SINGLE])[0].lost is None
    assert set(CAUSES) >= {"data", "rest"}
