import pytest
from supervised import EXPERIMENT, make_spec

from engine.overview import list_views, read_run
from engine.processes import this_process
from engine.store import ResultsPaths, write_json

ME = this_process().to_json()
DEAD = {**ME, "start_time": 1.0}
NOW_S = 1000.0


@pytest.fixture
def results(tmp_path):
    return ResultsPaths(tmp_path)


def make_run(results, run_id="a", *, state="running", supervisor=ME, runner=None, exit_code=None, updated_s=NOW_S):
    paths = results.run(EXPERIMENT, run_id)
    write_json(paths.run, make_spec(run_id).model_dump(mode="json"))
    status = {"state": state, "attempt": 1, "updated_s": updated_s, "handle": supervisor, "started_s": 990.0}
    write_json(paths.status, status)
    if runner is not None:
        write_json(paths.attempt(1).handle(0), runner)
    if exit_code is not None:
        write_json(paths.attempt(1).exit(0), {"exit_code": exit_code, "reason": "rank 0: broke" if exit_code else ""})
    return paths


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ({"runner": ME}, "running"),
        ({"runner": DEAD}, "running"),
        ({"supervisor": DEAD, "runner": ME}, "running"),
        ({"supervisor": DEAD, "runner": DEAD}, "lost"),
        ({"supervisor": DEAD, "runner": DEAD, "exit_code": 0}, "succeeded"),
        ({"supervisor": DEAD, "runner": DEAD, "exit_code": 1}, "failed"),
        ({"supervisor": DEAD, "state": "starting"}, "queued"),
        ({"supervisor": {**ME, "host": "elsewhere"}, "updated_s": 900.0}, "stalled"),
        ({"supervisor": None, "runner": DEAD, "updated_s": None}, "lost"),
        ({"runner": DEAD, "updated_s": 900.0}, "lost"),
        ({"state": "no such state"}, "queued"),
    ],
)
def test_the_state_of_a_listing_is_the_truth(results, arguments, state):
    view = read_run(make_run(results, **arguments), now_s=NOW_S)
    assert (view.state, view.run_id, view.experiment, view.attempt) == (state, "a", EXPERIMENT, 1)
    assert view.spec["id"] == "a"


def test_the_reason_of_an_end_that_nobody_wrote_down_is_there(results):
    assert read_run(make_run(results, supervisor=DEAD, runner=DEAD, exit_code=1), now_s=NOW_S).reason == "rank 0: broke"


def test_a_run_whose_files_are_garbage_is_listed_all_the_same(results):
    make_run(results, "a", state="succeeded")
    broken = make_run(results, "b")
    broken.run.write_text("{")
    broken.status.write_bytes(b"\xff\x00")
    views = list_views(results, now_s=NOW_S)
    assert [(view.run_id, view.state, view.spec) for view in views][1] == ("b", "queued", {})
    assert views[0].state == "succeeded"
