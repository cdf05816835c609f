from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from feed_driver import FeedDriver
from made_results import MadeResults, MadeRun

from engine.core.curves import RunCurves
from engine.processes import this_process
from engine.replay import RunReplay
from engine.report.collect import read_experiment
from engine.store import RunPaths, write_json
from tui.feed.feed import Feed
from tui.messages import ComparisonReady, CurvesChanged, SnapshotReady, SourcesChanged


def finished(results: MadeResults, run_id: str, **options: Any) -> MadeRun:
    return results.run(run_id, **options).begin().steps(5).end()


def going_on(results: MadeResults, run_id: str, **options: Any) -> MadeRun:
    run = results.run(run_id, **options).begin()
    return run.status("running", handle=this_process().to_json(), updated_s=4e9)


def alive(results: MadeResults) -> None:
    """This process is the supervisor."""
    write_json(results.paths.lock, this_process().to_json())


class MadeSource:
    """A source that has ``num_slices`` to read, each of which takes ``slice_s`` of the feed's clock."""

    def __init__(self, num_slices: int = 0, work: Callable[[], None] = lambda: None) -> None:
        self.num_slices = num_slices
        self.revision = 0
        self.num_polls = 0
        self.closed_on: str = ""
        self._work = work

    def poll(self) -> bool:
        self.num_polls += 1
        self._work()
        if self.num_slices:
            self.num_slices -= 1
            self.revision += 1
        return self.num_slices > 0

    def close(self) -> None:
        self.closed_on = threading.current_thread().name


# ---------------------------------------------------------------- the folder, the queue and the supervisor


def test_the_queue_is_shown_in_its_order_with_whether_it_is_held_and_owned(results: MadeResults) -> None:
    for run_id in ("a", "b"):
        results.run(run_id)
    results.queue("digits/b", "digits/a", is_held=True)
    alive(results)
    snapshot = FeedDriver(results).settle()
    assert snapshot.queue == ("digits/b", "digits/a")
    assert (snapshot.is_held, snapshot.has_supervisor, snapshot.problem) == (True, True, "")


def test_runs_that_wait_for_a_supervisor_that_died_are_a_problem_until_there_is_another(results: MadeResults) -> None:
    for run_id in ("a", "b"):
        results.run(run_id)
    results.queue("digits/b", "digits/a")
    write_json(results.paths.lock, {**this_process().to_json(), "start_time": 1.0})
    driver = FeedDriver(results)
    snapshot = driver.settle()
    assert snapshot.has_supervisor is False
    assert snapshot.problem == "its supervisor is gone: 2 runs wait; `ddptui retry` takes them up"
    alive(results)
    driver.turn(2.0)
    assert (driver.feed.snapshot.has_supervisor, driver.feed.snapshot.problem) == (True, "")


def test_of_a_supervisor_on_another_host_nothing_is_claimed(results: MadeResults) -> None:
    results.run("a")
    results.queue("digits/a")
    write_json(results.paths.lock, {**this_process().to_json(), "host": "elsewhere"})
    snapshot = FeedDriver(results).settle()
    assert (snapshot.has_supervisor, snapshot.problem) == (None, "")


def test_a_folder_that_vanishes_while_it_is_open_is_said_to_be_gone_and_may_come_back(
    results: MadeResults, tmp_path: Path
) -> None:
    finished(results, "one")
    driver = FeedDriver(results)
    driver.feed.watch_curves(["digits/one"])
    driver.feed.watch_comparison("digits")
    driver.settle()
    results.root.rename(tmp_path / "away")
    snapshot = driver.settle()
    assert snapshot.rows == ()
    assert snapshot.problem == f"{results.root} is gone: deleted, moved or unmounted"
    (tmp_path / "away").rename(results.root)
    snapshot = driver.settle()
    assert (len(snapshot.rows), snapshot.problem) == (1, "")


