"""Columns of event lines: figures worked out by hand, odd orders, odd lines, and the same progress as the fold's."""

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.curves import Curve, RunCurves
from engine.core.events import decode_line
from engine.core.metrics import RunFold
from engine.core.packed_curves import pack_curves, unpack_curves
from engine.core.step_lines import StepLine, read_block, read_step, step_from_event

SPEC: dict[str, Any] = {"id": "ddp-w2-r0-abc123", "experiment": "demo", "config": {"world_size": 2}}
NAN = math.nan


def start(rank: int = 0, **fields: Any) -> dict[str, Any]:
    event = {"kind": "run_start", "time_s": 100.0, "rank": rank, "attempt": 1, "world_size": 1, "num_steps": 100}
    return event | {"host": "h", "role": "rank", "startup_s": 2.0} | fields


def step(rank: int, last: int, *, first: int | None = None, **fields: Any) -> dict[str, Any]:
    first = last if first is None else first
    n = last - first + 1
    event = {"kind": "step", "time_s": 101.0 + last, "rank": rank, "attempt": 1, "epoch": 0, "step_first": first}
    event |= {"step": last, "num_steps": n, "samples": 8 * n, "correct": 4 * n, "loss": 1.0, "lr": 0.1}
    return event | {"window_s": 0.5 * n, "phases": {"forward": 0.3 * n, "comm": 0.2 * n}} | fields


def evaluation(epoch: int, last: int, split: str = "test", **fields: Any) -> dict[str, Any]:
    event = {"kind": "eval", "time_s": 101.5 + last, "rank": 0, "attempt": 1, "epoch": epoch, "step": last}
    return event | {"split": split, "samples": 50, "loss": 0.5, "accuracy": 0.75, "eval_s": 0.1, "metrics": {}} | fields


def system(time_s: float, **fields: Any) -> dict[str, Any]:
    event = {"kind": "system", "time_s": time_s, "rank": None, "attempt": 1, "node_rank": 0, "cpu_percent": 50.0}
    return event | {"memory_used_bytes": 10, "memory_total_bytes": 100, "net_sent_bytes": 0, "gpus": []} | fields


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def fold(*events: dict[str, Any], curves: RunCurves | None = None) -> RunCurves:
    result = RunCurves(SPEC) if curves is None else curves
    result.add_lines(map(line, events))
    return result


def values(curves: RunCurves, name: str) -> list[float]:
    curve = curves.curve(name)
    assert curve is not None, f"no curve {name}"
    return list(curve.value[: len(curve)])


def points(curve: Curve | None) -> list[tuple[float, ...]]:
    assert curve is not None
    n = len(curve)
    columns = (curve.step[:n], curve.time_s[:n], curve.samples[:n], curve.value[:n])
    return list(zip(*columns, strict=True))


def everything(curves: RunCurves) -> str:
    """All that readers can see, as text: NaN is equal to NaN there. When it ends hangs on which rank is read first."""
    ranks = {
        rank: (t.start, t.stop, t.error, list(t.step), list(t.time_s), list(t.step_s), t.num_windows,
               sorted((name, list(column)) for name, column in t.phases.items()))
        for rank, t in curves.ranks.items()
    }  # fmt: skip
    nodes = {
        rank: (
            list(t.time_s),
            t.num_samples,
            t.gpus,
            {name: list(column) for name, column in sorted(t.columns.items())},
        )
        for rank, t in curves.nodes.items()
    }
    shown = {name: points(curves.curve(name)) for name in sorted(curves.names())}
    progress = {name: value for name, value in vars(curves.progress()).items() if name != "eta_s"}
    return repr((ranks, nodes, shown, curves.notices, curves.num_lines, curves.num_garbage, progress))


def test_one_rank_gives_a_point_for_each_line():
    curves = fold(start(), step(0, 0, loss=2.0), step(0, 2, first=1, loss=1.5, correct=8))
    assert points(curves.curve("loss")) == [(0.0, 3.0, 8.0, 2.0), (2.0, 5.0, 24.0, 1.5)]
    assert values(curves, "accuracy") == [0.5, 0.5]
    assert values(curves, "samples_per_s") == [16.0, 16.0]
    assert values(curves, "step_s") == [0.5, 0.5]
    assert values(curves, "forward_s") == pytest.approx([0.3, 0.3])
    assert curves.names() == ["loss", "accuracy", "samples_per_s", "step_s", "lr", "forward_s", "comm_s"]
    assert curves.curve("nothing") is None


