from __future__ import annotations

import signal
from typing import Any

import pytest

from engine.core.rootcause import RankExit, describe_log, is_told_to_stop, root_cause, signal_name

PEER = {"type": "RuntimeError", "message": "Connection closed by peer", "is_peer_error": True}


def cause(
    *exits: tuple[int, int, float], errors: dict[int, dict[str, Any]] | None = None, agent: int = 1, **rest: Any
) -> str:
    ended = [RankExit(rank=rank, exit_code=code, time_s=time_s) for rank, code, time_s in exits]
    return root_cause(errors=errors or {}, exits=ended, agent_exit_code=agent, **{"log": [], **rest})


def error(type_: str, message: str, time_s: float, **rest: Any) -> dict[str, Any]:
    return {"type": type_, "message": message, "time_s": time_s, "is_peer_error": False, **rest}


def test_the_earliest_error_of_ones_own_is_blamed_and_not_the_peers_complaint() -> None:
    errors = {
        0: {**PEER, "time_s": 10.0},
        2: error("ValueError", "late", 12.0),
        1: error("ValueError", "bad\nmore", 11.0),
    }
    assert cause((0, 1, 10.1), (1, 1, 11.1), (2, 1, 12.1), errors=errors) == "rank 1: ValueError: bad"


def test_a_type_that_says_nothing_is_left_out() -> None:
    errors = {3: error("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", 1.0)}
    assert cause(errors=errors) == "rank 3: CUDA out of memory: tried to allocate 2 GiB"
    assert cause(errors={0: error("InputError", "the file is empty", 1.0)}) == "rank 0: the file is empty"
    assert cause(errors={0: error("StopIteration", "", 1.0)}) == "rank 0: StopIteration"


def test_death_by_a_signal_is_blamed_before_the_complaints_about_it() -> None:
    exits = [(1, -9, 10.1), (0, 1, 10.2)]
    assert cause(*exits, errors={0: {**PEER, "time_s": 10.05}}) == "rank 1: killed by SIGKILL (sender unknown)"
    assert (
        cause(*exits, errors={0: error("RuntimeError", "unknown words", 10.05)})
        == "rank 1: killed by SIGKILL (sender unknown)"
    )
    assert cause(*exits, is_out_of_memory=True) == "rank 1: killed by SIGKILL (kernel out-of-memory)"
    assert cause((1, -11, 10.0), is_out_of_memory=True).startswith("rank 1: killed by SIGSEGV (it touched memory")


def test_a_kill_long_after_an_error_is_not_its_cause() -> None:
    assert cause((1, -9, 40.0), errors={0: error("ValueError", "bad", 10.0)}) == "rank 0: ValueError: bad"


def test_signals_that_ddptui_or_torchrun_sent_are_nobodys_fault() -> None:
    exits = [
        RankExit(rank=0, exit_code=3, time_s=1.0),
        RankExit(rank=1, exit_code=-15, time_s=2.0),
        RankExit(rank=2, exit_code=-9, time_s=3.0, is_ours=True),
    ]
    assert root_cause(errors={}, exits=exits, agent_exit_code=1, log=[]) == "rank 0: exited with code 3"


def test_a_rank_that_somebody_terminated_is_named() -> None:
    assert cause((1, -15, 1.0), (0, 1, 2.0), errors={0: {**PEER, "time_s": 1.0}}) == "rank 1: killed by SIGTERM"
    assert cause((1, 75, 1.0), (0, -15, 2.0)) == "rank 1: told to stop by a signal from outside"


def test_a_rank_without_an_error_file_is_described_by_its_last_words() -> None:
    log = ["Traceback (most recent call last):", "  File ...", "ImportError: no numpy"]
    assert cause((0, 1, 1.0), rank_logs={0: log}) == "rank 0: ImportError: no numpy"


def test_an_exit_that_came_too_early_is_blamed_before_the_peers_complaint() -> None:
    assert (
        cause((1, 0, 1.0), (0, 1, 2.0), errors={0: {**PEER, "time_s": 1.5}})
        == "rank 1: ended with exit code 0 while other ranks needed it"
    )


def test_with_nothing_but_complaints_the_first_of_them_is_told() -> None:
    errors = {0: {**PEER, "time_s": 2.0}, 1: {**PEER, "time_s": 1.0}}
    assert cause((0, 1, 2.0), (1, 1, 1.0), errors=errors) == "rank 1: another rank went away: connection closed by peer"


def test_the_death_of_torchrun_itself_is_told() -> None:
    assert cause(agent=-9) == "torchrun: killed by SIGKILL"


def test_torchruns_own_report_is_never_the_reason() -> None:
    log = ["torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ", "=====", "engine.worker FAILED"]
    assert cause(log=log) == "torchrun ended with exit code 1"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ddptui: /bin/python: No module named 'torch'", "/bin/python: No module named 'torch'; install torch there"),
        ("torch.distributed.RendezvousTimeoutError: node 1 waits", "RendezvousTimeoutError: node 1 waits"),
        ("bash: line 2: modul: command not found", "bash: line 2: modul: command not found"),
        ("all is well", ""),
        (
            "/bin/python: Error while finding module specification for 'ddptui.start' (ModuleNotFoundError: ...)",
            "/bin/python: No module named 'ddptui'; install ddptui there",
        ),
    ],
)
def test_a_log_is_described_by_the_line_that_says_most(line: str, reason: str) -> None:
    assert describe_log(["earlier", line, ""]) == reason


