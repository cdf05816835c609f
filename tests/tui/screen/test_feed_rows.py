from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from feed_driver import FeedDriver
from made_results import T0_S, MadeResults, MadeRun

from engine.annotation import annotate
from engine.processes import this_process
from engine.store import ExperimentPaths, write_json
from tui.messages import SnapshotReady
from tui.run_names import NamedRun
from tui.run_row import RunReader


def finished(results: MadeResults, run_id: str, **options: Any) -> MadeRun:
    return results.run(run_id, **options).begin().steps(5).end()


def going_on(results: MadeResults, run_id: str, **options: Any) -> MadeRun:
    """A run whose supervisor (this very process) is alive and has just said so."""
    run = results.run(run_id, **options).begin()
    return run.status("running", handle=this_process().to_json(), updated_s=4e9)


def test_a_folder_that_is_not_there_yet_is_an_empty_one_and_no_problem(tmp_path: Path) -> None:
    results = MadeResults(tmp_path / "results")
    results.root.rmdir()
    driver = FeedDriver(results)
    driver.turn()
    (snapshot,) = driver.snapshots
    assert (snapshot.revision, snapshot.rows, snapshot.problem) == (1, (), "")
    assert snapshot.read_s is not None


def test_the_first_turn_shows_every_finished_run_as_ls_does(results: MadeResults) -> None:
    runs = [finished(results, f"ddp-w{n}-r0-aaaaaa", world_size=n) for n in (1, 2, 4)]
    driver = FeedDriver(results)
    driver.turn()
    (snapshot,) = driver.snapshots
    assert list(snapshot.rows) == [RunReader(NamedRun("digits", run.paths)).read() for run in runs]
    assert [(row.step, row.world_size) for row in snapshot.rows] == [(39, 1), (39, 2), (39, 4)]
    assert snapshot.num_unread == 0


def test_rows_stand_in_the_order_of_the_plan_and_what_is_not_planned_behind(results: MadeResults) -> None:
    for run_id in ("b-run", "z-run", "a-run", "c-run"):
        finished(results, run_id)
    finished(results, "other", experiment="an-earlier-name")
    plan = results.paths.experiment("digits").plan
    write_json(plan, {"format": 1, "run_ids": ["z-run", "b-run"], "file": "e.toml", "reference": {"by": "them"}})
    driver = FeedDriver(results)
    driver.turn()
    snapshot = driver.feed.snapshot
    assert [row.id for row in snapshot.rows] == ["other", "z-run", "b-run", "a-run", "c-run"]
    digits = snapshot.experiment("digits")
    assert digits is not None
    assert (digits.run_ids, digits.file, digits.reference) == (("z-run", "b-run"), "e.toml", {"by": "them"})


def test_nothing_is_posted_while_nothing_changes_and_the_turns_become_rare(results: MadeResults) -> None:
    finished(results, "one")
    driver = FeedDriver(results)
    pauses = [driver.turn(1.0) for _ in range(30)]
    assert len(driver.snapshots) == 1
    assert pauses[-1] == 2.0


def test_a_run_and_an_experiment_that_appear_are_seen_and_one_that_is_deleted_is_not(results: MadeResults) -> None:
    first = finished(results, "first")
    driver = FeedDriver(results)
    driver.settle()
    finished(results, "second")
    finished(results, "third", experiment="another")
    assert [row.tag for row in driver.settle().rows] == ["another/third", "digits/first", "digits/second"]
    shutil.rmtree(first.paths.root)
    assert [row.tag for row in driver.settle().rows] == ["another/third", "digits/second"]


def test_a_new_run_is_seen_without_being_asked_to_look(results: MadeResults) -> None:
    finished(results, "first")
    driver = FeedDriver(results)
    driver.turn()
    finished(results, "second")
    driver.turn(5.0)
    assert [row.id for row in driver.feed.snapshot.rows] == ["first", "second"]


def test_a_folder_without_run_json_becomes_a_run_when_it_is_written(results: MadeResults) -> None:
    finished(results, "first")
    late = results.paths.run("digits", "late")
    late.root.mkdir(parents=True)
    driver = FeedDriver(results)
    assert [row.id for row in driver.settle().rows] == ["first"]
    write_json(late.run, {"id": "late", "config": {}})
    driver.turn(5.0)
    assert [(row.id, row.state) for row in driver.feed.snapshot.rows] == [("first", "succeeded"), ("late", "queued")]


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"config": 3, "axes": [1], "repeat": "x"}', "\x00\xff" * 50])
def test_broken_files_are_runs_of_which_nothing_is_known(content: str, results: MadeResults) -> None:
    run = finished(results, "good")
    bad = results.paths.run("digits", "bad")
    bad.root.mkdir(parents=True)
    for path in (bad.run, bad.status, bad.summary, bad.annotation):
        path.write_text(content)
    run.paths.root.parents[1].joinpath("plan.json").write_text(content)
    results.paths.queue.parent.mkdir()
    results.paths.queue.write_text(content)
    results.paths.lock.write_text(content)
    driver = FeedDriver(results)
    snapshot = driver.settle()
    assert [(row.id, row.state, row.step) for row in snapshot.rows] == [
        ("bad", "unreadable", None),
        ("good", "succeeded", 39),
    ]
    assert snapshot.problem.startswith("digits/bad: status.json ")