def test_a_step_of_which_nobody_told_since_when_took_an_unknown_time():
    curves = fold(start(), step(0, 0, window_s=0.0, phases={}), step(0, 1, window_s=0.5, phases={}))
    assert values(curves, "step_s") == pytest.approx([NAN, 0.5], nan_ok=True)
    assert values(curves, "samples_per_s") == pytest.approx([NAN, 16.0], nan_ok=True)


def test_windows_of_two_ranks_are_combined_over_the_coarser_one():
    curves = fold(start(0, world_size=2), start(1, world_size=2))
    fold(step(0, 7, first=0, loss=1.0, window_s=4.0), step(0, 15, first=8, loss=3.0, window_s=4.0), curves=curves)
    assert curves.names() == []
    fold(step(1, 15, first=0, loss=6.0, samples=64, window_s=4.0, correct=0), curves=curves)
    # rank 0 saw 64 + 64 samples with mean loss 2, rank 1 saw 64 with 6: (128 * 2 + 64 * 6) / 192
    assert points(curves.curve("loss")) == [(15.0, 18.0, 192.0, pytest.approx(640 / 192))]
    assert values(curves, "samples_per_s") == [pytest.approx(128 / 8 + 64 / 4)]
    assert values(curves, "accuracy") == [pytest.approx(64 / 192)]
    assert values(curves, "step_s") == [pytest.approx((0.5 + 0.25) / 2)]


def test_a_phase_that_only_one_rank_has_is_averaged_over_all():
    events = [start(0, world_size=2), start(1, world_size=2), step(0, 0, phases={"forward": 0.4})]
    curves = fold(*events, step(1, 0, phases={"forward": 0.2, "comm": 0.2}))
    assert values(curves, "forward_s") == [pytest.approx(0.3)]
    assert values(curves, "comm_s") == [pytest.approx(0.1)]


def test_a_phase_that_begins_late_was_not_measured_before():
    curves = fold(start(), step(0, 0, phases={}), step(0, 1, phases={"comm": 0.1}))
    assert math.isnan(values(curves, "comm_s")[0])
    assert values(curves, "comm_s")[1] == pytest.approx(0.1)


def test_ranks_without_samples_do_not_hold_up_the_figures_and_give_the_phases():
    curves = fold(*[start(r, world_size=3, role="stage" if r else "driver") for r in range(3)])
    stage = {"samples": None, "correct": None, "loss": None, "phases": {"forward": 0.1}}
    fold(step(1, 0, **stage), step(2, 0, **stage | {"phases": {"forward": 0.3}}), curves=curves)
    fold(*[step(0, i, phases={"data": 0.1}) for i in range(5)], curves=curves)
    assert len(values(curves, "loss")) == 5
    assert values(curves, "samples_per_s") == [16.0] * 5
    assert values(curves, "forward_s") == [pytest.approx(0.2)]
    assert curves.curve("data_s") is None
    assert curves.notices == []


def test_points_wait_for_a_rank_that_has_not_spoken_yet():
    curves = fold(start(0, world_size=2), step(0, 0), step(0, 1))
    curves.settle()
    assert curves.curve("loss") is None
    fold(start(1, world_size=2), step(1, 0), curves=curves)
    assert values(curves, "samples_per_s") == [32.0]


def test_a_rank_that_ended_is_not_waited_for_and_a_part_is_no_throughput():
    events = [start(0, world_size=2), start(1, world_size=2), step(0, 0), step(1, 0)]
    events += [{"kind": "error", "time_s": 103.0, "rank": 1, "attempt": 1, "type": "Boom"}, step(0, 1), step(0, 2)]
    curves = fold(*events)
    assert len(values(curves, "loss")) == 3
    assert values(curves, "samples_per_s")[0] == 32.0
    assert all(map(math.isnan, values(curves, "samples_per_s")[1:]))
    assert curves.notices == ["rank 1 is missing from step 1 on: samples/s is unknown"]


def test_the_last_windows_of_a_rank_that_ended_elsewhere_do_not_hold_up_the_others():
    events = [start(0, world_size=2), start(1, world_size=2), step(1, 2, first=0)]
    events += [{"kind": "error", "time_s": 103.0, "rank": 1, "attempt": 1}, step(0, 3, first=0), step(0, 7, first=4)]
    assert points(fold(*events).curve("loss"))[0][0] == 3.0


