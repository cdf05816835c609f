import errno
import os
import struct
import time

from engine.worker.beat import NoBeat, open_beat


def read(path):
    step, pid, mono_s, phase = struct.unpack("<qqd32s", path.read_bytes()[:56])
    return step, pid, mono_s, phase.rstrip(b"\0").decode()


def test_the_record_says_step_process_time_and_phase(tmp_path):
    beat = open_beat(str(tmp_path), 3)
    path = tmp_path / "rank3"
    step, pid, mono_s, phase = read(path)
    assert (step, pid, phase) == (-1, os.getpid(), "startup")
    assert abs(time.monotonic() - mono_s) < 60
    beat.begin(12)
    beat.write("forward", 5_000_000_000)
    assert read(path) == (12, os.getpid(), 5.0, "forward")
    beat.write("comm", 6_000_000_000)
    assert read(path) == (12, os.getpid(), 6.0, "comm"), "a shorter name leaves nothing of the longer one"
    beat.close()
    assert read(path)[0] == 12
    assert path.stat().st_size == 64


def test_a_long_phase_name_is_cut_to_its_field(tmp_path):
    beat = open_beat(str(tmp_path), 0)
    beat.write("x" * 50, 0)
    beat.close()
    assert read(tmp_path / "rank0")[3] == "x" * 32


def test_without_a_folder_nothing_is_written_and_nothing_fails(tmp_path):
    for folder in (None, "", str(tmp_path / "missing")):
        beat = open_beat(folder, 0)
        assert isinstance(beat, NoBeat)
        beat.begin(1)
        beat.write("data", 1)
        beat.close()
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_room_for_it_a_rank_goes_without_and_is_not_killed_by_sigbus(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert isinstance(open_beat(str(tmp_path), 0), NoBeat)
