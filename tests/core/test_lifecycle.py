import pytest

from engine.core.lifecycle import NodeExit, Outcome, choose_runs, decide_final, effective_outcome, restart_note
from engine.core.state import RunState

GOOD = NodeExit(exit_code=0, ended_s=10.0)
BAD = NodeExit(exit_code=1, ended_s=9.0, reason="rank 1: CUDA out of memory")
TOLD = NodeExit(exit_code=1, ended_s=8.0, stopped=True)


def decide(*exits, asked=False, left=False):
    return decide_final(dict(enumerate(exits)), is_stop_requested=asked, is_anything_left=left)


@pytest.mark.parametrize(
    ("exits", "asked", "state", "reason"),
    [
        ([GOOD], False, "succeeded", ""),
        ([GOOD, GOOD], False, "succeeded", ""),
        ([GOOD], True, "succeeded", ""),
        ([BAD], False, "failed", "rank 1: CUDA out of memory"),
        ([GOOD, BAD], False, "failed", "rank 1: CUDA out of memory"),
        ([TOLD, BAD], False, "failed", "rank 1: CUDA out of memory"),
        ([BAD], True, "failed", "rank 1: CUDA out of memory"),
        ([TOLD, BAD], True, "stopped", "stopped by the user"),
        ([TOLD], True, "stopped", "stopped by the user"),
        ([None], True, "stopped", "stopped by the user"),
        ([None, BAD], True, "stopped", "stopped by the user"),
        ([TOLD], False, "stopped", "stopped by a signal from outside"),
        ([NodeExit(exit_code=-15, timed_out=True)], False, "failed", "its timeout has passed"),
        ([NodeExit(exit_code=1, timed_out=True, reason="timeout: 5 s")], True, "failed", "timeout: 5 s"),
        ([NodeExit(exit_code=None)], False, "failed", "torchrun did not start"),
        ([NodeExit(exit_code=-9)], False, "failed", "torchrun was killed by signal 9"),
        ([NodeExit(exit_code=3)], False, "failed", "torchrun ended with exit code 3"),
        ([None, BAD], False, "failed", "rank 1: CUDA out of memory"),
        (
            [GOOD, None],
            False,
            "lost",
            "the node runner of node 1 ended without a word, and no process of the run is left",
        ),
    ],
)
def test_the_exits_of_the_nodes_decide_how_a_run_ended(exits, asked, state, reason):
    outcome = decide(*exits, asked=asked)
    assert (outcome.state, outcome.reason) == (state, reason)


def test_a_reason_is_better_than_an_earlier_end_without_one():
    silent = NodeExit(exit_code=1, ended_s=1.0)
    assert decide(silent, BAD).reason == BAD.reason


@pytest.mark.parametrize("left", [True, None])
def test_a_run_is_not_over_while_something_may_be_left_of_a_node_that_has_not_spoken(left):
    assert decide(GOOD, None, left=left) is None
    assert decide(BAD, None, left=left) is None


def test_who_survived_sigkill_is_named():
    survivor = NodeExit(exit_code=-9, stopped=True, ranks_left=(7, 8))
    assert decide(survivor, asked=True).reason == "stopped by the user; still alive after SIGKILL: pid 7, 8"


def test_an_exit_file_with_odd_values_is_read_as_unknown():
    odd = NodeExit.from_json({"exit_code": "x", "stopped": 1, "reason": None, "ranks_left": "12"})
    assert odd == NodeExit(exit_code=None)


def effective(state, *, exits=(None,), supervisor=True, runner=None, age_s=0.5, host=""):
    return effective_outcome(
        {"state": state, "reason": ""},
        dict(enumerate(exits)),
        is_supervisor_alive=supervisor,
        is_runner_alive=runner,
        age_s=age_s,
        host=host,
    )