def test_names_and_links_that_lead_out_of_the_folder_are_not_followed(results: MadeResults, tmp_path: Path) -> None:
    good = finished(results, "good")
    outside = MadeResults(tmp_path / "outside")
    foreign = finished(outside, "secret")
    runs = good.paths.root.parent
    (runs / "linked").symlink_to(foreign.paths.root)
    (runs / "circle").symlink_to(runs / "circle")
    (runs / "alias").symlink_to(good.paths.root)
    (runs / "evil\x1b[2J").mkdir()
    (runs / "a file").write_text("no run")
    assert [row.id for row in FeedDriver(results).settle().rows] == ["good", "alias"]


def test_a_run_that_says_running_but_whose_processes_are_dead_is_not_shown_as_running(results: MadeResults) -> None:
    dead = {**this_process().to_json(), "pid": 2**22 - 3, "start_time": 1.0}
    run = results.run("dead").begin().steps(3).status("running", handle=dead, updated_s=T0_S)
    write_json(run.paths.attempt(1).handle(0), dead)
    (row,) = FeedDriver(results).settle().rows
    assert row.state == "lost"
    assert row.step == 23


def test_an_annotation_is_seen_and_may_change(results: MadeResults) -> None:
    run = finished(results, "one")
    driver = FeedDriver(results)
    driver.settle()
    annotate(run.paths, is_pinned=True, note="the good one")
    (row,) = driver.settle().rows
    assert (row.is_pinned, row.note) == (True, "the good one")
    annotate(run.paths, note="")
    driver.turn(5.0)
    assert driver.feed.snapshot.rows[0].note == ""


def test_live_figures_grow_and_become_the_summary_at_the_end(results: MadeResults) -> None:
    run = going_on(results, "live", world_size=2)
    driver = FeedDriver(results)
    driver.settle()
    seen = []
    for _ in range(3):
        run.steps(10)
        driver.turn(1.0)
        (row,) = driver.feed.snapshot.rows
        seen.append((row.state, row.step))
    assert seen == [("running", 79), ("running", 159), ("running", 239)]
    assert row.loss is not None
    assert row.samples_per_s is not None
    assert row.last_event_s is not None
    assert row.axes == {"strategy": "ddp", "world_size": 2}
    run.end()
    driver.turn(1.0)
    driver.turn(1.0)
    assert driver.feed.snapshot.rows == (RunReader(NamedRun("digits", run.paths)).read(),)


def test_snapshots_come_twice_a_second_at_most_however_fast_lines_come(results: MadeResults) -> None:
    run = going_on(results, "live")
    driver = FeedDriver(results)
    driver.turn()
    for _ in range(40):
        run.steps(1)
        driver.turn(0.1)
    assert 6 <= len(driver.snapshots) <= 9


def test_an_ended_run_without_summary_is_read_from_its_lines_once(results: MadeResults) -> None:
    run = results.run("crashed").begin().steps(4).status("failed", "rank 0: boom")
    driver = FeedDriver(results)
    (row,) = driver.settle().rows
    assert (row.state, row.step, row.reason) == ("failed", 31, "rank 0: boom")
    assert not driver.feed._live.curves
    run.steps(1)  # nobody follows it any more
    assert driver.settle().rows[0].step == 31


def test_a_step_whose_loss_was_not_finite_is_known_of_runs_that_go_on_and_that_ended(results: MadeResults) -> None:
    live = going_on(results, "live")
    finished(results, "ended").status("succeeded", "loss is NaN or infinite from step 120 on")
    live.steps(3).steps(1, stride=1, loss=lambda _: float("nan"))
    assert {row.id: row.nonfinite_step for row in FeedDriver(results).settle().rows} == {"live": 24, "ended": 120}


def test_a_thousand_runs_are_shown_in_slices_the_waiting_and_the_newest_first(results: MadeResults) -> None:
    for number in range(300):
        paths = results.paths.run("many", f"run-{number:04d}")
        paths.root.mkdir(parents=True)
        paths.run.write_text(json.dumps({"id": paths.run_id, "config": {}}))
        paths.status.write_text(json.dumps({"state": "stopped", "attempt": 1}))
        os.utime(paths.root, (T0_S + number, T0_S + number))
    results.queue("many/run-0007")
    driver = FeedDriver(results, step_s=0.002)
    driver.turn()
    first = driver.snapshots[0]
    assert first.num_unread > 200
    assert first.num_unread + len(first.rows) == 300
    assert {"run-0007", "run-0299"} <= {row.id for row in first.rows}
    assert "run-0000" not in {row.id for row in first.rows}
    for _ in range(400):
        driver.turn()
    assert (len(driver.feed.snapshot.rows), driver.feed.snapshot.num_unread) == (300, 0)
    assert driver.feed.snapshot.rows[0].id == "run-0000"


