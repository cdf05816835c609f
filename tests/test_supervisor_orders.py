"""What a supervisor can be told beside enqueue and stop: hold, move, retry, delete."""

import errno
import os

import pytest
from house import House
from supervised import EXPERIMENT, make_spec

from engine.store import read_json
from engine.supervisor import loop


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "results")


def keys(*run_ids):
    return [[EXPERIMENT, run_id] for run_id in run_ids]


def test_a_held_queue_starts_nothing_until_it_is_let_go_on_and_what_runs_is_not_touched(house):
    house.enqueue(make_spec("a"), make_spec("b"))
    assert house.send("hold", is_held=True)["message"] == "the queue is held; waiting: 1"
    house.exit("a")
    house.supervisor.tick()
    house.supervisor.tick()
    assert (house.state("a"), house.state("b")) == ("succeeded", "queued")
    assert not house.supervisor.is_idle()
    assert house.send("hold", is_held=False)["ok"]
    assert house.state("b") == "starting"


def test_a_held_queue_is_still_held_by_the_next_supervisor(house):
    house.send("hold", is_held=True)
    house.enqueue(make_spec("a"))
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert house.launcher.started == []


def test_a_waiting_run_can_be_brought_forward_and_an_active_one_cannot(house):
    house.enqueue(make_spec("a"), make_spec("b"), make_spec("c"))
    assert house.send("move", runs=keys("c"), by=-1)["ok"]
    refused = house.send("move", runs=keys("a"), by=1)
    assert (refused["ok"], refused["message"]) == (False, "move: only runs that wait in the queue can be moved")
    house.exit("a")
    house.supervisor.tick()
    assert house.launcher.started == ["a", "c"]


def test_an_ended_run_that_is_retried_gets_a_new_attempt_and_others_are_named(house):
    house.enqueue(make_spec("a"), make_spec("b"))
    house.exit("a", 3, reason="rank 0: broke")
    house.supervisor.tick()
    reply = house.send("retry", runs=keys("a", "b", "nobody"))
    assert reply["data"] == {"queued": keys("a"), "busy": keys("b"), "unknown": keys("nobody")}
    assert (reply["ok"], reply["message"]) == (False, "retry: 1 queued, 1 busy, 1 unknown")
    assert house.state("a") == "queued"
    house.exit("b")
    house.supervisor.tick()
    assert house.launcher.started == ["a", "b", "a"]
    assert read_json(house.paths("a").status)["attempt"] == 2


def test_a_retry_that_cannot_be_written_changes_nothing(house, monkeypatch):
    house.enqueue(make_spec("a"))
    house.exit("a", 3)
    house.supervisor.tick()

    def refuse(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(loop, "write_json", refuse)
    house.num_commands += 1
    house.send("retry", runs=keys("a"))
    monkeypatch.undo()
    house.supervisor.tick()
    assert house.state("a") == "failed"
    assert house.launcher.started == ["a"]


def test_only_an_ended_run_is_deleted_with_its_place_in_the_plan(house):
    house.enqueue(make_spec("a"), make_spec("b"))
    house.exit("a")
    house.supervisor.tick()
    house.processes.alive.clear()
    reply = house.send("delete", runs=keys("a", "b", "nobody"))
    assert reply["data"] == {"deleted": keys("a"), "busy": keys("b"), "unknown": keys("nobody")}
    assert not house.paths("a").root.exists()
    assert house.paths("b").root.exists()
    assert read_json(house.results.experiment(EXPERIMENT).plan)["run_ids"] == ["b"]
    assert not list(house.results.control.glob("deleted-*"))


def test_a_run_of_which_a_process_lives_is_not_deleted(house):
    house.enqueue(make_spec("a"))
    house.exit("a")
    house.supervisor.tick()
    house.processes.left = True
    assert house.send("delete", runs=keys("a"))["data"]["busy"] == keys("a")
    assert house.paths("a").root.exists()


def test_a_folder_that_is_a_link_is_not_deleted(house, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.json").write_text("{}")
    house.paths("x").root.parent.mkdir(parents=True)
    house.paths("link").root.symlink_to(elsewhere)
    assert house.send("delete", runs=keys("link"))["data"]["unknown"] == keys("link")
    assert (elsewhere / "run.json").exists()


def test_what_a_supervisor_killed_while_deleting_left_goes_with_the_next(house):
    (house.results.control / "deleted-abc" / "run").mkdir(parents=True)
    house.new_supervisor()
    assert not list(house.results.control.glob("deleted-*"))


@pytest.mark.parametrize("name", ["..", "../x", ".ddptui"])
def test_a_name_that_leads_out_is_refused(house, name):
    reply = house.send("delete", runs=[[name, "a"]])
    assert not reply["ok"]
    assert "cannot be used" in reply["message"]