def test_a_folder_that_cannot_be_read_is_a_problem_and_what_was_known_stays(
    results: MadeResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(results, "one")
    driver = FeedDriver(results)
    driver.settle()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("tui.feed.scan.os.scandir", refuse)
        driver.turn(100.0)
    assert driver.feed.snapshot.problem == f"cannot read {results.root}: Permission denied"
    assert [row.id for row in driver.feed.snapshot.rows] == ["one"]
    driver.turn(100.0)
    assert driver.feed.snapshot.problem == ""


def test_a_fault_of_ours_is_a_line_on_the_screen_and_the_rest_goes_on(results: MadeResults) -> None:
    going_on(results, "live").steps(1)

    def fail(_paths: RunPaths, _spec: Mapping[str, Any]) -> Any:
        raise RuntimeError("no\nreplay")

    driver = FeedDriver(results, open_replay=fail)
    pause_s = driver.turn()
    snapshot = driver.feed.snapshot
    assert snapshot.problem == "reading failed: RuntimeError: no replay"
    assert [row.state for row in snapshot.rows] == ["running"]
    assert pause_s >= 1.0
    finished(results, "another")
    assert len(driver.settle().rows) == 2


# ---------------------------------------------------------------- curves


def test_curves_are_of_watched_runs_and_told_once_a_second_if_they_grew(results: MadeResults) -> None:
    run = finished(results, "one")
    driver = FeedDriver(results)
    driver.settle()
    assert driver.feed.curves(run.tag) is None
    assert driver.count(CurvesChanged) == 0
    driver.feed.watch_curves([run.tag, "digits/no-such-run"])
    driver.turn(0.1)
    assert driver.feed.curves(run.tag) is not None
    assert driver.feed.curves("digits/no-such-run") is None
    assert driver.count(CurvesChanged) == 1
    for _ in range(30):
        driver.turn(1.0)
    assert driver.count(CurvesChanged) == 1
    driver.feed.watch_curves([])
    driver.turn(0.1)
    assert driver.feed.curves(run.tag) is None


def test_curves_of_a_run_that_goes_on_are_told_at_most_once_a_second(results: MadeResults) -> None:
    run = going_on(results, "live")
    driver = FeedDriver(results)
    driver.feed.watch_curves([run.tag])
    driver.turn()
    for _ in range(50):
        run.steps(1)
        driver.turn(0.1)
    assert 4 <= driver.count(CurvesChanged) <= 6


class LongReplay:
    """Event lines that take ``num_slices`` readings; each takes a while on the feed's clock."""

    def __init__(self, num_slices: int, work: Callable[[], object]) -> None:
        self.curves = RunCurves({})
        self.num_slices = num_slices
        self.is_closed = False
        self._work = work

    @property
    def revision(self) -> int:
        return self.num_slices

    def poll(self) -> bool:
        self._work()
        self.num_slices -= 1
        return self.num_slices > 0

    def close(self) -> None:
        self.is_closed = True


def test_a_long_log_of_events_is_read_in_slices_and_the_other_runs_are_not_held_up(results: MadeResults) -> None:
    long, short = finished(results, "long"), going_on(results, "short").steps(2)
    replay = LongReplay(100, work=lambda: driver.pass_time(0.02))

    def open_replay(paths: RunPaths, spec: Mapping[str, Any]) -> Any:
        return replay if paths == long.paths else RunReplay(paths, spec, cache_dir=None)

    driver = FeedDriver(results, open_replay=open_replay)
    driver.feed.watch_curves([long.tag])
    assert driver.turn() < 0.01, "more waits"
    assert 95 <= replay.num_slices < 100
    assert driver.feed.curves(long.tag) is replay.curves
    num_turns = 0
    while driver.turn() < 0.01:
        num_turns += 1
        if num_turns == 10:
            short.steps(1)
    assert num_turns > 20
    driver.turn(0.5)
    row = driver.feed.snapshot.row(short.tag)
    assert row is not None
    assert row.step == 23
    assert driver.count(CurvesChanged) <= 3
    driver.feed.watch_curves([])
    driver.turn()
    assert replay.is_closed


# ---------------------------------------------------------------- sources


def test_a_source_is_read_to_its_end_and_told_four_times_a_second_at_most(results: MadeResults) -> None:
    driver = FeedDriver(results)
    source = MadeSource(5)
    driver.feed.add_source(source)
    driver.turn()
    assert (source.revision, driver.count(SourcesChanged)) == (5, 1)
    for _ in range(20):
        source.num_slices = 1
        pause_s = driver.turn(0.1)
        assert pause_s <= 0.25
    assert 4 <= driver.count(SourcesChanged) - 1 <= 8
    driver.posted.clear()
    for _ in range(20):
        driver.turn(1.0)
    assert driver.count(SourcesChanged) <= 1
    driver.feed.remove_source(source)
    driver.turn()
    assert source.closed_on


def test_a_source_that_fails_does_not_hold_up_the_others(results: MadeResults) -> None:
    def fail() -> None:
        raise ValueError("odd")

    driver = FeedDriver(results)
    bad, good = MadeSource(3, work=fail), MadeSource(3)
    driver.feed.add_source(bad)
    driver.feed.add_source(good)
    for _ in range(4):
        driver.turn(1.0)
    assert good.revision == 3
    assert driver.feed.snapshot.problem == "reading failed: ValueError: odd"


def test_an_endless_source_leaves_time_for_the_runs(results: MadeResults) -> None:
    driver = FeedDriver(results, step_s=0.001)
    source = MadeSource(10**9)
    driver.feed.add_source(source)
    driver.turn()
    num_polls = source.num_polls
    assert 1 < num_polls < 60
    finished(results, "one")
    driver.feed.look_now()
    for _ in range(10):
        driver.turn(0.5)
    assert len(driver.feed.snapshot.rows) == 1


# ---------------------------------------------------------------- the comparison


def make_experiment(results: MadeResults) -> list[MadeRun]:
    runs = []
    for repeat in range(3):
        for world_size in (1, 2, 4):
            strategy = "single" if world_size == 1 else "ddp"
            run = results.run(
                f"{strategy}-w{world_size}-r{repeat}", strategy=strategy, world_size=world_size, repeat=repeat
            )
            runs.append(run.begin().steps(80, step_s=0.03 / world_size * (1 + 0.1 * repeat)).end())
    return runs


def test_the_comparison_holds_the_points_of_the_report(results: MadeResults) -> None:
    make_experiment(results)
    plan = results.paths.experiment("digits").plan
    driver = FeedDriver(results)
    driver.feed.watch_comparison("digits")
    driver.settle()
    comparison = driver.feed.comparison()
    assert comparison is not None
    report = read_experiment(results.root, "digits")
    assert comparison.points == report.points
    assert comparison.data_notes == tuple(report.data_notes)
    speedups = [point.throughput_speedup for point in comparison.points]
    assert [round(speedup.value) if speedup else None for speedup in speedups] == [1, 2, 4]
    assert driver.count(ComparisonReady) == 1
    write_json(plan, {"run_ids": ["single-w1-r0", "ddp-w2-r0"], "reference": {"source": "a paper"}})
    driver.settle()
    comparison = driver.feed.comparison()
    assert comparison is not None
    assert comparison.reference == {"source": "a paper"}
    assert comparison.points == read_experiment(results.root, "digits").points


def test_a_comparison_is_made_again_only_when_a_run_of_it_ended(results: MadeResults) -> None:
    make_experiment(results)
    live = going_on(results, "ddp-w4-r3", world_size=4, repeat=3)
    driver = FeedDriver(results)
    driver.feed.watch_comparison("digits")
    driver.settle()
    first = driver.feed.comparison()
    assert first is not None
    assert [(point.n, point.num_runs) for point in first.points] == [(3, 3), (3, 3), (3, 4)]
    for _ in range(5):
        live.steps(1)
        driver.turn(1.0)
    finished(results, "elsewhere", experiment="other")
    driver.settle()
    assert driver.feed.comparison() is first
    live.steps(80).end()
    driver.settle()
    second = driver.feed.comparison()
    assert second is not None
    assert second.revision > first.revision
    assert second.points[2].n == 4
    assert driver.count(ComparisonReady) == 2


def test_of_an_experiment_that_is_not_there_the_comparison_says_so_and_of_none_there_is_none(
    results: MadeResults,
) -> None:
    driver = FeedDriver(results)
    driver.feed.watch_comparison("nothing")
    driver.settle()
    comparison = driver.feed.comparison()
    assert comparison is not None
    assert comparison.problem == "no experiment 'nothing'"
    driver.feed.watch_comparison(None)
    assert driver.feed.comparison() is None


# ---------------------------------------------------------------- the thread


def wait_until(is_so: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it has not come to pass"
        time.sleep(0.005)


def test_the_thread_posts_sees_what_is_new_and_ends(results: MadeResults) -> None:
    finished(results, "one")
    posted: list[Any] = []
    feed = Feed(results.paths, cache_dir=None)
    feed.start(posted.append)
    wait_until(lambda: len(feed.snapshot.rows) == 1)
    finished(results, "two")
    feed.look_now()
    wait_until(lambda: len(feed.snapshot.rows) == 2)
    source = MadeSource(2)
    feed.add_source(source)
    wait_until(lambda: any(isinstance(message, SourcesChanged) for message in posted))
    feed.close()
    assert not feed._thread.is_alive()
    assert source.closed_on == "feed"
    assert [m.snapshot.revision for m in posted if isinstance(m, SnapshotReady)] == [1, 2]


def test_it_ends_while_much_is_being_read(results: MadeResults) -> None:
    feed = Feed(results.paths, cache_dir=None)
    source = MadeSource(10**9, work=lambda: time.sleep(0.02))
    feed.add_source(source)
    feed.start(lambda _: None)
    wait_until(lambda: source.num_polls > 3)
    feed.close()
    assert not feed._thread.is_alive()
    assert source.closed_on == "feed"


def test_a_feed_that_never_started_closes_too(results: MadeResults, tmp_path: Path) -> None:
    feed = Feed(results.paths, cache_dir=tmp_path / "cache")
    source = MadeSource()
    feed.add_source(source)
    feed.close()
    assert source.closed_on
    late = MadeSource()
    feed.remove_source(late)
    assert late.closed_on


def test_a_vanished_folder_does_not_end_the_thread(results: MadeResults) -> None:
    going_on(results, "live").steps(2)
    feed = Feed(results.paths, cache_dir=None)
    feed.start(lambda _: None)
    wait_until(lambda: len(feed.snapshot.rows) == 1)
    shutil.rmtree(results.root)
    feed.look_now()
    wait_until(lambda: "is gone" in feed.snapshot.problem)
    assert feed._thread.is_alive()
    feed.close()


def test_what_was_read_ahead_is_told_as_soon_as_somebody_listens(results: MadeResults) -> None:
    finished(results, "one")
    feed = Feed(results.paths, cache_dir=None)
    feed.read_ahead()
    wait_until(lambda: len(feed.snapshot.rows) == 1)
    posted: list[Any] = []
    feed.start(posted.append)
    feed.close()
    assert [len(m.snapshot.rows) for m in posted if isinstance(m, SnapshotReady)][:1] == [1]
