from hypothesis import given
from hypothesis import strategies as st

from engine.core.run_queue import QueueEntry, RunQueue


def entry(run_id, *, experiment="e", is_stop_on_error=False):
    return QueueEntry(experiment=experiment, run_id=run_id, is_stop_on_error=is_stop_on_error, queued_s=1.0)


def ids(entries):
    return "".join(e.run_id for e in entries)


def test_what_is_in_the_queue_already_keeps_its_place():
    queue = RunQueue().add([entry("a"), entry("b")]).start_next().add([entry("b"), entry("a"), entry("c")])
    assert (ids(queue.active), ids(queue.waiting)) == ("a", "bc")


def test_one_that_had_not_begun_waits_in_front_again():
    queue = RunQueue().add([entry("a"), entry("b")]).start_next()
    assert ids(queue.put_back(queue.active[0]).waiting) == "ab"


def test_only_the_rest_of_its_own_experiment_stands_behind_a_failure():
    strict = [entry("a", is_stop_on_error=True), entry("b", is_stop_on_error=True), entry("c", experiment="other")]
    queue = RunQueue().add(strict).start_next()
    assert ids(queue.behind(queue.active[0])) == "b"
    assert queue.behind(entry("x")) == []


@given(st.lists(st.sampled_from("abcdef"), max_size=8), st.integers(0, 3))
def test_a_queue_survives_its_file(names, num_active):
    queue = RunQueue().add([entry(name) for name in dict.fromkeys(names)])
    for _ in range(min(num_active, len(queue.waiting))):
        queue = queue.start_next()
    assert RunQueue.from_json(queue.to_json()) == queue


def test_odd_entries_of_a_file_are_left_out_and_doubles_count_once():
    good = {"experiment": "e", "run_id": "a", "queued_s": 1.0}
    odd = [None, 3, {}, {"experiment": "e", "run_id": 5, "queued_s": 1}, {"experiment": "e", "run_id": "b"}]
    queue = RunQueue.from_json({"active": [good], "waiting": [*odd, good, {**good, "run_id": "c"}]})
    assert (ids(queue.active), ids(queue.waiting)) == ("a", "c")
    assert RunQueue.from_json({"active": "x", "waiting": {"a": 1}}) == RunQueue()


def test_a_name_that_leads_out_of_the_results_folder_is_none():
    names = [("..", "a"), ("e", ".."), ("e", "../../a"), ("/tmp", "a"), ("e", "a")]
    waiting = [{"experiment": experiment, "run_id": run_id, "queued_s": 1.0} for experiment, run_id in names]
    assert [entry.key for entry in RunQueue.from_json({"waiting": waiting}).waiting] == [("e", "a")]


def test_runs_move_by_places_keep_their_order_and_stop_at_the_ends():
    queue = RunQueue().add([entry(name) for name in "abcdef"])
    chosen = [item.key for item in queue.waiting if item.run_id in "ce"]
    assert ids(queue.moved(chosen, -1).waiting) == "acbedf"
    assert ids(queue.moved(chosen, 1).waiting) == "abdcfe"
    assert ids(queue.moved(chosen, -100).waiting) == "ceabdf"
    assert ids(queue.moved(chosen, 100).waiting) == "abdfce"
    assert queue.moved([], -1) == queue


def test_a_held_queue_stays_held_through_its_file_and_every_change():
    queue = RunQueue().add([entry("a"), entry("b")]).held(True).start_next().add([entry("c")])
    queue = queue.put_back(queue.active[0]).moved([entry("c").key], -1).without([entry("b").key])
    assert queue.is_held
    assert RunQueue.from_json(queue.to_json()) == queue
    assert not queue.held(False).is_held
