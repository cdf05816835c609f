from __future__ import annotations

import math
import random
from array import array

import pytest
from made_ranks import T0_S, add_line, make_node, make_run, make_track

from engine.core.curves import RankTrack
from tui.view.machine_rows import machine_rows
from tui.view.rank_map import STEP_TIME, RankMap, level_of, quantities, robust_range
from tui.view.rank_rows import RankRow, find_slowest
from tui.view.rank_view import RankViewMaker, Wanted
from tui.view.span import fit_buckets, moved, round_up, zoomed


def slow_mean(track: RankTrack, low: float, high: float, *, by_step: bool = False) -> float:
    """The mean over a bucket, line by line, as its definition says."""
    product = weight = 0.0
    for index in range(track.num_windows):
        before_step = track.step[index - 1] if index else -1.0
        num_steps = max(track.step[index] - before_step, 1.0)
        end, spent = track.time_s[index], track.step_s[index] * num_steps
        if index:
            spent = min(spent, end - track.time_s[index - 1])
        inside = min(end, high) - max(end - spent, low)
        if inside > 0:
            share = num_steps * inside / spent if by_step else inside
            product += share * track.step_s[index]
            weight += share
    return product / weight if weight else math.nan


@pytest.mark.parametrize("by_step", [False, True])
def test_a_bucket_is_the_mean_of_what_lies_in_it_however_many_lines_that_are(by_step: bool) -> None:
    rng = random.Random(7)
    track = make_track(0)
    for _ in range(700):
        gap_s = rng.choice([0.0, 0.0, 0.0, 2.0])
        add_line(track, {"forward": rng.uniform(0.005, 0.05)}, stride=rng.choice([4, 8]), gap_s=gap_s)
    rank_map, start, end = RankMap(), track.time_s[0] - 1, track.time_s[-1] + 1
    for _ in range(200):
        low, high = sorted(rng.uniform(start, end) for _ in range(2))
        mean = rank_map.per_step if by_step else _by_time(rank_map)
        assert mean(track, STEP_TIME, low, high) == pytest.approx(
            slow_mean(track, low, high, by_step=by_step), nan_ok=True
        )


def _by_time(rank_map: RankMap):  # type: ignore[no-untyped-def]
    return lambda track, name, low, high: rank_map.grid({0: track}, name, low, (0.0, high - low), 1).values[0][0]


def test_time_counts_from_the_first_start_of_a_rank_and_the_map_begins_with_the_first_step() -> None:
    ranks = {0: make_track(0, 10, time_s=T0_S), 1: make_track(1, 12, time_s=T0_S + 0.5)}
    origin, (begin, end) = RankMap().extent(ranks) or (0.0, (0.0, 0.0))
    assert origin == T0_S
    assert begin == pytest.approx(1.5)
    assert end == pytest.approx(1.5 + 12 * 8 * 0.023)
    assert RankMap().extent({0: make_track(0)}) is None


def test_sums_that_are_kept_stay_right_while_lines_are_added() -> None:
    track, rank_map = make_track(0, 10), RankMap()
    for _ in range(40):
        for _ in range(17):
            add_line(track, {"forward": 0.01 + 0.0001 * track.num_windows})
        whole = (track.time_s[0] - 1, track.time_s[-1])
        assert rank_map.per_step(track, STEP_TIME, *whole) == pytest.approx(slow_mean(track, *whole, by_step=True))


def test_time_between_steps_is_a_gap() -> None:
    track = make_track(0, 5)
    add_line(track, {"forward": 0.02}, gap_s=10.0)
    origin, (_, end) = RankMap().extent({0: track}) or (0.0, (0.0, 0.0))
    row = RankMap().grid({0: track}, STEP_TIME, origin, (0.0, end), 40).values[0]
    assert math.isfinite(row[0])
    assert math.isfinite(row[-1])
    assert all(math.isnan(value) for value in row[10:35])


def test_nan_lines_and_phases_that_came_later_are_gaps_and_spoil_no_mean() -> None:
    track = make_track(0, 100, phases={"forward": 0.01})
    add_line(track, {"forward": math.nan}, step_s=math.nan)
    for _ in range(100):
        add_line(track, {"forward": 0.01, "comm": 0.002})
    track.phases["late"] = array("d", [0.5])  # shorter than the others: a line is being added on another thread
    rank_map, whole = RankMap(), (T0_S, track.time_s[-1])
    assert rank_map.per_step(track, "forward", *whole) == pytest.approx(0.01)
    assert rank_map.per_step(track, "comm", *whole) == pytest.approx(0.002)
    assert rank_map.per_step(track, "late", *whole) == pytest.approx(0.5)
    assert math.isnan(rank_map.per_step(track, "comm", T0_S, track.time_s[20]))
    assert math.isnan(rank_map.per_step(track, "bubble", *whole))


