"""Following files that others write."""

import itertools
import json
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ddptui.lines import LineWriter
from engine.core.events import MAX_LINE_BYTES
from engine.store import RunPaths, write_json
from engine.tail import BEAT_STRUCT, RunFollower, Tail, read_beat, read_events


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def read_all(tail: Tail) -> list[bytes]:
    lines: list[bytes] = []
    num_bytes = -1
    while tail.num_bytes != num_bytes:
        num_bytes = tail.num_bytes
        lines += tail.read()
    return lines


def test_a_half_last_line_is_kept_back_until_its_newline_comes(tmp_path):
    path = tmp_path / "rank0.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    append(path, b'{"a":1}\n{"b"')
    assert tail.read() == [b'{"a":1}']
    assert tail.read() == []
    append(path, b":2}\n")
    assert tail.read() == [b'{"b":2}']


def test_a_file_that_shrank_starts_over(tmp_path):
    path = tmp_path / "rank0.jsonl"
    append(path, b"one\ntwo\nthr")
    tail = Tail(path)
    assert tail.read() == [b"one", b"two"]
    path.write_bytes(b"new\n")
    assert tail.read() == [b"new"]
    assert tail.num_restarts == 1


def test_a_file_that_was_replaced_by_a_longer_one_starts_over(tmp_path):
    path = tmp_path / "rank0.jsonl"
    append(path, b"one\n")
    tail = Tail(path)
    assert tail.read() == [b"one"]
    other = tmp_path / "other"
    other.write_bytes(b"first\nsecond\n")
    os.replace(other, path)
    assert tail.read() == [b"first", b"second"]


def test_a_file_that_was_rewritten_in_place_and_grew_starts_over(tmp_path):
    path = tmp_path / "rank0.jsonl"
    append(path, b"one\n")
    tail = Tail(path)
    assert tail.read() == [b"one"]
    with path.open("r+b") as file:  # the same inode, longer than before
        file.write(b"first\nsecond\n")
    assert tail.read() == [b"first", b"second"]


def test_a_file_that_vanished_gives_nothing_and_its_successor_is_read_from_the_start(tmp_path):
    path = tmp_path / "rank0.jsonl"
    append(path, b"one\n")
    tail = Tail(path)
    assert tail.read() == [b"one"]
    path.unlink()
    assert tail.read() == []
    append(path, b"another\n")
    assert tail.read() == [b"another"]


def test_a_call_reads_a_bounded_number_of_bytes(tmp_path):
    path = tmp_path / "rank0.jsonl"
    append(path, b"0123456\n" * 100)
    tail = Tail(path, max_bytes=80)
    assert len(tail.read()) == 10
    assert len(read_all(tail)) == 90


def test_a_line_without_end_does_not_fill_the_memory_and_what_follows_is_read(tmp_path):
    path = tmp_path / "rank0.jsonl"
    append(path, b"x" * (MAX_LINE_BYTES + 3_000_000))
    tail = Tail(path)
    assert read_all(tail) == []
    assert sum(map(len, tail._half)) < 1000
    append(path, b'\n{"kind":"step"}\n')
    assert read_all(tail)[-1] == b'{"kind":"step"}'


def test_what_is_no_plain_file_gives_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert Tail(tmp_path).read() == []
    assert Tail(tmp_path / "pipe").read() == []


@settings(max_examples=60)
@given(
    lines=st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=20),
    cuts=st.lists(st.integers(0, 800), max_size=8),
    max_bytes=st.integers(1, 64),
)
def test_however_the_bytes_arrive_the_lines_are_the_same(tmp_path_factory, lines, cuts, max_bytes):
    path = tmp_path_factory.mktemp("tail") / "rank0.jsonl"
    content = b"".join(line + b"\n" for line in lines)
    borders = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    tail = Tail(path, max_bytes=max_bytes)
    got: list[bytes] = []
    for start, end in itertools.pairwise(borders):
        append(path, content[start:end])
        got += read_all(tail)
    assert got == lines


