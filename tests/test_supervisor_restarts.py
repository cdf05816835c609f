"""Runs that fall are started again, and runs that were interrupted can go on; with fake processes, and once with real
ranks."""

import json
import os
import signal

import psutil
import pytest
import torch
from house import House
from supervised import EXPERIMENT, cleaned_up, make_plan, make_spec, reason_of, wait_for_leave, wait_until

from engine import control
from engine.core.spec import RunConfig
from engine.overview import read_run
from engine.processes import Handle, describe_reboot, find_tagged, run_marks, this_process
from engine.snapshots import SHARED_PART, part_of, write_manifest, write_part
from engine.store import ResultsPaths, read_json, write_json
from engine.supervisor import runs
from engine.supervisor.active import LocalProcesses

BROKE = "rank 0: broke"


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "results")


def status(house, run_id="a"):
    return read_json(house.paths(run_id).status)


def fall(house, run_id="a", attempt=1, **fields):
    """Let an attempt end badly; return the status that the supervisor then writes."""
    house.exit(run_id, 1, attempt=attempt, **{"reason": BROKE, **fields})
    house.processes.alive.clear()
    house.supervisor.tick()
    return status(house, run_id)


def keep_snapshot(house, num_steps, run_id="a"):
    folder = house.paths(run_id).snapshot(num_steps)
    parts = {name: write_part(folder, name, lambda file: file.write(b"part")) for name in (SHARED_PART, part_of(0))}
    config = read_json(house.paths(run_id).run)["config"]
    spec = RunConfig.model_validate(config).model_dump(mode="json", exclude_defaults=True, exclude={"max_restarts"})
    write_manifest(folder, {"num_steps": num_steps, "world_size": 1, "config": spec, "parts": parts})


def test_a_run_that_fell_goes_to_the_front_and_starts_again_as_often_as_it_may(house):
    house.enqueue(make_spec("a", max_restarts=2), make_spec("b"))
    found = fall(house)
    assert (found["state"], found["restarts"]) == ("queued", 1)
    assert found["reason"] == f"restarting after: {BROKE} (1 of 2)"
    house.supervisor.tick()
    assert house.launcher.started == ["a", "a"]
    assert (status(house)["state"], status(house)["attempt"]) == ("starting", 2)
    assert status(house)["reason"] == f"restarting after: {BROKE} (1 of 2)", "it is told until the ranks speak"
    assert fall(house, attempt=2)["reason"] == f"restarting after: {BROKE} (2 of 2)"
    house.supervisor.tick()
    found = fall(house, attempt=3)
    assert (found["state"], found["reason"]) == ("failed", BROKE)
    assert house.launcher.started == ["a", "a", "a", "b"]
    attempts = [read_json(attempt.attempt) for attempt in house.paths("a").attempts()]
    assert [attempt["restarts"] for attempt in attempts] == [0, 1, 2]
    assert [attempt["exit"]["reason"] for attempt in attempts] == [BROKE] * 3


def test_the_note_of_a_restart_goes_when_the_ranks_speak(house):
    house.enqueue(make_spec("a", max_restarts=1))
    fall(house)
    house.supervisor.tick()
    house.clock.now_s += 5.0
    house.supervisor.tick()
    assert "restarting after" in status(house)["reason"]
    events = house.paths("a").attempt(2).events(0)
    events.parent.mkdir(parents=True)
    events.write_text('{"kind":"run_start"}\n')
    house.supervisor.tick()
    assert (status(house)["state"], status(house)["reason"]) == ("running", "")


def test_a_run_that_is_lost_is_started_again(house):
    house.enqueue(make_spec("a", max_restarts=1))
    house.processes.alive.clear()
    house.supervisor.tick()
    assert status(house)["state"] == "queued"
    assert "ended without a word" in status(house)["reason"]


