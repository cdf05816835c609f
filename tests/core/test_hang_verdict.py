"""Who is named where a run hangs: made-up tables of ranks, and the sentence that they give."""

import pytest

from engine.core.dossier import describe_dossier, make_dossier
from engine.core.hang_verdict import AgentLook, RankLook, judge
from engine.core.stack_text import Frame, find_collective, innermost_own, main_stack

TORCH = "/venv/lib/python3.11/site-packages/torch"
DDP_WAITS = f"""\
Thread 0x00007fc6f1fff6c0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 331 in wait

Current thread 0x00007fc715212b80 (most recent call first):
  File "{TORCH}/autograd/graph.py", line 1113 in _engine_run_backward
  File "{TORCH}/_tensor.py", line 623 in backward
  File "/home/me/engine/worker/strategies/replica.py", line 69 in train_step
"""
DATA = """\
Current thread 0x00007fc715212b80 (most recent call first):
  File "/usr/lib/python3.11/socket.py", line 706 in readinto
  File "/home/me/own_data.py", line 12 in fetch
  File "/home/me/engine/worker/loop.py", line 197 in _train
"""


def in_collective(name, place="ddp.py", line=71, function="sum_over_ranks"):
    return f"""\
Current thread 0x00007fc715212b80 (most recent call first):
  File "{TORCH}/distributed/distributed_c10d.py", line 2811 in {name}
  File "{TORCH}/distributed/c10d_logger.py", line 81 in wrapper
  File "/home/me/{place}", line {line} in {function}
"""


def rank(number, step=340, phase="comm", state="sleeping", **more):
    return RankLook(rank=number, step=step, phase=phase, state=state, **more)


def gone(number, exit_code, phase="forward", **more):
    return rank(number, phase=phase, state="gone", exit_code=exit_code, **more)


