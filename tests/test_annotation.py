from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.annotation import Annotation, read_annotation
from engine.control import annotate
from engine.core.errors import InputError
from engine.store import ResultsPaths, RunPaths, write_json


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = ResultsPaths(tmp_path / "results").run("digits", "ddp-w2-r0-3fa9c1")
    write_json(paths.run, {"id": paths.run_id})
    return paths


def test_a_run_of_which_nothing_was_said_is_neither_pinned_nor_noted(run: RunPaths) -> None:
    assert read_annotation(run) == Annotation(is_pinned=False, note="")


def test_what_is_not_given_stays_as_it_was(run: RunPaths) -> None:
    assert annotate(run, note="  the good\n one ") == Annotation(note="the good one")
    annotate(run, is_pinned=True)
    assert read_annotation(run) == Annotation(is_pinned=True, note="the good one")
    annotate(run, note="")
    assert read_annotation(run) == Annotation(is_pinned=True)
    assert json.loads(run.annotation.read_text()) == {"format": 1, "is_pinned": True, "note": ""}


def test_a_note_is_a_thousand_characters_at_most(run: RunPaths) -> None:
    annotate(run, note="x" * 1000)
    with pytest.raises(InputError, match="1,000 characters at most, this one 1,001"):
        annotate(run, note="y" * 1001)
    assert read_annotation(run).note == "x" * 1000


@pytest.mark.parametrize("content", ["", "[]", '{"is_pinned": "yes", "note": 3}', "\x00"])
def test_a_broken_annotation_says_nothing(content: str, run: RunPaths) -> None:
    run.annotation.write_text(content)
    assert read_annotation(run) == Annotation()


def test_a_deleted_run_is_not_made_again_by_a_note(run: RunPaths) -> None:
    shutil.rmtree(run.root)
    with pytest.raises(InputError, match="no run ddp-w2-r0-3fa9c1"):
        annotate(run, note="gone")
    assert not run.root.exists()


def test_a_folder_that_cannot_be_written_is_said_to_be(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("engine.annotation.write_json", refuse)
    with pytest.raises(InputError, match=r"cannot write .*annotation.json: Permission denied"):
        annotate(run, is_pinned=True)