@pytest.mark.parametrize("word", ["retry", "enqueue"])
def test_a_run_that_died_with_its_supervisor_goes_on_when_it_is_asked_for(house, word):
    house.enqueue(make_spec("a"))
    write_json(house.paths("a").attempt(1).handle(0), Handle("local", "here", "boot", 101, 1.0).to_json())
    house.processes.alive.clear()
    order = {"runs": [[EXPERIMENT, "a"]]}
    if word == "enqueue":
        specs = [make_spec("a")]
        order = {"experiment": EXPERIMENT, "plan": make_plan(specs), "runs": [s.model_dump(mode="json") for s in specs]}
    write_json(house.results.commands / "900.json", {"op": word, **order})
    house.supervisor = house.new_supervisor()  # it finds the order beside a run that nobody knows to be dead
    reply = read_json(house.results.replies / "900.json")
    assert reply["message"].endswith(("1 queued", "1 queued, 0 under way already, 0 skipped"))
    house.supervisor.tick()
    assert (house.launcher.started, status(house)["attempt"]) == (["a", "a"], 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"timed_out": True, "reason": "timeout: not finished after 5 s"},
        {"stopped": True, "reason": "torchrun: told to stop by SIGTERM from outside"},
        {"exit_code": None, "reason": "torchrun: not found"},
        {"ranks_left": [7]},
    ],
    ids=["timeout", "told to stop", "never started", "still alive"],
)
def test_what_another_attempt_would_not_mend_is_not_tried_again(house, fields):
    house.enqueue(make_spec("a", max_restarts=5))
    write_json(house.paths("a").attempt(1).exit(0), {"exit_code": 1, "reason": BROKE, **fields})
    house.supervisor.tick()
    assert status(house)["state"] in ("failed", "stopped")
    assert house.launcher.started == ["a"]


@pytest.mark.parametrize(
    ("kind", "state"), [("InputError", "failed"), ("DdptuiError", "failed"), ("ValueError", "queued")]
)
def test_what_a_rank_refuses_is_not_tried_again(house, kind, state):
    house.enqueue(make_spec("a", max_restarts=5))
    write_json(house.paths("a").attempt(1).error(0), {"type": kind, "message": "no"})
    assert fall(house)["state"] == state


def test_a_run_whose_end_was_asked_for_is_not_started_again(house):
    house.enqueue(make_spec("a", max_restarts=5))
    house.send("stop", runs="all", grace_s=20)
    assert fall(house)["state"] == "failed"
    assert house.launcher.started == ["a"]


def test_a_run_that_waits_for_its_restart_can_be_stopped_and_a_held_queue_keeps_it(house):
    house.enqueue(make_spec("a", max_restarts=5))
    house.send("hold", is_held=True)
    fall(house)
    house.supervisor.tick()
    assert house.launcher.started == ["a"]
    house.send("stop", runs="all", grace_s=20)
    assert (status(house)["state"], status(house)["reason"]) == ("stopped", "stopped by the user")


def test_only_the_last_fall_of_a_run_stops_its_experiment(house):
    house.enqueue(make_spec("a", max_restarts=1), make_spec("b"), on_error="stop")
    fall(house)
    house.supervisor.tick()
    assert house.state("b") == "queued"
    fall(house, attempt=2)
    assert (house.state("a"), house.state("b")) == ("failed", "stopped")


def test_a_restart_is_counted_over_the_death_of_the_supervisor(house):
    house.enqueue(make_spec("a", max_restarts=1))
    fall(house)
    house.supervisor = house.new_supervisor()
    assert status(house)["reason"] == f"restarting after: {BROKE} (1 of 1)"
    house.supervisor.tick()
    house.supervisor = house.new_supervisor()
    assert fall(house, attempt=2)["state"] == "failed"


def test_a_restart_is_counted_where_the_queue_is_lost(house):
    house.enqueue(make_spec("a", max_restarts=1))
    fall(house)
    house.results.queue.unlink()
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert status(house)["attempt"] == 2
    assert fall(house, attempt=2)["state"] == "failed"


@pytest.mark.parametrize("max_restarts", [0, 1])
def test_an_end_that_was_half_written_down_is_finished_and_counted_once(house, monkeypatch, max_restarts):
    house.enqueue(make_spec("a", max_restarts=max_restarts))
    house.exit("a", 1, reason=BROKE)
    house.processes.alive.clear()

    def die(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.shutil, "rmtree", die)  # after the attempt was closed, before the status
    with pytest.raises(KeyboardInterrupt):
        house.supervisor.tick()
    monkeypatch.undo()
    assert (read_json(house.paths("a").attempt(1).attempt)["exit"]["state"], status(house)["state"]) == (
        "failed",
        "starting",
    )
    house.supervisor = house.new_supervisor()
    expected = ("queued", f"restarting after: {BROKE} (1 of 1)") if max_restarts else ("failed", BROKE)
    assert (status(house)["state"], status(house)["reason"]) == expected
    assert status(house)["restarts"] == max_restarts
    assert house.launcher.started == ["a"]