CASES = {
    "one is stopped": (
        [rank(0), rank(1, state="stopped")],
        ("stopped", [1], "rank 1 is stopped (SIGSTOP) at step 340"),
    ),
    "a stopped one is named before another that loads data": (
        [rank(0, phase="data"), rank(1, state="stopped")],
        ("stopped", [1], "rank 1 is stopped (SIGSTOP) at step 340"),
    ),
    "two of three are stopped": (
        [rank(0), rank(1, state="stopped"), rank(2, 341, state="stopped")],
        ("stopped", [1, 2], "ranks 1 and 2 are stopped (SIGSTOP) at steps 340 to 341"),
    ),
    "all are stopped": (
        [rank(0, state="stopped"), rank(1, state="stopped")],
        ("stopped", [0, 1], "all 2 ranks are stopped (SIGSTOP) at step 340"),
    ),
    "the only one is stopped in its start-up": (
        [rank(0, -1, "startup", "stopped")],
        ("stopped", [0], "rank 0 is stopped (SIGSTOP)"),
    ),
    "one is held by a debugger": (
        [rank(0), rank(1, state="traced")],
        ("traced", [1], "rank 1 is held by a debugger at step 340"),
    ),
    "one loads data": (
        [rank(0, stack=DDP_WAITS), rank(1, phase="data", stack=DATA)],
        (
            "busy",
            [1],
            "rank 1 is stuck in its data loading (own_data.py:12 in fetch) at step 340, "
            "while rank 0 waits in comm at step 340",
        ),
    ),
    "one loads data and has no stack": (
        [rank(0), rank(1, phase="data")],
        ("busy", [1], "rank 1 is stuck in its data loading at step 340, while rank 0 waits in comm at step 340"),
    ),
    "the only rank loads data": (
        [rank(0, phase="data", stack=DATA)],
        ("busy", [0], "rank 0 is stuck in its data loading (own_data.py:12 in fetch) at step 340"),
    ),
    "one waits for a disk that does not answer": (
        [rank(0), rank(1, phase="data", state="disk wait", wchan="nfs_wait_bit_killable")],
        (
            "disk",
            [1],
            "rank 1 waits in the kernel for a disk or a network file system (nfs_wait_bit_killable) at step 340, "
            "in its data loading",
        ),
    ),
    "a stage of a pipeline computes while the others wait for it": (
        [rank(0, phase="bubble"), rank(1, phase="forward"), rank(2, phase="comm")],
        ("busy", [1], "rank 1 is stuck in its forward pass at step 340, while ranks 0 and 2 wait at step 340"),
    ),
    "several compute: the one that is behind is named": (
        [rank(0, 341, "forward"), rank(1, 340, "optimizer")],
        ("busy", [1], "rank 1 is stuck in its optimizer at step 340"),
    ),
    "one left with exit code 0": (
        [rank(0), gone(1, 0)],
        (
            "left",
            [1],
            "rank 1 left the others early with exit code 0 at step 340 (phase forward), "
            "while rank 0 waits in comm at step 340",
        ),
    ),
    "one returned from its training": (
        [rank(0, stack=in_collective("all_reduce")), rank(1, 339, "done")],
        (
            "left",
            [1],
            "rank 1 returned from its training after step 339, "
            "while rank 0 waits in all_reduce (ddp.py:71 in sum_over_ranks) at step 340",
        ),
    ),
    "one is a zombie": (
        [rank(0), rank(1, state="zombie")],
        (
            "left",
            [1],
            "rank 1 has ended at step 340 (phase comm) and is a zombie: torchrun takes no note of it, "
            "while rank 0 waits in comm at step 340",
        ),
    ),
    "all are through and one does not end": (
        [gone(0, 0, "done"), rank(1, phase="done", stack=DATA)],
        ("left", [1], "rank 1 is through with the training and does not end (own_data.py:12 in fetch)"),
    ),
    "all have ended": (
        [gone(0, 0, "done"), gone(1, 0, "done")],
        ("left", [], "every rank has ended, and torchrun does not end"),
    ),
    "all wait, one a step behind": (
        [rank(0, 341, stack=in_collective("all_reduce")), rank(1, 340, stack=in_collective("broadcast"))],
        (
            "deadlock",
            [1],
            "deadlock: all ranks wait for one another at different steps: rank 0 at step 341 in all_reduce "
            "(ddp.py:71 in sum_over_ranks); rank 1 at step 340 in broadcast (ddp.py:71 in sum_over_ranks); "
            "rank 1 is behind",
        ),
    ),
    "all wait in different collectives": (
        [
            rank(0, phase="other", stack=in_collective("all_reduce")),
            rank(1, phase="eval", stack=in_collective("barrier", "x.py", 3, "f")),
        ],
        (
            "deadlock",
            [],
            "deadlock: the ranks wait in different collectives at step 340: rank 0 in all_reduce "
            "(ddp.py:71 in sum_over_ranks); rank 1 in barrier (x.py:3 in f)",
        ),
    ),
    "all wait in the same one": (
        [rank(0, stack=in_collective("all_reduce")), rank(1, stack=in_collective("all_reduce"))],
        (
            "waiting",
            [],
            "all 2 ranks wait for one another in all_reduce (ddp.py:71 in sum_over_ranks) at step 340, "
            "and none is behind",
        ),
    ),
    "the network of two nodes is no more than possible": (
        [rank(0), rank(1, node_rank=1)],
        (
            "waiting",
            [],
            "all 2 ranks wait for one another in comm at step 340, and none is behind; "
            "the network between 2 nodes may be the cause, but nothing here shows it",
        ),
    ),
    "many wait for one": (
        [*(rank(number) for number in range(7)), rank(7, phase="data")],
        (
            "busy",
            [7],
            "rank 7 is stuck in its data loading at step 340, while ranks 0, 1, 2, 3 and 3 more wait in comm "
            "at step 340",
        ),
    ),
    "nothing is known of a rank": (
        [RankLook(rank=0)],
        ("busy", [0], "rank 0 is stuck in its own code"),
    ),
    "no rank was seen": ([], ("unknown", [], "nothing could be learnt of its ranks")),
}


@pytest.mark.parametrize(("looks", "expected"), CASES.values(), ids=CASES)
def test_the_rank_that_holds_the_others_up_is_named(looks, expected):
    verdict = judge(looks)
    assert (verdict.kind, verdict.ranks, verdict.sentence) == expected


def test_a_collective_in_the_stack_counts_more_than_the_phase():
    looks = [rank(0, phase="other", stack=in_collective("broadcast")), rank(1, phase="other", stack=DATA)]
    assert judge(looks).ranks == [1]


def test_a_stopped_torchrun_is_named_where_its_ranks_have_ended_and_only_there():
    agents = [AgentLook(node_rank=0, state="stopped")]
    ended = judge([gone(0, 0, "done"), rank(1, phase="done", state="zombie")], agents)
    assert ended.sentence == "torchrun is stopped (SIGSTOP) and does not see that ranks 0 and 1 have ended"
    assert judge([rank(0), rank(1, phase="data")], agents).kind == "busy"


