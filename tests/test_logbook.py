from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.logbook.book import Logbook
from engine.logbook.files import FileName, LogFile, find_files
from engine.logbook.index import EventIndex, LineIndex
from engine.logbook.order import Order
from engine.logbook.page import LogSelection, Page
from engine.logbook.reading import BlockReader, read_line, read_lines
from engine.logbook.scan import Scan, Shown
from engine.logbook.text import MAX_LISTED_CHARS, decode_line_text
from engine.logbook.times import SampledTimes, Samples
from engine.store import AttemptPaths, RunPaths

FOREVER = float("inf")


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "run")
    paths.attempt(1).out(0).parent.mkdir(parents=True)
    return paths


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def sample(attempt: AttemptPaths, time_s: float, **sizes: list[int]) -> None:
    """One second of the node runner: ``r0=[out, err]``."""
    log_bytes = {name.removeprefix("r"): size for name, size in sizes.items()}
    event = {"kind": "system", "time_s": time_s, "rank": None, "log_bytes": log_bytes}
    write(attempt.node_events(0), json.dumps(event) + "\n")


def read_all(book: Logbook) -> None:
    while book.poll():
        pass


def shown(book: Logbook) -> list[str]:
    lines = [book.page.line(position) for position in range(len(book.page))]
    return [line.text for line in lines if line is not None]


def times(book: Logbook) -> list[float | None]:
    lines = [book.page.line(position) for position in range(len(book.page))]
    return [line.time_s for line in lines if line is not None]


def texts(index: LineIndex) -> list[str]:
    count = len(index) + (index.partial_bytes > 0)
    return [read_line(BlockReader(), index, line, MAX_LISTED_CHARS)[0] for line in range(count)]


# The index of one file.


def test_a_growing_file_has_its_lines_and_the_one_being_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    index = LineIndex(path)
    assert not index.advance()
    assert len(index) == 0
    write(path, "one\ntwo\nthr")
    index.advance()
    assert (len(index), texts(index)) == (2, ["one", "two", "thr"])
    write(path, "ee\n\n")
    index.advance()
    assert (len(index), texts(index)) == (4, ["one", "two", "three", ""])


def test_half_a_character_is_not_shown_until_the_other_half_comes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes("grün".encode()[:3])
    index = LineIndex(path)
    index.advance()
    assert texts(index) == ["gr"]
    path.write_bytes("grün\n".encode())
    index.advance()
    assert texts(index) == ["grün"]


def test_invalid_bytes_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\xff\xfeb\nok\n")
    index = LineIndex(path)
    index.advance()
    assert texts(index) == ["a\ufffd\ufffdb", "ok"]
    assert read_lines(index, 0, 2, 100) == ["a\ufffd\ufffdb", "ok"]


def test_a_file_that_shrank_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old one\nold two\n")
    index = LineIndex(path)
    index.advance()
    path.write_text("new\n")
    index.advance()
    assert (index.generation, texts(index)) == (1, ["new"])


def test_a_file_that_was_replaced_by_a_longer_one_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    index = LineIndex(path)
    index.advance()
    other = tmp_path / "other"
    other.write_text("new one\nnew two\n")
    os.replace(other, path)
    index.advance()
    assert (index.generation, texts(index)) == (1, ["new one", "new two"])


def test_a_file_that_was_rewritten_in_place_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    index = LineIndex(path)
    index.advance()
    with path.open("r+") as file:
        file.write("new one\nnew two\n")
    index.advance()
    assert texts(index) == ["new one", "new two"]