def test_asked_for_again_a_run_has_all_its_restarts(house):
    house.enqueue(make_spec("a", max_restarts=1))
    fall(house)
    house.supervisor.tick()
    assert fall(house, attempt=2)["state"] == "failed"
    house.send("retry", runs=[[EXPERIMENT, "a"]])
    assert status(house)["restarts"] == 0
    assert fall(house, attempt=3)["reason"] == f"restarting after: {BROKE} (1 of 1)"


def test_an_attempt_goes_on_from_the_newest_snapshot_and_success_removes_them(house):
    house.enqueue(make_spec("a", max_restarts=1))
    keep_snapshot(house, 10)
    keep_snapshot(house, 20)
    fall(house)
    house.supervisor.tick()
    told = read_json(house.paths("a").attempt(2).attempt)
    assert (told["resumed_from_step"], told["snapshot"]) == (20, "000000000020")
    house.paths("a").model_final.write_bytes(b"model")
    house.exit("a", attempt=2)
    house.supervisor.tick()
    assert house.state("a") == "succeeded"
    assert not house.paths("a").snapshots.exists()


@pytest.mark.parametrize("has_old_one", [True, False])
def test_where_the_final_model_found_no_room_the_snapshots_stay(house, has_old_one):
    house.enqueue(make_spec("a"))
    if has_old_one:
        house.paths("a").model_final.write_bytes(b"model")
        os.utime(house.paths("a").model_final, (0, 0))
    keep_snapshot(house, 10)
    house.exit("a")
    house.supervisor.tick()
    assert house.state("a") == "succeeded"
    assert house.paths("a").snapshot(10).exists()


def test_a_run_with_a_snapshot_of_another_config_fails_with_the_key_and_is_not_tried_again(house):
    house.enqueue(make_spec("a", max_restarts=3), make_spec("b"))
    keep_snapshot(house, 10)
    spec = read_json(house.paths("a").run)
    spec["config"]["optimizer"]["lr"] = 0.7
    write_json(house.paths("a").run, spec)
    fall(house)
    house.supervisor.tick()
    assert house.state("a") == "failed"
    assert "step 10 was made with optimizer.lr = 0.1, here 0.7" in reason_of(house.root, "a")
    assert house.state("b") == "starting"


@pytest.mark.parametrize(("num_steps", "word"), [(120, "goes on from step 120"), (None, "begins it anew")])
def test_a_run_that_was_told_to_stop_from_outside_says_where_it_goes_on(house, num_steps, word):
    house.enqueue(make_spec("a", max_restarts=3))
    if num_steps:
        keep_snapshot(house, num_steps)
    told = "torchrun: told to stop by SIGUSR2 from outside"
    found = fall(house, reason=told, stopped=True)
    assert (found["state"], found["reason"]) == ("stopped", f"{told}; ddptui retry {word}")
    house.send("retry", runs=[[EXPERIMENT, "a"]])
    assert read_json(house.paths("a").attempt(2).attempt)["resumed_from_step"] == (num_steps or 0)


def test_after_a_reboot_a_run_is_lost_for_that_reason_and_started_again(house):
    house.enqueue(make_spec("a", max_restarts=1), make_spec("b"))
    runner = {**this_process().to_json(), "boot_id": "an earlier one"}  # its pid and start time are somebody's now
    write_json(house.paths("a").attempt(1).handle(0), runner)
    house.processes = LocalProcesses()
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert status(house)["reason"] == f"restarting after: {describe_reboot()} (1 of 1)"
    assert Handle.from_json(runner).pid == os.getpid()
    assert psutil.pid_exists(os.getpid()), "nobody was ended for it"


def test_a_pid_that_is_somebody_elses_now_is_not_taken_for_the_node_runner(house):
    house.enqueue(make_spec("a", max_restarts=1), make_spec("b"))
    runner = {**this_process().to_json(), "start_time": 1.0}
    write_json(house.paths("a").attempt(1).handle(0), runner)
    house.processes = LocalProcesses()
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert status(house)["reason"].startswith("restarting after: the node runner of node 0 ended without a word")
    assert psutil.pid_exists(os.getpid()), "nobody was ended for it"