def test_a_restart_that_goes_back_in_steps_counts_no_negative_time() -> None:
    track = make_track(0, 20)
    track.step[10] = 3.0
    mean = RankMap().per_step(track, STEP_TIME, T0_S, track.time_s[-1])
    assert mean == pytest.approx(sum((0.001, 0.009, 0.010, 0.002, 0.001)))


def test_the_map_of_two_million_lines_looks_at_few_of_them() -> None:
    track = RankTrack(rank=0)
    number = 250_000
    track.step.extend(8.0 * (n + 1) - 1 for n in range(number))
    track.time_s.extend(T0_S + 0.25 * (n + 1) for n in range(number))
    track.step_s.extend(0.25 / 8 for n in range(number))
    track.num_windows = number
    rank_map = RankMap()
    span = (0.0, 0.25 * number)
    rank_map.grid({0: track}, STEP_TIME, T0_S, span, 100)
    counted = _Counting(track.step_s)
    track.step_s = counted  # type: ignore[assignment]
    rank_map.grid({0: track}, STEP_TIME, T0_S, span, 100)
    assert 0 < counted.num_read < 100 * 3 * 128


class _Counting:
    def __init__(self, column: array[float]) -> None:
        self.column, self.num_read = column, 0

    def __getitem__(self, part: slice) -> array[float]:
        found = self.column[part]
        self.num_read += len(found)
        return found


def test_quantities_are_the_step_and_the_phases_in_their_order() -> None:
    track = make_track(0, 1, phases={"zeta": 1.0, "comm": 1.0, "data": 1.0, "forward": 1.0})
    assert quantities({0: track}) == (STEP_TIME, "data", "forward", "comm", "zeta")
    assert quantities({}) == (STEP_TIME,)


def test_the_scale_leaves_out_the_extremes_and_is_never_of_noise_alone() -> None:
    low, high = robust_range([*(float(n) for n in range(1, 100)), 1e9])
    assert (low, high) == (6.0, 95.0)
    low, high = robust_range([1.0, 1.001, 1.002])
    assert high - low == pytest.approx(0.25, rel=0.01)
    assert all(math.isnan(end) for end in robust_range([]))


def test_levels_include_what_lies_beyond_the_scale_and_gaps_have_none() -> None:
    assert [level_of(value, 1.0, 2.0, 10) for value in (0.0, 1.0, 1.55, 2.0, 9.0)] == [0, 0, 5, 9, 9]
    assert level_of(math.nan, 1.0, 2.0, 10) is None
    assert level_of(1.0, math.nan, math.nan, 10) is None
    assert level_of(1.0, 1.0, 1.0, 10) == 0


def make_row(rank: int, *, forward: float = 0.010, comm: float | None = 0.002, role: str = "rank") -> RankRow:
    phases = {"forward": forward} if comm is None else {"forward": forward, "comm": comm}
    return RankRow(rank=rank, role=role, step_s=sum(phases.values()), phases=phases, waiting_s=comm)


def test_the_slowest_rank_is_the_one_that_waits_least() -> None:
    rows = [make_row(0, forward=0.009, comm=0.011), make_row(1, forward=0.018), make_row(2, forward=0.009, comm=0.011)]
    marked, reason = find_slowest(rows)
    assert [row.rank for row in marked if row.is_slowest] == [1]
    assert reason == "rank 1 is slowest: forward 18 ms, others 9 ms; they wait 9 ms in comm"


def test_noise_accuses_nobody() -> None:
    marked, reason = find_slowest([make_row(0, forward=0.0100), make_row(1, forward=0.0104)])
    assert not any(row.is_slowest for row in marked)
    assert reason == "no rank computes more than 5 % longer than the others"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], ""),
        ([make_row(0)], "one rank"),
        ([make_row(0, comm=None), make_row(1, comm=None)], "n/a"),
        ([RankRow(rank=0), RankRow(rank=1)], "no steps"),
        (
            [make_row(0, role="driver"), make_row(1, role="stage"), make_row(2, forward=0.02, role="stage")],
            "stage of rank 2",
        ),
    ],
)  # fmt: skip
def test_where_nobody_can_be_accused_the_reason_says_why(rows: list[RankRow], words: str) -> None:
    assert words in find_slowest(rows)[1]