def test_rows_of_finished_runs_are_kept_for_the_next_start(results: MadeResults, tmp_path: Path) -> None:
    runs = [finished(results, f"run-{number}") for number in range(5)]
    first = FeedDriver(results, tmp_path / "cache")
    rows = first.settle().rows
    first.feed.close()
    for run in runs[1:]:  # in place, behind the back of the times: only the kept rows can know
        status = os.stat(run.paths.summary)
        run.paths.summary.write_text("{}")
        os.utime(run.paths.summary, ns=(status.st_atime_ns, status.st_mtime_ns))
    runs[0].status("stopped", "by hand")
    again = FeedDriver(results, tmp_path / "cache")
    again.turn()
    assert again.feed.snapshot.rows[1:] == rows[1:]
    assert again.feed.snapshot.rows[0].state == "stopped"


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', "{" * 5000])
def test_a_broken_cache_is_none(content: str, results: MadeResults, tmp_path: Path) -> None:
    finished(results, "one")
    first = FeedDriver(results, tmp_path / "cache")
    rows = first.settle().rows
    first.feed.close()
    for path in (tmp_path / "cache").glob("rows-*"):
        path.write_text(content)
    again = FeedDriver(results, tmp_path / "cache")
    assert again.settle().rows == rows
    assert again.feed.snapshot.problem == ""


def test_a_folder_that_cannot_be_written_and_a_cache_that_cannot_be_made_do_no_harm(
    results: MadeResults, tmp_path: Path
) -> None:
    finished(results, "one")
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    for folder, _, _ in os.walk(results.root):
        Path(folder).chmod(0o500)
    driver = FeedDriver(results, blocked / "cache")
    assert [row.state for row in driver.settle().rows] == ["succeeded"]
    driver.feed.close()
    for folder, _, _ in os.walk(results.root):
        Path(folder).chmod(0o700)
    assert driver.feed.snapshot.problem == ""


def test_finished_runs_are_not_read_again_in_every_turn(results: MadeResults, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        finished(results, f"run-{number:02d}")
    driver = FeedDriver(results)
    driver.settle()
    num_reads = driver.feed._table.num_reads
    for _ in range(50):
        driver.turn(2.0)
    assert driver.feed._table.num_reads == num_reads


def test_posting_stops_when_the_content_is_the_same_though_files_are_rewritten(results: MadeResults) -> None:
    run = going_on(results, "live").steps(3)
    driver = FeedDriver(results)
    driver.settle()
    driver.posted.clear()
    for second in range(10):
        run.status("running", updated_s=4e9 + second)
        driver.turn(1.0)
    assert driver.count(SnapshotReady) == 0


def test_a_plan_that_is_written_later_changes_the_order(results: MadeResults) -> None:
    finished(results, "a")
    finished(results, "b")
    driver = FeedDriver(results)
    driver.settle()
    write_json(ExperimentPaths(results.root / "digits").plan, {"run_ids": ["b", "a"]})
    driver.turn(2.0)
    assert [row.id for row in driver.feed.snapshot.rows] == ["b", "a"]


def _unreadable(driver: FeedDriver, tag: str) -> tuple[str, str, object, str]:
    snapshot = driver.settle()
    row = snapshot.row(tag)
    assert row is not None
    return row.state, row.reason, row.progress, snapshot.problem


def test_a_torn_status_is_unreadable_and_not_queued_until_it_is_whole_again(results: MadeResults) -> None:
    run = finished(results, "one")
    finished(results, "two")
    whole = run.paths.status.read_bytes()
    run.paths.status.write_bytes(whole[: len(whole) // 2])
    driver = FeedDriver(results)
    reason = "status.json cannot be read: it is no JSON object"
    assert _unreadable(driver, run.tag) == ("unreadable", reason, None, f"digits/one: {reason}")
    assert RunReader(NamedRun("digits", run.paths)).read().state == "unreadable"
    run.paths.status.write_bytes(whole)
    snapshot = driver.settle()
    assert [row.state for row in snapshot.rows] == ["succeeded", "succeeded"]
    assert snapshot.problem == ""


def test_a_run_json_that_is_no_object_is_unreadable_where_nothing_else_says_the_state(results: MadeResults) -> None:
    run = results.run("one")
    run.paths.run.write_text("[]")
    driver = FeedDriver(results)
    reason = "run.json cannot be read: it is no JSON object"
    assert _unreadable(driver, run.tag) == ("unreadable", reason, None, f"digits/one: {reason}")


def test_folders_with_other_names_than_ours_are_named_and_left_out(results: MadeResults) -> None:
    finished(results, "one")
    finished(results, "a run", experiment="digits")
    finished(results, "two", experiment="my experiment")
    (results.root / "notes and figures").mkdir()
    driver = FeedDriver(results)
    snapshot = driver.settle()
    assert [row.tag for row in snapshot.rows] == ["digits/one"]
    assert snapshot.problem.startswith("not on the screen: 'my experiment' and 1 other: ")
    (results.root / "my experiment").rename(results.root / "my-experiment")
    (results.root / "digits" / "runs" / "a run").rename(results.root / "digits" / "runs" / "a-run")
    snapshot = driver.settle()
    assert (len(snapshot.rows), snapshot.problem) == (3, "")