def test_a_file_that_vanished_is_empty_and_may_come_back(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    index = LineIndex(path)
    index.advance()
    path.unlink()
    assert not index.advance()
    assert len(index) == 0
    path.write_text("back\n")
    index.advance()
    assert texts(index) == ["back"]


def test_a_large_file_is_looked_at_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number:06d}\n" for number in range(200_000)))
    index = LineIndex(path)
    assert index.advance()
    assert 0 < len(index) < 200_000
    while index.advance():
        pass
    assert len(index) == 200_000
    assert read_line(BlockReader(), index, 123_456, 100) == ("line 123456", False)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" 10%\r 50%\r100%\r", "100%"),
        (b" 10%\r 50%", " 50%"),
        (b"windows\r", "windows"),
        (b"plain", "plain"),
        (b"\r\r", ""),
    ],
)
def test_of_a_progress_bar_only_what_it_showed_last_remains(raw: bytes, text: str) -> None:
    assert decode_line_text(raw) == text


def test_a_progress_bar_of_a_megabyte_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"\r%7d/1000000 [...]" % number for number in range(60_000)))
    index = LineIndex(path)
    while index.advance():
        pass
    assert texts(index) == ["  59999/1000000 [...]"]


def test_a_long_line_is_cut_in_the_list_and_whole_when_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 90_000 + "\nshort\n")
    index = LineIndex(path)
    index.advance()
    assert read_line(BlockReader(), index, 0, 1_000) == ("x" * 1_000, True)
    assert read_line(BlockReader(), index, 0, 100_000) == ("x" * 90_000, False)
    assert texts(index)[1] == "short"


