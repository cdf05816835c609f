from engine.store import RunPaths, write_json
from tui.failure_detail import describe_failure, failure_lines


def make_failed(folder, *, state="failed"):
    paths = RunPaths(folder)
    attempt = paths.attempt(2)
    write_json(paths.run, {"config": {"nodes": 2}})
    write_json(paths.status, {"state": state})
    write_json(attempt.attempt, {"attempt": 2, "world_size": 4})
    write_json(
        attempt.exit(0), {"ranks": {"0": {"exit_code": 1, "signal": None}, "1": {"exit_code": 1, "signal": None}}}
    )
    write_json(attempt.exit(1), {"ranks": {"2": {"exit_code": -9, "signal": "SIGKILL"}, "3": 7, "x": {}}})
    peer = {"type": "RuntimeError", "is_peer_error": True, "traceback": "Traceback\nof the peer", "time_s": 5.0}
    write_json(attempt.error(0), peer)
    own = {"type": "ValueError", "file": "/home/me/train.py", "line": 12, "time_s": 9.0}
    write_json(attempt.error(1), {**own, "traceback": "Traceback\nValueError: \x1b[31mbad"})
    attempt.err(2).parent.mkdir(parents=True)
    attempt.err(2).write_text("".join(f"line {number}\n" for number in range(50)))
    return paths


def test_all_ranks_are_in_the_table_and_those_to_blame_come_first(tmp_path):
    failure = describe_failure(make_failed(tmp_path))
    assert failure is not None
    assert list(failure["ranks"]) == ["0", "1", "2", "3"]
    lines = failure_lines(failure)
    table = lines[: lines.index("")]
    assert table[0] == "how the ranks of attempt 2 ended"
    assert table[2].split()[:5] == ["0", "1", "RuntimeError", "(of", "a"]
    assert table[3].split()[-1] == "/home/me/train.py:12"
    assert table[4].split()[:2] == ["2", "SIGKILL"]
    assert table[5].split()[:2] == ["3", "n/a"]
    titles = [line for line in lines if line.startswith("rank ")]
    assert titles == [
        "rank 2, the last lines of its stderr",
        "rank 1, its traceback",
        "rank 0, its traceback",
    ]
    assert "  line 49" in lines
    assert "  line 37" not in lines
    assert not any("\x1b" in line for line in lines), "a log must not steer the terminal"


def test_a_run_that_has_not_failed_has_no_failure(tmp_path):
    assert describe_failure(make_failed(tmp_path / "a", state="succeeded")) is None
    assert describe_failure(RunPaths(tmp_path / "b")) is None