def test_the_main_thread_is_found_in_both_forms():
    assert main_stack(DDP_WAITS)[0] == Frame(f"{TORCH}/autograd/graph.py", 1113, "_engine_run_backward")
    spied = """\
Process 18664: /venv/bin/python -m ddptui.start
Python v3.11.7 (/venv/bin/python3.11)

Thread 18664 (idle): "MainThread"
    fetch (/home/me/own (new).py:12)
    Loop._train (/home/me/loop.py:198)
Thread 18670 (active): "Thread-1 (run)"
    run (/usr/lib/python3.11/threading.py:975)
"""
    frames = main_stack(spied)
    assert [frame.function for frame in frames][-1] == "Loop._train"
    assert frames[-1].line == 198
    assert main_stack("garbage\n\x1b[31m") == []


def test_the_collective_and_its_caller_are_read_from_the_stack():
    name, caller = find_collective(main_stack(in_collective("barrier")))
    assert (name, str(caller)) == ("barrier", "ddp.py:71 in sum_over_ranks")
    assert find_collective(main_stack(DDP_WAITS)) is None
    assert find_collective(main_stack(DATA)) is None
    buffers = [Frame(f"{TORCH}/nn/modules/_functions.py", 1, "_broadcast_coalesced"), Frame("/home/me/a.py", 2, "f")]
    assert find_collective(buffers) == ("broadcast", buffers[1])
    hook = [Frame(f"{TORCH}/distributed/fsdp/_fully_shard/_fsdp_param_group.py", 9, "wait_for_unshard"), buffers[1]]
    assert find_collective(hook) == ("wait_for_unshard", buffers[1])
    assert innermost_own(main_stack(DATA)).function == "fetch"


def part(**ranks):
    return {"agent": {"pid": 5, "state": "sleeping"}, "ranks": {name[1:]: value for name, value in ranks.items()}}


def seen(step, phase, state="sleeping", **more):
    return {"pid": 7, "step": step, "phase": phase, "state": state, "quiet_s": 12.2, "wchan": "futex", **more}


def test_the_dossier_joins_the_nodes_and_its_text_says_it_all():
    claims = [{"quiet_s": 10.0, "limit_s": 10.0, "median_s": 0.0213, "since_s": 5.0}]
    dossier = make_dossier(
        {0: part(r0=seen(340, "comm", stack=in_collective("all_reduce"), stack_from="faulthandler"))},
        claims=claims,
        exits={1: {"ranks": {"1": {"exit_code": 0}}}},
        missing=[2],
        run="exp/a",
        attempt=3,
        time_s=0.0,
        on_hang="end",
        hang_after=10,
    )
    assert dossier["reason"].startswith(
        "no step for 12 s (median 0.021 s): rank 1 left the others early with exit code 0"
    )
    assert dossier["reason"].endswith("(node 2 did not answer)")
    assert [(entry["rank"], entry["node_rank"]) for entry in dossier["ranks"]] == [(0, 0), (1, 1)]
    text = "\n".join(describe_dossier(dossier))
    assert text.startswith("exp/a, attempt 3, 1970-01-01T00:00:00+00:00\nverdict: rank 1 left the others early")
    assert "rule: no sign of life of any rank for 12 s, 10 s may pass (hang_after = 10); median step 0.021 s" in text
    assert "rank 0, stack by faulthandler:\n  Current thread" in text
    assert "rank 1: no stack" in text


def test_ranks_that_were_looked_at_on_request_and_move_are_not_blamed():
    def look(quiet_s):
        parts = {0: part(r0=seen(340, "forward", quiet_s=quiet_s), r1=seen(340, "comm", quiet_s=quiet_s))}
        return make_dossier(parts, claims=[], exits={}, missing=[])

    assert (look(0.1)["verdict"], look(0.1)["blamed_ranks"]) == ("the ranks move", [])
    assert look(50.0)["blamed_ranks"] == [0]
    assert "asked for by a person" in "\n".join(describe_dossier(look(0.1)))


@pytest.mark.parametrize("odd", [{}, {"ranks": 3, "agents": [1]}, {"ranks": [{}, 7], "time_s": 1e300, "limit_s": "x"}])
def test_an_odd_dossier_is_printed_all_the_same(odd):
    assert describe_dossier(odd)


def test_parts_that_make_no_sense_give_no_ranks():
    dossier = make_dossier({0: {"ranks": {"x": {}, "1": 5}}}, claims=[], exits={1: {"ranks": []}}, missing=[])
    assert (dossier["ranks"], dossier["kind"], dossier["reason"]) == (
        [],
        "unknown",
        "no step: nothing could be learnt of its ranks",
    )