@pytest.mark.parametrize("state", ["queued", "succeeded", "failed", "stopped", "lost"])
def test_a_state_without_processes_is_believed_whoever_wrote_it(state):
    assert effective(state, supervisor=False, age_s=1e9).state == state


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ({}, "running"),
        ({"supervisor": False, "runner": True}, "running"),
        ({"supervisor": False, "exits": [GOOD], "runner": False}, "succeeded"),
        ({"supervisor": False, "exits": [BAD], "runner": False}, "failed"),
        ({"supervisor": False, "runner": False}, "lost"),
        ({"supervisor": False, "runner": None}, "stalled"),
        ({"age_s": 60.0, "runner": False}, "lost"),
        ({"age_s": 60.0, "runner": True}, "running"),
        ({"supervisor": None, "runner": None, "age_s": 2.0}, "running"),
        ({"supervisor": None, "runner": None, "age_s": 60.0}, "stalled"),
        ({"supervisor": None, "exits": [GOOD], "runner": None, "age_s": 60.0}, "succeeded"),
    ],
)
def test_nothing_says_running_that_is_not(arguments, state):
    assert effective("running", **arguments).state == state


def test_a_stop_without_its_supervisor_ends_as_stopped():
    assert effective("stopping", supervisor=False, runner=False).state == "stopped"


def test_a_run_whose_supervisor_died_before_it_began_waits_again():
    assert effective("starting", supervisor=False, exits=[]).state == "queued"


def test_silence_of_another_host_names_it():
    assert effective("running", supervisor=None, age_s=75.0, host="node7").reason == "no word from node7 for 75 s"


STATES = {
    "new": None,
    "ok": RunState.SUCCEEDED,
    "bad": RunState.FAILED,
    "gone": RunState.LOST,
    "told": RunState.STOPPED,
    "busy": RunState.RUNNING,
}


@pytest.mark.parametrize(
    ("rerun", "chosen"),
    [
        ("missing", ["new", "bad", "gone", "told", "busy"]),
        ("failed", ["bad", "gone", "busy"]),
        ("all", ["new", "ok", "bad", "gone", "told", "busy"]),
    ],
)
def test_the_rerun_rule_chooses(rerun, chosen):
    assert choose_runs(STATES, rerun) == (chosen, [name for name in STATES if name not in chosen])


def test_a_rank_that_left_before_its_end_makes_the_run_failed_though_torchrun_is_content():
    early = NodeExit(exit_code=0, reason="rank 1: left early with exit code 0, in phase forward of step 44")
    outcome = decide_final({0: early}, is_stop_requested=False, is_anything_left=False)
    assert outcome == Outcome(state=RunState.FAILED, reason=early.reason, exit_code=0, may_restart=True)


@pytest.mark.parametrize(
    ("exits", "asked", "may_restart"),
    [
        ([BAD], False, True),
        ([NodeExit(exit_code=-9)], False, True),
        ([None], False, True),
        ([GOOD, None], False, True),
        ([GOOD], False, False),
        ([TOLD], False, False),
        ([BAD], True, False),
        ([None], True, False),
        ([NodeExit(exit_code=None, reason="torchrun: not found")], False, False),
        ([NodeExit(exit_code=1, timed_out=True, reason="timeout: 5 s")], False, False),
        ([NodeExit(exit_code=1, reason="rank 0: broke", ranks_left=(7,))], False, False),
    ],
)
def test_a_fault_may_be_followed_by_another_attempt_and_nothing_else_may(exits, asked, may_restart):
    assert decide(*exits, asked=asked).may_restart is may_restart


@pytest.mark.parametrize(
    ("may_restart", "num_restarts", "max_restarts", "note"),
    [
        (True, 0, 2, "restarting after: rank 1: broke (1 of 2)"),
        (True, 1, 2, "restarting after: rank 1: broke (2 of 2)"),
        (True, 2, 2, ""),
        (True, 0, 0, ""),
        (False, 0, 2, ""),
    ],
)
def test_a_run_is_started_again_as_often_as_it_may_be(may_restart, num_restarts, max_restarts, note):
    outcome = Outcome(state=RunState.FAILED, reason="rank 1: broke", may_restart=may_restart)
    assert restart_note(outcome, num_restarts=num_restarts, max_restarts=max_restarts) == note
