"""What a user's program writes, as signs of life of its ranks."""

import json

import pytest

from engine.life_signs import BeatSigns, NonFinite, ScriptSigns
from engine.store import AttemptPaths
from engine.tail import BEAT_STRUCT


class Program:
    """Two ranks of one node, looked at once a second."""

    def __init__(self, folder):
        self.files = AttemptPaths(folder / "1")
        for path in (self.files.events(0), self.files.said(0)):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.signs = ScriptSigns(self.files, [0, 1])
        self.now_s = 0.0

    def write(self, rank, **event):
        with self.files.events(rank).open("a") as file:
            file.write(json.dumps({"kind": "step", "rank": rank, "seq": 0, "attempt": 1, **event}) + "\n")

    def look(self):
        self.now_s += 1.0
        self.signs.look(self.now_s)
        return {rank: (place.step, place.mono_s) for rank, place in self.signs.places.items()}


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def test_a_rank_is_alive_when_its_lines_grow_and_is_where_the_last_one_says(program):
    assert program.look() == {}, "nothing is known of who has said nothing"
    program.write(0, kind="run_start")
    assert program.look() == {0: (None, 2.0)}
    program.write(0, step=7)
    program.write(1, step=7)
    assert program.look() == {0: (7, 3.0), 1: (7, 3.0)}
    assert program.look() == {0: (7, 3.0), 1: (7, 3.0)}
    program.write(1, kind="metric", step=9)
    assert program.look() == {0: (7, 3.0), 1: (9, 5.0)}


def test_lines_of_its_own_count_before_they_are_copied(program):
    program.files.said(1).write_text('{"loss": 1.0, "step": 3}\n')
    assert program.look() == {1: (None, 1.0)}
    assert program.look() == {1: (None, 1.0)}


def test_start_up_lasts_until_the_second_sign_and_an_ended_rank_is_done(program):
    program.write(0, step=500)
    program.look()
    assert program.signs.whereabouts(0).step == 0
    program.write(0, step=501)
    program.look()
    assert (program.signs.whereabouts(0).step, program.signs.whereabouts(0).phase) == (1, "")
    assert program.signs.whereabouts(0, is_over=True).phase == "done"


def test_the_times_are_those_between_the_lines_of_a_rank(program):
    for step in range(4):
        program.write(0, step=step, mono_s=10.0 * step)
        program.write(1, step=step, mono_s=5.0 + 10.0 * step)
        program.look()
    assert program.signs.times_s == [10.0] * 6
    program.write(0, step=9, mono_s=1.0)
    program.look()
    assert program.signs.times_s[-1] == 0.0, "a clock that went back"


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"step": 8, "loss": float("nan")}, NonFinite(0, 8, "NaN")),
        ({"step": 8, "loss": float("-inf")}, NonFinite(0, 8, "infinite")),
        ({"step": 8, "loss": 1.0, "nonfinite": {"step": 5, "what": "infinite"}}, NonFinite(0, 5, "infinite")),
        ({"step": 8, "loss": 1.0}, None),
        ({"kind": "metric", "step": 8, "loss": float("nan")}, None),
        ({"step": "x", "loss": float("nan"), "nonfinite": 3}, NonFinite(0, 0, "NaN")),
    ],
)
def test_a_loss_that_is_no_number_is_noted_once(program, event, found):
    program.write(0, **event)
    program.look()
    assert program.signs.nonfinite == found
    program.write(1, step=99, loss=float("nan"))
    program.look()
    assert program.signs.nonfinite == (found or NonFinite(1, 99, "NaN"))


def test_our_own_worker_is_known_by_its_beats(tmp_path):
    files = AttemptPaths(tmp_path / "1")
    files.events(0).parent.mkdir(parents=True)
    (tmp_path / "rank1").write_bytes(BEAT_STRUCT.pack(12, 7, 3.5, b"comm"))
    line = {"kind": "step", "rank": 0, "seq": 0, "attempt": 1, "step": 3, "window_s": 2.0, "num_steps": 4}
    files.events(0).write_text(json.dumps(line) + "\n")
    signs = BeatSigns(files, tmp_path, [0, 1])
    signs.look(9.0)
    assert list(signs.places) == [1]
    assert (signs.whereabouts(1).step, signs.whereabouts(1).phase, signs.whereabouts(1).mono_s) == (12, "comm", 3.5)
    assert signs.times_s == [0.5]
