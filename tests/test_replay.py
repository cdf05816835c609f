"""A run's files followed into columns: growing, replaced, begun again, and kept in a cache."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from engine import curve_cache, replay
from engine.core.curves import RunCurves
from engine.replay import RunReplay
from engine.store import RunPaths, write_json

SPEC: dict[str, Any] = {"id": "ddp-w2-r0-abc123", "experiment": "demo", "config": {"world_size": 2}}


class Made:
    """A run of two ranks, written line by line."""

    def __init__(self, root: Path) -> None:
        self.paths = RunPaths(root)
        self.begin(1)

    def begin(self, attempt: int, *, resumed_from_step: int = 0) -> None:
        self.attempt, self.step = attempt, resumed_from_step
        more = {"resumed_from_step": resumed_from_step}
        write_json(self.paths.attempt(attempt).attempt, {"attempt": attempt, **more})
        for rank in (0, 1):
            self.write(rank, kind="run_start", time_s=100.0 * attempt, world_size=2, startup_s=1.0, **more)

    def steps(self, num_steps: int, *, loss: float = 1.0) -> None:
        for _ in range(num_steps):
            for rank in (0, 1):
                self.write(
                    rank, kind="step", time_s=100.0 * self.attempt + self.step, epoch=0, step_first=self.step,
                    step=self.step, num_steps=1, samples=8, correct=4, loss=loss, lr=0.1, window_s=0.5,
                    phases={"forward": 0.5},
                )  # fmt: skip
            self.step += 1

    def file(self, rank: int) -> Path:
        return self.paths.attempt(self.attempt).events(rank)

    def write(self, rank: int, **event: Any) -> None:
        self.file(rank).parent.mkdir(parents=True, exist_ok=True)
        with self.file(rank).open("a") as file:
            file.write(json.dumps({"rank": rank, "attempt": self.attempt, **event}, separators=(",", ":")) + "\n")


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "run")


def opened(made: Made, cache: Path | None = None, **spec: Any) -> RunReplay:
    return RunReplay(made.paths, SPEC | spec, cache_dir=cache)


def read_all(source: RunReplay) -> RunCurves:
    while source.poll():
        pass
    return source.curves


def losses(source: RunReplay) -> list[tuple[float, float]]:
    curve = read_all(source).curve("loss")
    return [] if curve is None else list(zip(curve.step, curve.value, strict=True))


def flat(num_steps: int, loss: float = 1.0) -> list[tuple[float, float]]:
    return [(float(step), loss) for step in range(num_steps)]


def test_a_growing_run_is_followed(made):
    source = opened(made)
    assert losses(source) == []
    made.steps(3)
    assert losses(source) == flat(3)
    before = source.revision
    assert not source.poll()
    assert source.revision == before
    made.steps(2)
    assert losses(source) == flat(5)
    assert source.revision != before
    source.close()


def test_a_run_without_files_is_empty(tmp_path):
    source = RunReplay(RunPaths(tmp_path / "nothing"), SPEC, cache_dir=tmp_path)
    assert not source.poll()
    assert source.curves.names() == []
    source.close()


def test_a_slice_of_time_reads_a_part_and_says_that_more_waits(made, monkeypatch):
    made.steps(40)
    monkeypatch.setattr(replay, "READ_BYTES", 1000)
    monkeypatch.setattr(replay, "SLICE_S", 0.0)
    source = opened(made)
    assert source.poll()
    assert source.curves.num_lines < 82
    assert losses(source) == flat(40)
    assert source.curves.num_lines == 82


def test_ranks_are_read_in_turns(made, monkeypatch):
    made.steps(40)
    monkeypatch.setattr(replay, "READ_BYTES", 1000)
    monkeypatch.setattr(replay, "SLICE_S", 0.0)
    source = opened(made)
    for _ in range(8):
        source.poll()
    assert abs(source.curves.ranks[0].num_windows - source.curves.ranks[1].num_windows) < 10


@pytest.mark.parametrize("way", ["shrink", "replace", "vanish"])
def test_a_file_that_is_another_now_makes_all_anew(made, way):
    made.steps(5)
    source = opened(made)
    read_all(source)
    before, revision = source.curves, source.revision
    content = [made.file(rank).read_bytes() for rank in (0, 1)]
    for rank in (0, 1):
        if way == "vanish":
            made.file(rank).unlink()
        elif way == "shrink":
            made.file(rank).write_bytes(b"\n".join(content[rank].split(b"\n")[:3]) + b"\n")
        else:
            made.file(rank).write_bytes(content[rank].replace(b'"loss":1.0', b'"loss":2.50'))
    assert losses(source) == {"shrink": flat(2), "replace": flat(5, 2.5), "vanish": []}[way]
    assert source.curves is not before
    assert source.revision != revision
    assert source.curves.num_garbage == 0


def test_an_attempt_that_resumed_supersedes_and_one_from_zero_makes_all_anew(made):
    made.steps(6)
    source = opened(made)
    read_all(source)
    made.begin(2, resumed_from_step=4)
    made.steps(2, loss=3.0)
    assert losses(source) == [*flat(4), (4.0, 3.0), (5.0, 3.0)]
    made.begin(3)
    made.steps(1, loss=5.0)
    assert losses(source) == [(0.0, 5.0)]
    assert losses(opened(made)) == [(0.0, 5.0)]


# The cache.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "MIN_CACHED_LINES", 10)
    return tmp_path / "cache" / "ddptui"


def fill(made: Made, cache: Path) -> Path:
    """Fill the cache with the run as it is, then change the past without a trace: who reads it again gives it away."""
    source = opened(made, cache)
    read_all(source)
    source.close()
    for rank in (0, 1):
        content = made.file(rank).read_bytes()
        made.file(rank).write_bytes(content.replace(b'"loss":1.0', b'"loss":9.0', 1))
    (kept,) = cache.iterdir()
    return kept


def test_a_second_opening_goes_on_from_the_cache(made, cache):
    made.steps(20)
    fill(made, cache)
    made.steps(2)
    source = opened(made, cache)
    assert losses(source) == flat(22)
    assert source.curves.progress().step == 21
    source.close()
    assert losses(opened(made, cache)) == flat(22)


def test_half_a_line_is_kept_too(made, cache):
    made.steps(20)
    with made.file(0).open("a") as file:
        file.write('{"kind":"eval","rank":0,"attempt":1,"epoch":0,"st')
    fill(made, cache)
    with made.file(0).open("a") as file:
        file.write('ep":19,"split":"test","loss":0.5,"time_s":130.0}\n')
    source = opened(made, cache)
    assert losses(source) == flat(20)
    assert list(source.curves.curve("test_loss").value) == [0.5]


def test_the_cache_is_the_users_own_and_short_runs_need_none(made, cache, monkeypatch):
    made.steps(20)
    assert stat.S_IMODE(fill(made, cache).stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    other = Made(made.paths.root.parent / "short")
    source = opened(other, cache)
    read_all(source)
    source.close()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("where", [0, 9, 13, 100, 0.5, 0.9, -1])
def test_a_damaged_cache_is_read_anew(made, cache, where):
    made.steps(20)
    kept = fill(made, cache)
    content = bytearray(kept.read_bytes())
    content[int(where * len(content)) if isinstance(where, float) else where] ^= 0xFF
    kept.write_bytes(content)
    assert losses(opened(made, cache))[0] == (0.0, 9.0)


@pytest.mark.parametrize("content", [b"", b"ddptuiC1", b"x" * 100, b"ddptuiC1\x02\0\0\0\0\0\0\0{}", None])
def test_a_foreign_cache_is_read_anew(made, cache, content):
    made.steps(20)
    kept = fill(made, cache)
    if content is None:
        kept.rename(kept.with_name("other"))
        kept.symlink_to("other")
    else:
        kept.write_bytes(content)
    assert losses(opened(made, cache))[0] == (0.0, 9.0)


@pytest.mark.parametrize("change", ["shorter", "other end", "vanished", "other attempt", "other spec"])
def test_the_cache_of_other_files_is_not_used(made, cache, change):
    made.steps(20)
    fill(made, cache)
    content = made.file(1).read_bytes()
    if change == "shorter":
        made.file(1).write_bytes(b"\n".join(content.split(b"\n")[:-3]) + b"\n")
    elif change == "other end":
        made.file(1).write_bytes(content[:-30] + content[-30:].replace(b"0.5", b"0.6"))
    elif change == "vanished":
        made.file(1).rename(made.file(1).with_name("rank2.jsonl"))
    elif change == "other attempt":
        made.begin(2)
        made.steps(20, loss=9.0)
    found = losses(opened(made, cache, **({"point": "x"} if change == "other spec" else {})))
    assert not found or found[0][1] == 9.0


def test_files_that_were_copied_elsewhere_and_back_are_the_same(made, cache):
    made.steps(20)
    fill(made, cache)
    for rank in (0, 1):
        copy = made.file(rank).with_suffix(".copy")
        copy.write_bytes(made.file(rank).read_bytes())
        os.replace(copy, made.file(rank))
    assert losses(opened(made, cache)) == flat(20)


def test_a_cache_of_other_attributes_is_not_used(made, cache, monkeypatch):
    made.steps(20)
    fill(made, cache)
    monkeypatch.setattr(curve_cache, "packed_format", lambda: "another")
    assert losses(opened(made, cache))[0] == (0.0, 9.0)


def test_a_cache_folder_that_is_no_folder_does_not_matter(made, tmp_path, cache):
    made.steps(20)
    (tmp_path / "file").write_text("")
    source = opened(made, tmp_path / "file" / "ddptui")
    assert losses(source) == flat(20)
    source.close()


def test_the_cache_is_written_after_the_first_full_reading_and_at_the_end_only_if_there_is_more(made, cache):
    made.steps(20)
    source = opened(made, cache)
    read_all(source)
    (kept,) = cache.iterdir()
    first = kept.stat().st_ino
    made.steps(1)
    read_all(source)
    assert kept.stat().st_ino == first
    source.close()
    second = kept.stat().st_ino
    assert second != first
    source.close()
    assert kept.stat().st_ino == second


def test_the_oldest_of_too_many_caches_go(made, cache, monkeypatch):
    made.steps(20)
    runs = [made]
    for name in ("second", "third"):
        other = Made(made.paths.root.parent / name)
        other.steps(20)
        runs.append(other)
    for number, run in enumerate(runs[:2]):
        fill_one = opened(run, cache)
        read_all(fill_one)
        os.utime(curve_cache.CurveCache(cache, run.paths.root, SPEC).path, (number, number))
    size = max(entry.stat().st_size for entry in cache.iterdir())
    monkeypatch.setattr(curve_cache, "MAX_FOLDER_BYTES", int(size * 2.5))
    read_all(opened(runs[2], cache))
    kept = {entry.name for entry in cache.iterdir()}
    assert kept == {curve_cache.CurveCache(cache, run.paths.root, SPEC).path.name for run in runs[1:]}