def test_a_listing_names_the_reboot_before_any_supervisor_does(house):
    house.enqueue(make_spec("a"))
    paths = house.paths("a")
    earlier = {**this_process().to_json(), "boot_id": "an earlier one"}
    write_json(paths.attempt(1).handle(0), earlier)
    write_json(paths.status, {**read_json(paths.status), "handle": earlier, "updated_s": 1.0})
    view = read_run(paths)
    assert (view.state, view.reason) == ("lost", describe_reboot())


@pytest.fixture
def root(tmp_path, monkeypatch):
    with cleaned_up(tmp_path / "results") as folder:
        yield folder


TRAINED = {
    "model": "lenet5",
    "dataset": "digits",
    "dataset_size": 512,
    "strategy": "ddp",
    "world_size": 2,
    "global_batch_size": 32,
    "epochs": 8,
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "snapshot": {"every": "9 steps"},
    "slow": {"rank": 1, "phase": "forward", "delay_s": 0.02},
}


def train(root, run_id, **changes):
    spec = make_spec(run_id).model_copy(
        update={"config": RunConfig.model_validate({**TRAINED, **changes}), "num_devices": 2}
    )
    reply = control.enqueue(root, experiment=EXPERIMENT, plan=make_plan([spec]), runs=[spec], rerun="missing")
    assert reply.ok
    return ResultsPaths(root).run(EXPERIMENT, run_id)


def rank_pid(attempt, rank):
    lines = [json.loads(line) for line in attempt.events(rank).read_text().splitlines()]
    return next(line["pid"] for line in lines if line["kind"] == "run_start")


def model_of(paths):
    state = torch.load(paths.model_final, weights_only=True)
    return {name: value.tolist() for name, value in state.items()}


@pytest.mark.slow
def test_a_run_whose_rank_is_killed_is_started_again_and_ends_with_the_same_weights(root):
    whole = train(root, "whole")
    torn = train(root, "torn", max_restarts=1)
    wait_until(lambda: list(torn.snapshots.glob("*/manifest.json")), timeout_s=120)
    os.kill(rank_pid(torn.attempt(1), 1), signal.SIGKILL)
    wait_for_leave(root)
    assert (read_json(torn.status)["state"], read_json(torn.status)["restarts"]) == ("succeeded", 1)
    first, second = (read_json(attempt.attempt) for attempt in torn.attempts())
    assert first["exit"]["reason"] == "rank 1: killed by SIGKILL (sender unknown)"
    assert second["resumed_from_step"] % 9 == 0 < second["resumed_from_step"]
    assert model_of(torn) == model_of(whole)
    summary = read_json(torn.summary)
    assert (summary["attempts"], summary["epochs_done"], summary["num_steps"]) == (2, 8, 128)
    assert summary["time"]["restart_s"] > 0
    assert read_json(whole.summary)["time"]["restart_s"] is None
    assert not torn.snapshots.exists()
    wait_until(lambda: not find_tagged(run_marks(torn, EXPERIMENT)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_run_that_is_preempted_is_stopped_and_retry_goes_on_from_where_it_was(root, number):
    whole = train(root, "whole") if number == signal.SIGTERM else None
    paths = train(root, "torn", snapshot={"every": "1 h"}, max_restarts=1)
    events = paths.attempt(1).events(0)
    wait_until(lambda: events.exists() and events.read_text().count('"kind":"step"') > 8, timeout_s=120)
    ranks = rank_pid(paths.attempt(1), 0)
    os.kill(psutil.Process(ranks).ppid(), number)  # torchrun, as a scheduler would
    wait_for_leave(root)
    (snapshot,) = paths.snapshots.iterdir()
    found = read_json(paths.status)
    assert found["state"] == "stopped"
    told = f"torchrun: told to stop by {signal.Signals(number).name} from outside"
    assert found["reason"] == f"{told}; ddptui retry goes on from step {int(snapshot.name)}"
    assert control.retry(root, [(EXPERIMENT, "torn")]).ok
    wait_for_leave(root)
    assert read_json(paths.status)["state"] == "succeeded"
    assert read_json(paths.attempt(2).attempt)["resumed_from_step"] == int(snapshot.name)
    if whole is not None:
        assert model_of(paths) == model_of(whole)