def test_a_rank_that_ended_is_still_matched_with_one_whose_lines_are_read_later():
    stop = {"kind": "run_stop", "time_s": 120.0, "attempt": 1, "reason": "steps"}
    first = [start(0, world_size=2), *[step(0, i) for i in range(8)], stop | {"rank": 0}]
    second = [start(1, world_size=2), step(1, 3, first=0), step(1, 7, first=4), stop | {"rank": 1}]
    curves = RunCurves(SPEC)
    for event in [*first, *second]:
        fold(event, curves=curves)
        curves.settle()
    assert values(curves, "samples_per_s") == [32.0, 32.0]
    assert curves.notices == []


def test_a_silent_rank_is_left_out_and_its_return_makes_the_points_anew():
    curves = fold(start(0, world_size=2), start(1, world_size=2), step(0, 0), step(1, 0))
    fold(*[step(0, i, time_s=102.0 + 30 * i) for i in range(1, 5)], curves=curves)
    assert len(values(curves, "loss")) == 1
    curves.settle()
    assert len(values(curves, "loss")) == 5
    assert math.isnan(values(curves, "samples_per_s")[-1])
    assert len(curves.notices) == 1
    fold(*[step(1, i, time_s=250.0) for i in range(1, 4)], curves=curves)
    assert values(curves, "samples_per_s") == [32.0] * 4
    assert curves.notices == []


def test_a_later_attempt_supersedes_the_steps_from_where_it_resumed():
    curves = fold(start(), *[step(0, i) for i in range(10)], evaluation(0, 3), evaluation(1, 8))
    again = [start(attempt=2, resumed_from_step=5, time_s=200.0), step(0, 5, attempt=2, loss=9.0)]
    fold(*again, step(0, 9), curves=curves)  # the last one is a late line of the first attempt
    assert values(curves, "loss") == [1.0] * 5 + [9.0]
    assert [point[0] for point in points(curves.curve("test_loss"))] == [3.0]
    assert curves.ranks[0].num_windows == 6
    assert curves.curve("loss").samples[-1] == 48.0


def test_an_attempt_from_zero_begins_a_clock_of_its_own():
    curves = fold(system(99.0), start(), *[step(0, i) for i in range(10)])
    fold(system(199.0, attempt=2), start(attempt=2, time_s=200.0), step(0, 0, attempt=2, time_s=201.0), curves=curves)
    assert [point[1] for point in points(curves.curve("loss"))] == [3.0]
    assert points(curves.curve("cpu_percent")) == [(0.0, 1.0, 0.0, 50.0)]


def test_a_rank_that_begins_anew_in_its_attempt_takes_its_points_back():
    curves = fold(start(), *[step(0, i) for i in range(10)])
    held = curves.curve("loss")
    fold(start(), step(0, 0, loss=7.0), curves=curves)
    assert values(curves, "loss") == [7.0]
    assert len(held) == 10  # a reader's own is as it was


def test_a_loss_that_is_not_a_number_is_a_gap_and_said_once():
    curves = fold(start(), *[step(0, i, loss=NAN if i >= 2 else 1.0) for i in range(5)])
    assert [math.isnan(v) for v in values(curves, "loss")] == [False, False, True, True, True]
    assert curves.notices == ["loss is NaN at step 2"]
    assert curves.nonfinite_step == 2
    assert fold(start(), step(0, 0), step(0, 1, loss=math.inf)).notices == ["loss is infinite at step 1"]


def test_a_loss_that_is_null_is_a_gap_and_no_alarm():
    curves = fold(start(), step(0, 0), step(0, 1, loss=None))
    assert math.isnan(values(curves, "loss")[1])
    assert curves.notices == []


def test_evaluations_stand_where_training_was():
    curves = fold(start(0, world_size=2), step(0, 0), step(0, 1), evaluation(0, 1, metrics={"f1": 0.25}))
    fold(evaluation(0, 1, "validation", accuracy=None), start(1, world_size=2), step(1, 0), step(1, 1), curves=curves)
    assert points(curves.curve("test_accuracy")) == [(1.0, 4.5, 32.0, 0.75)]
    assert points(curves.curve("test_f1")) == [(1.0, 4.5, 32.0, 0.25)]
    assert curves.names()[5:9] == ["validation_loss", "test_loss", "test_accuracy", "test_f1"]


def test_the_last_word_on_an_epoch_counts():
    curves = fold(start(), step(0, 0), evaluation(0, 0, loss=1.0), evaluation(0, 0, loss=2.0))
    assert values(curves, "test_loss") == [2.0]


