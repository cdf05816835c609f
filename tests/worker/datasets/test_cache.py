import subprocess
import sys
import textwrap

import numpy as np
import pytest

from engine.worker.datasets import cache
from engine.worker.datasets.cache import cache_root, open_cached

CONTENT = np.arange(200_000, dtype=np.int64)


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self, create):
        self.calls += 1
        create("numbers", CONTENT.shape, CONTENT.dtype)[:] = CONTENT
        create("few", (2, 3), np.uint8)[:] = 7
        return {"mean": [0.5]}


def folders():
    return [path for path in cache_root().iterdir() if path.is_dir()]


def test_a_set_is_made_once_and_mapped_from_then_on():
    make = Maker()
    first, second = (open_cached("set", {"version": 1}, make) for _ in range(2))
    assert make.calls == 1
    for found in (first, second):
        assert np.array_equal(found.arrays["numbers"], CONTENT)
        assert found.arrays["few"].shape == (2, 3)
        assert isinstance(found.arrays["numbers"], np.memmap)
        assert (found.about, found.messages) == ({"mean": [0.5]}, ())


def test_another_key_is_another_set():
    make = Maker()
    open_cached("set", {"version": 1}, make)
    open_cached("set", {"version": 2}, make)
    assert make.calls == 2
    assert len(folders()) == 2


def test_writing_to_the_arrays_does_not_alter_the_cache():
    open_cached("set", {}, Maker()).arrays["numbers"][:] = -1
    assert np.array_equal(open_cached("set", {}, Maker()).arrays["numbers"], CONTENT)


def _truncate(folder):
    path = folder / "numbers.npy"
    path.write_bytes(path.read_bytes()[:-4096])


def _punch_a_hole(folder):
    path = folder / "numbers.npy"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


def _remove_an_array(folder):
    (folder / "few.npy").unlink()


def _break_the_manifest(folder):
    (folder / "manifest.json").write_text('{"format": 1, "about": {}, "probes": [')


def _foreign_manifest(folder):
    (folder / "manifest.json").write_text('{"format": 1, "about": {}, "probes": ["x"]}')


def _pickle_instead(folder):
    np.save(folder / "few.npy", np.array([{}], dtype=object))


@pytest.mark.parametrize(
    "spoil", [_truncate, _punch_a_hole, _remove_an_array, _break_the_manifest, _foreign_manifest, _pickle_instead]
)
def test_a_damaged_set_is_made_anew(spoil):
    open_cached("set", {}, Maker())
    (folder,) = folders()
    spoil(folder)
    make = Maker()
    found = open_cached("set", {}, make)
    assert make.calls == 1
    assert np.array_equal(found.arrays["numbers"], CONTENT)
    assert found.messages == ()


def test_a_maker_that_raises_leaves_nothing_behind():
    def make(create):
        create("numbers", (10,), np.int64)
        raise KeyError("the maker's own")

    with pytest.raises(KeyError, match="the maker's own"):
        open_cached("set", {}, make)
    assert folders() == []


def test_where_the_cache_cannot_be_made_the_set_is_made_in_memory_with_a_message(cache_home):
    cache_home.write_text("a file stands where the folder should be")
    found = open_cached("set", {}, Maker())
    assert np.array_equal(found.arrays["numbers"], CONTENT)
    assert not isinstance(found.arrays["numbers"], np.memmap)
    assert "made in memory" in found.messages[0]


def test_a_full_disk_is_noticed_before_a_page_is_written(monkeypatch):
    def no_space(fd, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", no_space, raising=False)
    found = open_cached("set", {}, Maker())
    assert np.array_equal(found.arrays["numbers"], CONTENT)
    assert "No space left" in found.messages[0]
    assert folders() == []


def test_ranks_that_start_together_make_the_set_once(tmp_path, cache_home):
    script = textwrap.dedent(
        f"""
        import time
        import numpy as np
        from engine.worker.datasets.cache import open_cached

        def make(create):
            with open({str(tmp_path / "calls")!r}, "a") as calls:
                calls.write("made\\n")
            time.sleep(0.3)
            create("numbers", (1000,), np.int64)[:] = 5
            return {{}}

        assert (open_cached("set", {{}}, make).arrays["numbers"] == 5).all()
        """
    )
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert (tmp_path / "calls").read_text() == "made\n"