def test_a_reason_is_one_line_of_bearable_length() -> None:
    reason = cause(errors={0: error("ValueError", "x" * 5000, 1.0)})
    assert len(reason) < 400
    assert reason.endswith("...")


def test_exit_codes_name_their_signal() -> None:
    assert [signal_name(code) for code in (0, 1, -9, -1000)] == [None, None, "SIGKILL", "signal 1000"]


def test_a_signal_to_torchrun_is_not_the_fault_of_the_ranks_that_it_passed_it_on_to() -> None:
    log = ["torch.distributed.elastic.multiprocessing.api.SignalException: Process 7 got signal: 15"]
    told = "torchrun: told to stop by SIGTERM from outside"
    assert cause((0, -15, 1.0), (1, -15, 1.0), log=log) == told
    assert cause((0, 75, 1.0), (1, 75, 1.1), log=log) == told
    assert cause((1, -9, 1.0), (0, -15, 1.1), log=log) == "rank 1: killed by SIGKILL (sender unknown)"
    assert cause((0, 1, 1.0), errors={0: error("ValueError", "bad", 0.9)}, log=log) == "rank 0: ValueError: bad"


def test_who_was_told_to_stop_is_told_from_who_fell() -> None:
    log = ["torch.distributed.elastic.multiprocessing.api.SignalException: Process 7 got signal: 12"]
    assert is_told_to_stop(cause((0, 75, 1.0), (1, 75, 1.1), log=log))
    assert is_told_to_stop(cause((1, 75, 1.0), (0, -15, 2.0)))
    assert not is_told_to_stop(cause((1, -9, 1.0), (0, -15, 1.1), log=log))
    assert not is_told_to_stop("rank 0: ValueError: told to stop by a signal from outside")
    assert not is_told_to_stop("")


def test_a_signal_that_torchrun_dies_of_before_it_has_handlers_is_a_request_too() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        assert is_told_to_stop(cause(agent=-number))
    assert cause(agent=-signal.SIGTERM) == "torchrun: told to stop by SIGTERM from outside"
    assert not is_told_to_stop(cause(agent=-signal.SIGKILL))
    assert not is_told_to_stop(cause((1, -9, 1.0), agent=-signal.SIGTERM))


def test_a_rank_that_torchrun_told_to_leave_since_another_had_failed_is_not_told_from_outside() -> None:
    assert cause((1, 3, 1.0), (0, 75, 1.1)) == "rank 1: exited with code 3"
    reason = cause((1, 1, 1.0), (0, 75, 1.1), errors={1: {**PEER, "time_s": 0.9}})
    assert reason.startswith("rank 1: ")
    assert not is_told_to_stop(reason)


def test_who_could_not_connect_is_blamed_before_who_lost_its_connection() -> None:
    lost = {**PEER, "time_s": 1.0}
    alone = {**error("RuntimeError", "Gloo connectFullMesh failed with [...] timeout", 5.0), "is_peer_error": True}
    reason = cause((0, 1, 1.1), (1, 1, 5.1), errors={0: lost, 1: alone})
    assert reason.startswith("rank 1: the ranks could not all connect to each other: Gloo connectFullMesh")


def test_a_port_in_use_is_ones_own_fault_whatever_its_type() -> None:
    taken = "The server socket has failed to listen on any local network address. port: 29500, name: EADDRINUSE"
    errors = {
        0: {**error("DistNetworkError", taken, 9.0), "is_peer_error": True},
        1: {**PEER, "time_s": 1.0},
    }
    assert cause((1, 1, 1.0), (0, 1, 9.0), errors=errors) == "rank 0: port 29500 is in use by another program"


def test_a_bus_error_is_laid_to_shared_memory_only_where_that_was_full() -> None:
    assert cause((1, -7, 1.0)) == "rank 1: killed by SIGBUS"
    assert cause((1, -7, 1.0), is_shared_memory_full=True) == "rank 1: killed by SIGBUS (shared memory is full)"


def test_an_abort_tells_the_last_words_of_the_library() -> None:
    said = [
        "terminate called after throwing an instance of 'gloo::EnforceNotMet'",
        "  what():  [enforce fail at /a/gloo/transport/tcp/pair.cc:464] op.preamble <= op.nbytes. 20 vs 12. Received",
        "Fatal Python error: Aborted",
    ]
    reason = cause((1, -6, 1.0), rank_logs={1: said})
    assert reason == "rank 1: killed by SIGABRT: op.preamble <= op.nbytes. 20 vs 12. Received"
    assert cause((1, -6, 1.0)) == "rank 1: killed by SIGABRT (a library gave up)"


def test_what_all_ranks_raise_together_names_none_of_them() -> None:
    errors = {rank: error("NonFiniteLossError", "loss is NaN at step 120", float(rank)) for rank in range(2)}
    assert cause((0, 1, 1.0), (1, 1, 1.0), errors=errors) == "loss is NaN at step 120"


def test_the_place_in_the_users_code_stands_behind_the_error() -> None:
    errors = {1: error("ValueError", "bad", 1.0, file="/home/me/train.py", line=12)}
    assert cause(errors=errors) == "rank 1: ValueError: bad (train.py:12)"
