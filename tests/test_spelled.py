"""Orders in the names of empty files, for a disk that has no room for a byte."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import spelled
from engine.ownership import RefusedFileError
from engine.spelled import find_spelled, is_spelled, read_spelled, spell

ID = "01795286210108482480-5563-bfb38168"


def read_back(folder, message_id=ID):
    return read_spelled(folder, find_spelled(os.listdir(folder))[message_id])


def long_value(size):
    """One that cannot be compressed."""
    return {"op": "stop", "runs": [["exp", os.urandom(size).hex()]]}


@pytest.mark.parametrize("size", [1, 100, 400, 3000])
def test_what_was_spelled_is_read_back_from_empty_files_alone(tmp_path, size):
    value = long_value(size)
    assert spell(tmp_path, ID, value)
    assert spell(tmp_path, "2-2-b", {"other": 1})
    assert read_back(tmp_path) == value
    assert read_back(tmp_path, "2-2-b") == {"other": 1}
    files = list(tmp_path.iterdir())
    assert all(is_spelled(path.name) and path.stat().st_size == 0 and path.stat().st_mode & 0o77 == 0 for path in files)
    assert max(len(path.name) for path in files) <= 255


def test_it_is_not_there_before_its_last_part_is(tmp_path):
    value = long_value(400)
    spell(tmp_path, ID, value)
    names = find_spelled(os.listdir(tmp_path))[ID]
    assert len(names) > 2
    for name in names:
        (tmp_path / name).unlink()
        assert find_spelled(os.listdir(tmp_path)) == {}
        (tmp_path / name).touch()
    assert read_back(tmp_path) == value


def test_what_is_too_long_or_finds_no_room_leaves_nothing(tmp_path, monkeypatch):
    assert not spell(tmp_path, ID, long_value(100_000))
    made = []
    real = os.open

    def open_two(path, *rest):
        made.append(path)
        if len(made) > 2:
            raise OSError(28, "No space left on device")
        return real(path, *rest)

    monkeypatch.setattr(spelled.os, "open", open_two)
    assert not spell(tmp_path, ID, long_value(1000))
    assert len(made) == 3
    assert list(tmp_path.iterdir()) == []


def test_links_and_files_of_others_are_refused(tmp_path, monkeypatch):
    spell(tmp_path, ID, {"op": "stop"})
    (name,) = os.listdir(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(RefusedFileError, match="belongs to"):
        read_back(tmp_path)
    monkeypatch.undo()
    (tmp_path / "elsewhere").touch()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(RefusedFileError, match="link"):
        read_back(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.text("aZ0-_=.", max_size=20)), max_size=6))
def test_odd_names_are_nothing_or_no_object_and_never_an_error(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("odd")
    for part, parts_said, letters in parts:
        (folder / f"{ID}.{part:02d}of{parts_said:02d}.{letters}.spelled").touch()
    for names in find_spelled(os.listdir(folder)).values():
        assert read_spelled(folder, names) is None


def test_what_would_unpack_to_a_mountain_is_no_object(tmp_path, monkeypatch):
    monkeypatch.setattr(spelled, "_MAX_BYTES", 1000)
    value = {"op": "x" * 5000}
    assert len(json.dumps(value)) > 1000
    assert spell(tmp_path, ID, value)
    assert read_back(tmp_path) is None