def test_an_epoch_took_as_long_as_its_slowest_rank():
    stop = {"kind": "epoch_stop", "time_s": 110.0, "attempt": 1, "epoch": 0, "step": 9}
    curves = fold(start(), *[stop | {"rank": rank, "epoch_s": s} for rank, s in enumerate((3.0, 5.0, 4.0))])
    assert values(curves, "epoch_s") == [5.0]


def test_a_users_own_figures_come_from_the_lowest_rank_that_says_them():
    said = {"kind": "metric", "attempt": 1, "time_s": 103.0}
    events = [said | {"rank": 1, "score": 5.0}, said | {"rank": 0, "score": 1.0, "note": "x", "lost": None}]
    curves = fold(start(), *events, said | {"rank": 1, "score": 6.0}, said | {"rank": 0, "score": NAN, "step": 7})
    assert [point[0] for point in points(curves.curve("score"))] == [0.0, 7.0]
    assert values(curves, "score")[0] == 1.0
    assert math.isnan(values(curves, "score")[1])
    assert curves.names() == ["score"]


def test_samples_of_metric_lines_are_throughput_over_all_ranks():
    curves = fold(start(0, world_size=2), start(1, world_size=2))
    for rank, seconds in ((0, 1.0), (1, 2.0)):
        said = {"kind": "metric", "attempt": 1, "rank": rank, "samples": 10, "loss": 1.0}
        fold(*[said | {"time_s": 100.0 + seconds * call} for call in range(3)], curves=curves)
    assert values(curves, "samples_per_s")[1:] == [15.0, 15.0]
    assert math.isnan(values(curves, "samples_per_s")[0])  # nothing says when these samples began
    assert [point[2] for point in points(curves.curve("loss"))] == [20.0, 40.0, 60.0]
    assert "samples" not in curves.names()


def test_global_samples_are_counted_once():
    curves = fold(start(0, world_size=2), start(1, world_size=2))
    for rank in (0, 1):
        said = {"kind": "metric", "attempt": 1, "rank": rank, "global_samples": 10}
        fold(*[said | {"time_s": 100.0 + call} for call in range(3)], curves=curves)
    assert values(curves, "samples_per_s")[1:] == [10.0, 10.0]


def test_machines_are_sampled_beside_the_training():
    samples = [system(99.0, net_sent_bytes=1000), system(103.5, net_sent_bytes=1900), system(104.0, net_sent_bytes=5)]
    gpu = {"index": 0, "util_percent": 70.0, "memory_used_bytes": 5}
    curves = fold(
        *samples, system(105.0, gpus=[gpu], ranks={"0": {"cpu_percent": 99.0}}), start(), step(0, 0), step(0, 4)
    )
    assert points(curves.curve("cpu_percent"))[:2] == [(0.0, 1.0, 0.0, 50.0), (0.0, 5.5, 8.0, 50.0)]
    assert values(curves, "net_sent_bytes_per_s")[1] == 200.0
    assert math.isnan(values(curves, "net_sent_bytes_per_s")[2])  # the counter went back
    assert [math.isnan(v) for v in curves.nodes[0].columns["rank0_cpu_percent"]] == [True, True, True, False]
    assert curves.nodes[0].gpus == {0: gpu}
    assert curves.curve("cpu_percent") is curves.curve("cpu_percent")


def test_several_machines_have_names_of_their_own():
    curves = fold(system(99.0), system(99.0, node_rank=1, cpu_percent=20.0))
    assert curves.curve("cpu_percent") is None
    assert values(curves, "node1_cpu_percent") == [20.0]
    assert curves.names()[0] == "node0_cpu_percent"


def test_a_rank_track_has_an_entry_for_each_line():
    track = fold(start(role="driver"), step(0, 1, first=0), step(0, 2)).ranks[0]
    assert (list(track.step), list(track.time_s), list(track.step_s)) == ([1.0, 2.0], [102.0, 103.0], [0.5, 0.5])
    assert list(track.phases["comm"]) == pytest.approx([0.2, 0.2])
    assert (track.start["role"], track.num_windows, track.stop) == ("driver", 2, {})


def test_garbage_is_counted_and_blank_lines_are_not():
    curves = RunCurves(SPEC)
    curves.add_lines([b"", b"{", b"  ", b"[1]", b"\xff", line(start()), b'{"kind":"step"}', b'{"kind":"odd","rank":0}'])
    assert (curves.num_lines, curves.num_garbage) == (6, 4)


def test_revisions_tell_another_content():
    curves = fold(start())
    before = curves.revision
    curves.settle()
    assert curves.revision == before
    fold(step(0, 0), curves=curves)
    assert curves.revision != before