def test_events_of_a_file_come_with_garbage_marked(tmp_path):
    path = tmp_path / "rank0.jsonl"
    writer = LineWriter(str(path), rank=0, attempt=1)
    writer.write("step", loss=float("nan"))
    writer.close()
    append(path, b"not json\n\n[1]\n" + b"[" * 100_000 + b'\n{"kind":"later"')
    events = list(read_events(path))
    assert events[0] is not None
    assert events[0]["kind"] == "step"
    assert events[1:] == [None, None, None]


def test_a_beat_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "rank0"
    path.write_bytes(BEAT_STRUCT.pack(41, 1234, 5.5, b"backward").ljust(64, b"\0"))
    beat = read_beat(path)
    assert beat is not None
    assert (beat.step, beat.pid, beat.mono_s, beat.phase) == (41, 1234, 5.5, "backward")


def test_no_beat_is_made_of_a_missing_short_or_empty_record(tmp_path):
    assert read_beat(tmp_path / "none") is None
    (tmp_path / "short").write_bytes(b"\1" * 20)
    assert read_beat(tmp_path / "short") is None
    (tmp_path / "blank").write_bytes(b"\0" * 64)
    assert read_beat(tmp_path / "blank") is None
    (tmp_path / "odd").write_bytes(b"\x01" * 64)
    assert read_beat(tmp_path / "odd") is not None


def write_attempt(paths: RunPaths, number: int, losses: list[float], *, resumed_from_step: int = 0) -> None:
    attempt = paths.attempt(number)
    write_json(attempt.attempt, {"attempt": number, "resumed_from_step": resumed_from_step})
    writer = LineWriter(str(attempt.events(0)), rank=0, attempt=number)
    writer.write("run_start", world_size=1, num_devices=1, resumed_from_step=resumed_from_step)
    for step, loss in enumerate(losses, start=resumed_from_step):
        writer.write("step", epoch=0, step_first=step, step=step, num_steps=1, samples=4, loss=loss, window_s=0.5)
    writer.close()


def test_only_the_latest_attempt_counts(tmp_path):
    paths = RunPaths(tmp_path)
    write_attempt(paths, 1, [9.0] * 30)
    write_attempt(paths, 2, [1.0] * 12)
    follower = RunFollower(paths, {})
    assert follower.summary({})["samples_seen"] == 48
    assert follower.fold.progress().loss == 1.0
    assert follower.summary({})["attempts"] == 2


def test_a_resumed_attempt_keeps_what_came_before_its_first_step(tmp_path):
    paths = RunPaths(tmp_path)
    write_attempt(paths, 1, [9.0] * 30)
    write_attempt(paths, 2, [1.0] * 10, resumed_from_step=20)
    summary = RunFollower(paths, {}).summary({})
    assert summary["num_steps"] == 30
    assert summary["samples_seen"] == 120


def test_a_follower_sees_lines_as_they_come_and_ranks_as_they_appear(tmp_path):
    paths = RunPaths(tmp_path)
    follower = RunFollower(paths)
    assert follower.poll() is False
    first = LineWriter(str(paths.attempt(1).events(0)), rank=0, attempt=1)
    first.write("run_start", world_size=2)
    assert follower.poll() is True
    assert follower.fold.progress().step is None
    second = LineWriter(str(paths.attempt(1).events(1)), rank=1, attempt=1)
    for writer in (first, second):
        writer.write("step", epoch=0, step_first=0, step=0, num_steps=1, samples=2, loss=2.0, window_s=0.1)
        writer.close()
    append(paths.attempt(1).events(1), b"garbage\n")
    (paths.attempt(1).root / "events" / "notes.jsonl").write_text(json.dumps({"kind": "step"}) + "\n")
    assert follower.poll() is True
    assert follower.fold.progress().step == 0
    assert follower.fold.record.garbage_lines == 1