def test_an_event_file_knows_the_time_of_each_line(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text(
        '{"time_s":5.5}\ngarbage\n{"time_s": 4.0}\n{"time_s":1e999}\n{"text":"\\"time_s\\":9","time_s":7}\n'
    )
    index = EventIndex(path)
    index.advance()
    assert list(index.times) == [5.5, 5.5, 5.5, 5.5, 7.0]


# When lines were written.


def test_a_line_is_as_old_as_the_first_sample_that_covers_it() -> None:
    samples = Samples()
    assert samples.time_at(1, 99.0) is None
    samples.add(10, 1.0)
    samples.add(20, 2.0)
    assert [samples.time_at(end, 99.0) for end in (1, 10, 11, 20, 21)] == [1.0, 1.0, 2.0, 2.0, 99.0]
    assert samples.time_at(21, None) == 2.0


def test_samples_of_a_file_that_shrank_start_over_and_clocks_do_not_run_back() -> None:
    samples = Samples()
    samples.add(100, 5.0)
    samples.add(10, 4.0)
    samples.add(20, 3.0)
    assert samples.time_at(10, None) == 4.0
    assert samples.time_at(20, None) == 4.0


def test_samples_of_strange_shape_are_passed_over(run: RunPaths) -> None:
    attempt = run.attempt(1)
    for strange in ([], "x", {"0": "long"}, {"0": [-1, 2.5]}, {"0": {}}, None):
        write(attempt.node_events(0), json.dumps({"kind": "system", "time_s": 1.0, "log_bytes": strange}) + "\n")
    write(attempt.node_events(0), '{"kind":"system","log_bytes":{"0":[5,0]}}\n')
    sampled = SampledTimes()
    assert sampled.read([(0, attempt.node_events(0))])
    assert sampled.of("0", 0).time_at(1, 9.0) is None


# The book.


def test_the_lines_of_all_ranks_stand_in_the_order_in_which_they_were_written(run: RunPaths) -> None:
    attempt = run.attempt(1)
    write(attempt.out(0), "a\nb\nc\n")
    write(attempt.out(1), "A\nB\n")
    sample(attempt, 10.0, r0=[2, 0], r1=[0, 0])
    sample(attempt, 11.0, r1=[2, 0])
    sample(attempt, 12.0, r0=[6, 0], r1=[4, 0])
    book = Logbook(run)
    read_all(book)
    assert shown(book) == ["a", "A", "b", "c", "B"]
    assert times(book) == [10.0, 11.0, 12.0, 12.0, 12.0]
    assert book.ranks == (0, 1)


def test_output_and_events_are_merged_by_time(run: RunPaths) -> None:
    attempt = run.attempt(1)
    write(attempt.out(0), "out\n")
    sample(attempt, 10.0, r0=[4, 0])
    write(attempt.events(0), '{"kind":"early","time_s":9.5}\n{"kind":"late","time_s":10.5}\n')
    book = Logbook(run, LogSelection(streams=("out", "event"), rank=0))
    read_all(book)
    assert ["early" in line or line == "out" or "late" in line for line in shown(book)] == [True] * 3
    assert "early" in shown(book)[0]
    assert shown(book)[1] == "out"


def test_without_samples_lines_stand_by_rank_and_their_time_is_unknown(run: RunPaths) -> None:
    attempt = run.attempt(1)
    write(attempt.err(1), "1 err\n")
    write(attempt.out(1), "1 out\n")
    write(attempt.out(0), "0 out\n")
    book = Logbook(run)
    read_all(book)
    assert shown(book) == ["0 out", "1 out", "1 err"]
    assert times(book) == [None, None, None]


def test_lines_after_the_last_sample_are_as_old_as_the_file(run: RunPaths) -> None:
    attempt = run.attempt(1)
    write(attempt.out(0), "a\nlast\n")
    sample(attempt, 10.0, r0=[2, 0])
    os.utime(attempt.out(0), (50.0, 50.0))
    book = Logbook(run)
    read_all(book)
    assert times(book) == [10.0, 50.0]


def test_a_line_that_came_late_is_put_where_it_belongs(run: RunPaths) -> None:
    attempt = run.attempt(1)
    book = Logbook(run, LogSelection(streams=("event",)))
    write(attempt.events(0), '{"n":1,"time_s":1}\n{"n":3,"time_s":3}\n{"n":5,"time_s":5}\n')
    write(attempt.events(1), "")
    read_all(book)
    write(attempt.events(1), '{"n":2,"time_s":2}\n{"n":4,"time_s":4}\n')
    read_all(book)
    assert [json.loads(line)["n"] for line in shown(book)] == [1, 2, 3, 4, 5]


def test_what_is_being_written_stands_at_the_end(run: RunPaths) -> None:
    attempt = run.attempt(1)
    write(attempt.out(0), "a\n")
    write(attempt.err(0), " 10%\r 20%")
    book = Logbook(run)
    read_all(book)
    assert shown(book) == ["a", " 20%"]
    write(attempt.err(0), "\r 30%")
    write(attempt.out(0), "b\n")
    read_all(book)
    assert shown(book) == ["a", "b", " 30%"]


def test_one_rank_is_its_lines_alone_and_any_stream_may_be_chosen(run: RunPaths) -> None:
    attempt = run.attempt(1)
    write(attempt.out(0), "0 out\n")
    write(attempt.out(1), "1 out\n")
    write(attempt.err(1), "1 err\n")
    write(attempt.node_log(0), "torchrun\n")
    book = Logbook(run)
    read_all(book)
    first = book.page
    book.select(LogSelection(rank=1))
    assert not book.is_current
    read_all(book)
    assert book.is_current
    assert book.page is not first
    assert shown(book) == ["1 out", "1 err"]
    book.select(LogSelection(streams=("node",)))
    read_all(book)
    assert shown(book) == ["torchrun"]


def test_a_run_without_logs_has_no_lines_until_they_come(tmp_path: Path) -> None:
    run = RunPaths(tmp_path / "run")
    book = Logbook(run)
    assert not book.poll()
    assert (len(book.page), book.ranks, book.attempt) == (0, (), None)
    write(run.attempt(1).out(3), "hello\n")
    read_all(book)
    assert (shown(book), book.ranks, book.attempt) == (["hello"], (3,), 1)


def test_the_newest_attempt_is_shown_and_earlier_ones_can_be_chosen(run: RunPaths) -> None:
    write(run.attempt(1).out(0), "first\n")
    book = Logbook(run)
    read_all(book)
    assert shown(book) == ["first"]
    write(run.attempt(2).out(0), "second\n")
    read_all(book)
    assert (shown(book), book.attempt, book.num_attempts) == (["second"], 2, 2)
    book.select(LogSelection(attempt=1))
    read_all(book)
    assert (shown(book), book.attempt) == (["first"], 1)


def test_an_attempt_that_has_written_nothing_shows_nothing_of_the_one_before(run: RunPaths) -> None:
    write(run.attempt(1).out(0), "first\n")
    book = Logbook(run)
    read_all(book)
    run.attempt(2).root.mkdir()
    read_all(book)
    assert shown(book) == []


def test_a_truncated_log_makes_a_new_page(run: RunPaths) -> None:
    path = run.attempt(1).out(0)
    write(path, "one\ntwo\n")
    book = Logbook(run)
    read_all(book)
    before = book.page
    path.write_text("new\n")
    read_all(book)
    assert book.page is not before
    assert shown(book) == ["new"]


def test_the_revision_changes_with_the_content_and_only_then(run: RunPaths) -> None:
    path = run.attempt(1).out(0)
    write(path, "one\n")
    book = Logbook(run)
    read_all(book)
    before = book.revision
    read_all(book)
    assert book.revision == before
    write(path, "t")
    read_all(book)
    assert book.revision != before


def test_the_end_of_a_large_log_can_be_read_before_it_is_indexed(run: RunPaths) -> None:
    path = run.attempt(1).out(0)
    path.write_text("".join(f"line {number:06d}\n" for number in range(200_000)))
    page = Page(LogSelection(), [_file(run, "out")])
    page.advance(0.0, has_times=True)  # no time to look at more than a piece
    assert not page.is_open
    last = page.line(len(page) - 1)
    assert last is not None
    assert last.text == "line 199999"
    num_before = len(page)
    while not page.is_open:
        page.advance(0.0, has_times=True)
    assert len(page) == 200_000
    assert page.shift == 200_000 - num_before


def test_all_lines_are_the_last_ones_with_what_is_being_written(run: RunPaths) -> None:
    write(run.attempt(1).out(0), "a\nb\nc\nd")
    book = Logbook(run)
    read_all(book)
    assert [text for _, text in book.page.all_lines(2)] == ["b", "c", "d"]


def test_a_closed_book_holds_nothing(run: RunPaths) -> None:
    write(run.attempt(1).out(0), "a\n")
    book = Logbook(run)
    read_all(book)
    book.close()
    assert len(book.page) == 0


def test_names_that_are_no_logs_are_not_files(run: RunPaths) -> None:
    attempt = run.attempt(1)
    for name in ("rank0.out", "rankx.out", "rank1.txt", "node0.log", "other.log", "rank-1.err"):
        write(attempt.out(0).with_name(name), "x\n")
    assert [(name.stream, name.number) for name in find_files(attempt)] == [("out", 0), ("node", 0)]


# Merging and looking through, against the plain way.

Step = list[tuple[int, int]]  # (file, time) of each line that is written between two readings


@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=8), min_size=1, max_size=6))
def test_however_lines_come_in_each_stands_once_and_by_time(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    attempt = AttemptPaths(tmp_path_factory.mktemp("run") / "1")
    files = [LogFile(FileName(is_node=False, number=n, stream="event"), attempt, Samples()) for n in range(3)]
    order = Order(files)
    page = Page(LogSelection(), ())
    page.order, page.is_open = order, True
    scan = Scan(page, lambda name, text, previous: json.loads(text)["n"] % 2 == 0, anchor=None)
    newest = [0, 0, 0]
    number = 0
    for step in steps:
        for file, time_s in step:
            newest[file] = max(newest[file], time_s)
            write(attempt.events(file), json.dumps({"n": number, "time_s": newest[file]}) + "\n")
            number += 1
        for each in files:
            each.index.advance()
        cut = order.advance(FOREVER)
        if cut is not None:
            scan.forget_from(cut)
        scan.advance(FOREVER)
    placed = [order.at(position)[:2] for position in range(order.num_lines)]
    keys = [(files[file].time_s(line) or 0.0, file, line) for file, line in placed]
    assert keys == sorted(keys)
    assert sorted(placed) == sorted((file, line) for file in range(3) for line in range(len(files[file].index)))
    matches = [p for p in range(order.num_lines) if json.loads(page.line(p).text)["n"] % 2 == 0]  # type: ignore[union-attr]
    assert [scan[place] for place in range(len(scan))] == matches
    assert scan.is_complete


# Looking for lines.


def _file(run: RunPaths, stream: str) -> LogFile:
    return LogFile(FileName(is_node=False, number=0, stream=stream), run.attempt(1), Samples())


def _contains(word: str) -> Callable[[FileName, str, str], bool]:
    return lambda name, text, previous: word in text


@pytest.fixture
def book(run: RunPaths) -> Logbook:
    write(
        run.attempt(1).out(0), "".join(f"line {number} {'hit' if number % 10 == 0 else ''}\n" for number in range(5000))
    )
    book = Logbook(run)
    read_all(book)
    return book


def test_a_scan_finds_every_match(book: Logbook) -> None:
    scan = Scan(book.page, _contains("hit"))
    book.look_for(scan)
    read_all(book)
    assert [scan[place] for place in range(len(scan))] == list(range(0, 5000, 10))
    assert (scan.is_complete, scan.progress) == (True, 1.0)


def test_the_match_nearest_above_is_found_first(book: Logbook) -> None:
    scan = Scan(book.page, _contains("hit"), anchor=2345)
    scan.advance(0.0)  # one piece
    assert not scan.is_complete
    assert scan.before(2345) == 2340
    assert scan.after(2345) is None  # not known yet
    while scan.advance(0.0):
        pass
    assert (scan.before(2345), scan.after(2345)) == (2340, 2350)
    assert (scan.before(0), scan.after(4990)) == (None, None)
    assert scan.num_before == 235


def test_a_scan_goes_on_as_the_log_grows(run: RunPaths, book: Logbook) -> None:
    scan = Scan(book.page, _contains("hit"))
    book.look_for(scan)
    read_all(book)
    write(run.attempt(1).out(0), "another hit\nno\nhalf a hit")
    read_all(book)
    assert len(scan) == 501
    assert scan[500] == 5000
    assert scan.partials == (0,)
    assert len(Shown(book.page, scan)) == 502
    assert Shown(book.page, scan).position(501) == 5002


def test_a_scan_for_the_first_match_stops_there(book: Logbook) -> None:
    scan = Scan(book.page, _contains("line 40"), is_first_only=True)
    while scan.advance(0.0):
        pass
    assert scan[0] == 40
    assert scan.progress < 1.0


def test_a_judge_is_told_the_line_before_in_the_same_file(book: Logbook) -> None:
    scan = Scan(book.page, lambda name, text, previous: "hit" in previous)
    book.look_for(scan)
    read_all(book)
    assert [scan[place] for place in range(len(scan))] == list(range(1, 5000, 10))


def test_a_dropped_scan_is_not_gone_on_with(book: Logbook) -> None:
    scan = Scan(book.page, _contains("hit"))
    book.look_for(scan)
    book.drop(scan)
    read_all(book)
    assert len(scan) == 0


def test_places_among_the_shown_lines_and_positions_go_together(book: Logbook) -> None:
    scan = Scan(book.page, _contains("hit"), anchor=100)
    while scan.advance(0.0):
        pass
    shown = Shown(book.page, scan)
    assert [shown.position(place) for place in (0, 9, 10, 499)] == [0, 90, 100, 4990]
    assert [shown.place_of(position) for position in (0, 91, 100, 4991)] == [0, 10, 10, 500]
    assert Shown(book.page).place_of(7) == 7


def test_a_large_log_is_read_in_slices(run: RunPaths) -> None:
    run.attempt(1).out(0).write_text("x\n" * 1_000_000)
    book = Logbook(run)
    assert book.poll()  # it did not read all of it at once
    deadline_s = time.monotonic() + 60
    while book.poll():
        assert time.monotonic() < deadline_s
    assert len(book.page) == 1_000_000
