from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from house import House
from supervised import make_spec

from engine import control, wake
from engine.core.errors import InputError
from engine.ownership import RefusedFileError, check_own_folder, read_own_json
from engine.spelled import spell
from engine.store import ResultsPaths, read_json, write_json
from engine.supervisor.__main__ import main

SOMEBODY = 12345

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")


@needs_root
def test_a_command_of_another_user_is_ignored_with_a_line(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.enqueue(make_spec("a"))
    path = house.results.commands / "0-theirs.json"
    write_json(path, {"op": "stop", "runs": "all"})
    os.chown(path, SOMEBODY, SOMEBODY)
    house.supervisor.tick()
    house.supervisor.tick()
    assert read_json(house.paths("a").status)["state"] != "stopping"
    assert not (house.results.replies / path.name).exists()
    assert house.said.getvalue().count(f"ignored the command 0-theirs.json: it belongs to uid {SOMEBODY}") == 1
    assert house.send("stop", runs="all", grace_s=1)["ok"], "ours is obeyed"


@needs_root
def test_a_command_that_another_user_has_spelled_in_names_is_ignored_with_a_line(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.enqueue(make_spec("a"))
    assert spell(house.results.commands, "0-theirs", {"op": "stop", "runs": "all"})
    (path,) = house.results.commands.glob("*.spelled")
    os.chown(path, SOMEBODY, SOMEBODY)
    house.supervisor.tick()
    house.supervisor.tick()
    assert read_json(house.paths("a").status)["state"] != "stopping"
    assert house.said.getvalue().count("ignored the command 0-theirs.00of01.") == 1
    os.chown(path, 0, 0)
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert read_json(house.paths("a").status)["state"] == "stopping", "the same of ours is obeyed"


def test_commands_that_are_links_or_too_long_are_ignored(tmp_path: Path) -> None:
    house = House(tmp_path)
    target = tmp_path / "target.json"
    write_json(target, {"op": "hold", "is_held": True})
    house.results.commands.mkdir(exist_ok=True)
    (house.results.commands / "1.json").symlink_to(target)
    os.mkfifo(house.results.commands / "2.json")
    house.supervisor.tick()
    said = house.said.getvalue()
    assert "ignored the command 1.json: it is a link" in said
    assert "ignored the command 2.json: it is no regular file" in said
    assert not (read_json(house.results.queue) or {}).get("is_held")
    with pytest.raises(RefusedFileError, match="bytes, allowed are 10"):
        read_own_json(target, max_bytes=10)


@needs_root
def test_a_run_whose_orders_belong_to_another_user_is_not_started(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.enqueue(make_spec("a"), make_spec("b"))
    os.chown(house.paths("b").run, SOMEBODY, SOMEBODY)
    house.processes.alive.clear()
    for _ in range(20):
        house.clock.now_s += 1
        house.supervisor.tick()
    found = read_json(house.paths("b").status)
    assert found["state"] == "failed"
    assert found["reason"] == f"not started: {house.paths('b').run} belongs to uid {SOMEBODY}"
    assert house.launcher.started == ["a"]


@needs_root
def test_in_the_folder_of_another_user_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "results"
    ResultsPaths(root).control.mkdir(parents=True)
    os.chown(root, SOMEBODY, SOMEBODY)
    with pytest.raises(InputError, match=f"belongs to uid {SOMEBODY}.*by its owner only"):
        control.send(root, "stop", runs="all")
    with pytest.raises(InputError, match="belongs to"):
        wake.ensure_supervisor(root)
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    assert main(["--results", str(root)]) == 2
    assert "belongs to uid" in said.getvalue()
    assert not ResultsPaths(root).lock.exists()
    os.chown(root, os.getuid(), os.getgid())
    os.chown(ResultsPaths(root).control, SOMEBODY, SOMEBODY)
    with pytest.raises(InputError, match="belongs to"):
        control.send(root, "stop", runs="all")


@needs_root
def test_a_reply_of_another_user_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ensure_supervisor", lambda results: False)
    paths = ResultsPaths(tmp_path)

    def forge(_seconds: float) -> None:
        for command in paths.commands.glob("*.json"):
            reply = paths.replies / command.name
            write_json(reply, {"ok": True, "message": "done"})
            os.chown(reply, SOMEBODY, SOMEBODY)

    with pytest.raises(Exception, match="has not answered"):
        control.send(tmp_path, "stop", timeout_s=0.2, sleep=forge, runs="all")


def test_a_folder_that_is_missing_or_ours_is_fine(tmp_path: Path) -> None:
    check_own_folder(tmp_path)
    check_own_folder(tmp_path / "missing")
    assert read_own_json(tmp_path / "missing") is None