def test_the_view_follows_the_slow_rank_in_the_part_that_is_seen() -> None:
    curves, maker = make_run(), RankViewMaker()
    all_of_it = maker.make(curves.ranks, curves.nodes, Wanted(num_buckets=30))
    low, high = all_of_it.whole
    third = (high - low) / 3
    middle = maker.make(curves.ranks, curves.nodes, Wanted(num_buckets=30, seen=(low + 1.1 * third, low + 1.9 * third)))
    start = maker.make(curves.ranks, curves.nodes, Wanted(num_buckets=30, seen=(low, low + 0.5 * third)))
    assert middle.reason == "rank 1 is slowest: forward 18 ms, others 9 ms; they wait 9 ms in comm"
    assert "no rank computes" in start.reason
    assert start.rows[0].step_s == pytest.approx(0.023)
    assert all_of_it.names == ("data", "forward", "backward", "comm", "optimizer")
    assert all_of_it.rows[2].cores == "2"


def test_under_the_cursor_stand_the_values_of_its_bucket() -> None:
    curves = make_run()
    view = RankViewMaker().make(curves.ranks, curves.nodes, Wanted(num_buckets=30, cursor_s=0.1))
    assert view.cursor == 0
    assert view.at[1] == pytest.approx(view.whole[1] / 30)
    assert view.rows[0].step == 15


def test_no_data_gives_an_empty_view() -> None:
    view = RankViewMaker().make({}, {}, Wanted())
    assert (view.grid.values, view.rows, view.machines, view.newest_s) == ((), (), (), None)
    waiting = RankViewMaker().make({0: make_track(0)}, {}, Wanted(cursor_s=3.0))
    assert waiting.rows[0].step_s is None
    assert waiting.cursor is None


def test_buckets_keep_their_place_while_data_grows() -> None:
    first, later = (fit_buckets((0.0, end), 100, is_growing=True) for end in (100.5, 122.0))
    assert first == later == (0.0, 125.0)
    assert fit_buckets((0.0, 100.5), 100, is_growing=False) == (0.0, 100.5)
    assert round_up(0.0013) == pytest.approx(0.0015)
    assert round_up(5.0) == 5.0


def test_the_scale_holds_until_it_is_wrong() -> None:
    curves, maker = make_run(slow_rank=None), RankViewMaker()
    first = maker.make(curves.ranks, curves.nodes, Wanted())
    kept = maker.make(curves.ranks, curves.nodes, Wanted(before=(STEP_TIME, first.scale[0] * 1.001, first.scale[1])))
    assert kept.scale == (first.scale[0] * 1.001, first.scale[1])
    fresh = maker.make(curves.ranks, curves.nodes, Wanted(before=(STEP_TIME, 1.0, 2.0)))
    assert fresh.scale == first.scale


def test_zoom_keeps_its_centre_and_stays_inside() -> None:
    assert zoomed(None, (0.0, 8.0), is_in=True) == (2.0, 6.0)
    assert zoomed(None, (0.0, 8.0), is_in=True, center=0.0) == (0.0, 4.0)
    assert zoomed((0.0, 4.0), (0.0, 8.0), is_in=False) is None
    assert zoomed((6.0, 8.0), (0.0, 16.0), is_in=True, least=2.0) == (6.0, 8.0)
    assert zoomed(None, (3.0, 3.0), is_in=True) is None
    assert moved((2.0, 4.0), (0.0, 8.0), direction=1) == (2.5, 4.5)
    assert moved((0.1, 4.1), (0.0, 8.0), direction=-1) == pytest.approx((0.0, 4.0))
    assert moved(None, (0.0, 8.0), direction=1) is None


def test_machines_show_their_newest_known_values_and_rates() -> None:
    node = make_node(num_gpus=1)
    node.columns["cpu_percent"][-1] = math.nan
    (row,) = machine_rows({0: node}, {0: make_track(0)})
    assert row.name == "box-01"
    assert row.cpu_percent == node.columns["cpu_percent"][-2]
    assert (row.sent_bytes_per_s, row.received_bytes_per_s) == (1000.0, 2048.0)
    assert row.gpus[0][:2] == (0, 90.0)
    node.columns["net_sent_bytes"][-1] = 0.0  # the machine was started anew
    assert machine_rows({0: node}, {})[0].sent_bytes_per_s is None


def test_a_rank_on_a_gpu_has_the_figures_of_its_gpu() -> None:
    ranks = {
        0: make_track(0, 3, role="driver"),
        1: make_track(1, 3, role="stage", device="NVIDIA H100"),
    }
    view = RankViewMaker().make(ranks, {0: make_node(num_gpus=2)}, Wanted())
    assert [row.gpu_percent for row in view.rows] == [None, 90.0]