# The same progress as the fold, the same columns whatever the way the lines came.


@st.composite
def told_runs(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """The lines of each rank: windows of powers of two, evaluations, an end or none, now and then another attempt."""
    num_ranks = draw(st.integers(1, 3))
    files: list[list[dict[str, Any]]] = [[] for _ in range(num_ranks)]
    resumed = 0
    for attempt in range(1, draw(st.integers(1, 2)) + 1):
        num_steps = resumed + draw(st.sampled_from([1, 7, 16, 40, 64]))
        for rank, events in enumerate(files):
            common = {"attempt": attempt}
            events.append(start(rank, world_size=num_ranks, resumed_from_step=resumed, time_s=100.0 * attempt) | common)
            stride, first = draw(st.sampled_from([1, 2, 8])), resumed
            while first < num_steps:
                last = min((first // stride + 1) * stride, num_steps) - 1
                loss = draw(st.sampled_from([1.0, 2.5, None, NAN, math.inf]))
                window_s = draw(st.sampled_from([0.0, 0.1, 1.5]))
                fields = {"loss": loss, "window_s": window_s, "epoch": last // 16, "time_s": 100.0 * attempt + last}
                events.append(step(rank, last, first=first, **fields, **common))
                first = last + 1
            if rank == 0:
                events.append(evaluation(num_steps // 16, num_steps - 1, attempt=attempt))
            if draw(st.booleans()):
                events.append({"kind": "run_stop", "rank": rank, "time_s": 900.0, **common})
        resumed = draw(st.integers(0, num_steps))
    return files


@given(told_runs())
@settings(max_examples=60)
def test_progress_is_what_the_fold_says_of_the_same_lines(files: list[list[dict[str, Any]]]):
    curves, other = RunCurves(SPEC), RunFold(SPEC)
    for event in sorted((event for events in files for event in events), key=lambda e: e["attempt"]):
        fold(event, curves=curves)
        other.add(decode_line(line(event)))
        assert_same_progress(curves, other)
    assert curves.nonfinite_step == other.first_nonfinite_step()


def assert_same_progress(curves: RunCurves, other: RunFold) -> None:
    mine, theirs = vars(curves.progress()), vars(other.progress())
    for name, value in theirs.items():
        assert mine[name] == (pytest.approx(value) if isinstance(value, float) else value), name


def test_progress_is_the_same_after_thousands_of_windows_that_the_fold_has_merged():
    events = [start(), *[step(0, i, epoch=i // 700, loss=1.0 / (i + 1)) for i in range(3000)]]
    other = RunFold(SPEC)
    other.extend(events)
    assert len(other.record.ranks[0].windows) < 2100
    assert_same_progress(fold(*events), other)


@given(told_runs(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_in_which_files_are_read_does_not_matter(files: list[list[dict[str, Any]]], random: Any):
    whole, pieces = RunCurves(SPEC), RunCurves(SPEC)
    last = max(event["attempt"] for events in files for event in events)
    for attempt in range(1, last + 1):
        told = [[event for event in events if event["attempt"] == attempt] for events in files]
        for events in told:
            fold(*events, curves=whole)
        while any(told):
            events = random.choice([events for events in told if events])
            taken = [events.pop(0) for _ in range(random.randint(1, len(events)))]
            fold(*taken, curves=pieces)
    for curves in (whole, pieces):
        curves.settle()
    assert everything(whole) == everything(pieces)


@given(told_runs(), st.integers(0, 100))
@settings(max_examples=40)
def test_what_was_packed_goes_on_as_if_it_had_not_been(files: list[list[dict[str, Any]]], cut: int):
    events = [*(event for events in files for event in events), system(120.0), system(121.0)]
    events.sort(key=lambda e: e["attempt"])
    cut = min(cut, len(events))
    whole, first = fold(*events), fold(*events[:cut])
    packed, columns = pack_curves(first)
    second = unpack_curves(json.loads(json.dumps(packed)), columns)
    assert everything(second) == everything(first)
    assert everything(fold(*events[cut:], curves=second)) == everything(whole)


def test_packed_curves_of_nobody_are_refused():
    for odd in (None, 5, ["object", "RunCurves", []], ["object", "os", []], ["column", 3], ["map", [1]], [[]]):
        with pytest.raises(ValueError, match="not the curves"):
            unpack_curves(odd, [])


# Odd lines.


def cut_or_change(text: bytes, places: Iterable[tuple[int, bytes]]) -> bytes:
    for place, new in places:
        place %= len(text) + 1
        text = text[:place] + new + text[place + len(new) :]
    return text


ODD = st.sampled_from(
    [b"", b"-", b"0", b"9", b".5", b"e99", b"e999", b"null", b"true", b"NaN", b'"', b'"x"', b"{}", b"[", b"}", b",",
     b"\\", b"\\u0041", b"\\ud800", b"\xff", b"\xc3\xa9", b"\x00", b" ", b"\n", b'"kind":"eval"', b'"step":1', b"1e400"]
)  # fmt: skip
PLACES = st.lists(st.tuples(st.integers(0, 700), st.one_of(ODD, st.binary(max_size=3))), min_size=1, max_size=3)
FIELDS = st.dictionaries(
    st.sampled_from([*step(0, 0), "resumed_from_step", "boundary"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(2**53 - 1, 2**66), st.floats(), st.text(max_size=2),
        st.just(10**400), st.just([]), st.just({"a": 10**400}), st.just({"b": "\ud800"}), st.just({"c": None, "d": 1}),
    ),
    max_size=3,
)  # fmt: skip
REAL = {"boundary": {"step_s": 0.1, "phases": {"forward": 0.1}}, "loss_min": 0.5, "seq": 3, "mono_s": 5.25}


@given(FIELDS, PLACES | st.just([]))
@settings(max_examples=600)
def test_what_the_fast_way_reads_the_slow_way_reads_too(fields: dict[str, Any], places: list[tuple[int, bytes]]):
    text = cut_or_change(line(step(0, 3, first=0) | REAL | fields), places)
    fast = read_step(text)
    if fast is None:
        return
    event = decode_line(text)
    assert event is not None
    assert event["kind"] == "step"
    fast.step_first = min(fast.step_first, fast.step)  # as whoever uses it does
    assert fast == step_from_event(event, fast.rank, fast.attempt, last_epoch=0)


@given(st.lists(st.tuples(FIELDS, PLACES | st.just([])), min_size=1, max_size=4))
@settings(max_examples=300)
def test_no_line_raises_and_a_block_is_its_lines(changes: list[tuple[dict[str, Any], list[tuple[int, bytes]]]]):
    lines = [line(start()), line(step(0, 0))]
    lines += [cut_or_change(line(step(0, n) | REAL | fields), places) for n, (fields, places) in enumerate(changes, 1)]
    lines += [line(step(0, 9)), line(evaluation(0, 9)), line(system(105.0))]
    lines = b"\n".join(lines).split(b"\n")
    block, single, events = RunCurves(SPEC), RunCurves(SPEC), RunCurves(SPEC)
    block.add_block(b"\n".join(lines))
    block.conclude()
    for text in lines:
        single.add_lines([text])
        if text.strip():
            events.add(decode_line(text))
    assert everything(block) == everything(single) == everything(events)


@given(st.lists(st.dictionaries(
    st.sampled_from(["kind", "rank", "attempt", "time_s", "step", "epoch", "world_size", "epoch_s", "split", "metrics",
                     "samples", "global_samples", "node_rank", "gpus", "ranks", "score", "resumed_from_step"]),
    st.one_of(st.none(), st.integers(-2, 5), st.floats(), st.sampled_from(["test", [], {}, [{"index": 1}], {"1": {}}]),
              st.sampled_from(["run_start", "epoch_stop", "eval", "metric", "system", "error", "run_stop", "step"])),
    min_size=3,
), max_size=12))  # fmt: skip
@settings(max_examples=300)
def test_no_event_raises(odd: list[dict[str, Any]]):
    curves = fold(start(), step(0, 0))
    for event in odd:
        curves.add(event)
        curves.settle()
        for name in curves.names():
            assert len(points(curves.curve(name))) > 0
        curves.progress()


def test_a_value_over_two_lines_is_two_pieces_of_garbage():
    torn = line(step(0, 1)).replace(b',"rank"', b'\n,"rank"')
    assert read_block(line(step(0, 0)) + b"\n" + torn) is None
    curves = RunCurves(SPEC)
    curves.add_block(line(step(0, 0)) + b"\n" + torn)
    curves.conclude()
    assert curves.num_garbage == 2


def test_lines_as_ranks_write_them_go_the_fast_way():
    block = b"\n".join([line(start()), line(step(0, 0) | REAL)])
    read = read_block(block)
    assert read is not None
    assert [type(item) is StepLine for item in read] == [False, True]
    assert isinstance(read_step(line(step(0, 0) | REAL)), StepLine)
