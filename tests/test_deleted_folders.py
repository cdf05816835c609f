"""Folders that somebody deletes while a run goes on: it ends, nothing is left, and the listing says why."""

import shutil

from house import House
from node_jobs import running, until
from supervised import EXPERIMENT, make_spec, reason_of

from engine.overview import list_views
from engine.processes import is_alive
from engine.store import read_json


def test_a_run_whose_folder_was_deleted_is_ended_listed_and_can_be_asked_for_again(tmp_path):
    house = House(tmp_path / "results")
    house.enqueue(make_spec("a", max_restarts=3), make_spec("b"))
    house.supervisor.tick()
    spec = read_json(house.paths("a").run)
    shutil.rmtree(house.paths("a").root)
    house.clock.now_s += 5
    house.supervisor.tick()
    assert ("end_all",) in house.processes.done
    assert (house.state("a"), reason_of(house.root, "a")) == ("failed", "its folder was deleted")
    assert read_json(house.paths("a").run) == spec
    left = {entry.name for entry in house.paths("a").root.iterdir()}
    assert left == {"run.json", "status.json", "summary.json"}
    assert [view.run_id for view in list_views(house.results)] == ["a", "b"]
    assert house.state("b") == "starting"
    assert house.supervisor.is_all_written()


def test_a_heartbeat_does_not_make_a_deleted_folder_anew(tmp_path):
    house = House(tmp_path / "results")
    house.enqueue(make_spec("a"))
    house.supervisor.tick()
    shutil.rmtree(house.results.experiment(EXPERIMENT).root)
    house.clock.now_s += 5
    house.supervisor.tick()
    assert not house.results.experiment(EXPERIMENT).root.exists(), "the experiment was deleted, and stays so"
    assert ("end_all",) in house.processes.done
    assert house.supervisor.is_idle()
    assert "its folder was deleted" in house.said.getvalue()


def test_a_node_runner_ends_its_ranks_where_their_folder_is_gone_and_writes_nothing_more(tmp_path):
    """Also without a supervisor: nothing may run that nobody can find."""
    with running(tmp_path, mode="wait") as job:
        (handle,) = job.start()
        job.wait_for_ranks()
        shutil.rmtree(job.paths.root)
        until(lambda: is_alive(handle) is False)
        until(lambda: not job.processes())
        assert not job.paths.root.exists()
