"""Runs that hang: looked at, judged, then ended and started again, or waited for. With fakes, and with real ranks."""

import json
import os
import signal

import psutil
import pytest
from house import House
from supervised import EXPERIMENT, cleaned_up, make_plan, make_spec, reason_of, state_of, wait_until

from engine import control, wake
from engine.core.spec import RunConfig
from engine.processes import find_tagged, run_marks
from engine.store import ResultsPaths, read_json, write_json
from engine.supervisor.hanging import COLLECT_S, END_S

CLAIM = {"quiet_s": 5.0, "limit_s": 5.0, "median_s": 0.02, "since_s": 1.0}
REASON = "no step for 6 s (median 0.02 s): rank 1 is stopped (SIGSTOP) at step 340"


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "results")


def start(house, *, nodes=1, **config):
    """A run whose ranks have spoken; return its attempt."""
    spec = make_spec("a", nodes=nodes)
    house.enqueue(spec.model_copy(update={"config": spec.config.model_copy(update=config)}))
    attempt = house.paths("a").attempt(1)
    attempt.events(0).parent.mkdir(parents=True)
    attempt.events(0).write_text('{"kind":"run_start"}\n')
    house.supervisor.tick()
    assert house.state("a") == "running"
    return attempt


def claim(house, *attempts_and_nodes):
    for attempt, node_rank in attempts_and_nodes:
        write_json(attempt.hang(node_rank), CLAIM)
    house.supervisor.tick()


def answer(house, attempt, node_rank, *ranks):
    """Be the node runner: say where its ranks are, with the quiet seconds and the state of each."""
    fields = {"step": 340, "phase": "comm", "quiet_s": 6.0, "wchan": "", "stack": "", "pid": 7}
    order = read_json(attempt.hang_order)["collect"]
    looks = {str(rank): {**fields, "state": state} for rank, state in ranks}
    write_json(attempt.node_dossier(node_rank), {"order": order, "ranks": looks, "agent": {"state": "sleeping"}})
    house.supervisor.tick()


def test_a_silent_run_is_looked_at_then_ended_with_the_reason_and_may_restart(house):
    attempt = start(house, max_restarts=1)
    claim(house, (attempt, 0))
    assert house.state("a") == "running", "nothing is known yet"
    assert "end" not in read_json(attempt.hang_order)
    answer(house, attempt, 0, (0, "sleeping"), (1, "stopped"))
    assert (house.state("a"), reason_of(house.root, "a")) == ("stalled", REASON)
    assert attempt.dossier.exists(), "before anything is ended"
    assert "rank 1 is stopped (SIGSTOP)" in attempt.dossier_text.read_text()
    assert read_json(attempt.hang_order)["end"] == REASON
    house.exit("a", 1, reason=REASON)
    house.supervisor.tick()
    assert (house.state("a"), reason_of(house.root, "a")) == ("queued", f"restarting after: {REASON} (1 of 1)")


def test_a_run_that_is_waited_for_runs_again_when_it_moves_and_can_stall_again(house):
    attempt = start(house, on_hang="wait")
    claim(house, (attempt, 0))
    answer(house, attempt, 0, (0, "sleeping"), (1, "stopped"))
    assert house.state("a") == "stalled"
    written = attempt.dossier.stat().st_mtime_ns
    for _ in range(3):
        house.clock.now_s += 30.0
        house.supervisor.tick()
    assert attempt.dossier.stat().st_mtime_ns == written, "once a stall"
    assert "end" not in read_json(attempt.hang_order)
    assert house.processes.done == []
    house.supervisor = house.new_supervisor()
    house.supervisor.tick()
    assert (house.state("a"), reason_of(house.root, "a")) == ("stalled", REASON), "the next supervisor knows"
    assert attempt.dossier.stat().st_mtime_ns == written
    attempt.hang(0).unlink()
    house.supervisor.tick()
    assert (house.state("a"), reason_of(house.root, "a")) == ("running", "")
    claim(house, (attempt, 0))
    answer(house, attempt, 0, (0, "stopped"), (1, "stopped"))
    assert "all 2 ranks" in reason_of(house.root, "a")


def test_several_nodes_hang_only_together_and_one_that_does_not_answer_is_named(house):
    attempt = start(house, nodes=2, on_hang="wait")
    claim(house, (attempt, 0))
    assert not attempt.hang_order.exists(), "the other node goes on"
    claim(house, (attempt, 1))
    answer(house, attempt, 0, (0, "sleeping"))
    assert not attempt.dossier.exists(), "the other is waited for"
    house.clock.now_s += COLLECT_S
    house.supervisor.tick()
    assert read_json(attempt.dossier)["missing_nodes"] == [1]
    assert reason_of(house.root, "a").endswith("(node 1 did not answer)")


def test_a_node_that_has_ended_well_is_part_of_the_picture(house):
    attempt = start(house, nodes=2, on_hang="wait")
    house.exit("a", 0, node_rank=1, reason="", ranks={"1": {"exit_code": 0}})
    house.processes.alive.remove(102 if 102 in house.processes.alive else max(house.processes.alive))
    house.supervisor.tick()
    claim(house, (attempt, 0))
    wait = 0
    while not attempt.hang_order.exists() and wait < 3:
        house.supervisor.tick()
        wait += 1
    answer(house, attempt, 0, (0, "sleeping"))
    assert "rank 1 left the others early with exit code 0" in reason_of(house.root, "a")


def test_a_run_that_moves_while_it_is_looked_at_is_left_alone(house):
    attempt = start(house)
    claim(house, (attempt, 0))
    attempt.hang(0).unlink()
    house.supervisor.tick()
    assert house.state("a") == "running"
    assert not attempt.hang_order.exists()
    assert not attempt.dossier.exists()


def test_a_node_runner_that_does_not_end_the_attempt_is_ended_with_it(house):
    attempt = start(house)
    claim(house, (attempt, 0))
    answer(house, attempt, 0, (0, "sleeping"), (1, "stopped"))
    house.supervisor.tick()
    assert ("end_all",) not in house.processes.done
    house.clock.now_s += END_S
    house.supervisor.tick()
    assert ("end_all",) in house.processes.done
    assert (house.state("a"), reason_of(house.root, "a")) == ("failed", REASON)


def test_stacks_are_given_on_request_and_the_run_goes_on(house):
    attempt = start(house)
    reply = house.send("stacks", runs=[[EXPERIMENT, "a"]])
    ((_, _, number, order),) = reply["data"]["asked"]
    assert (reply["ok"], number) == (True, 1)
    house.supervisor.tick()
    assert not attempt.stacks.exists()
    answer(house, attempt, 0, (0, "sleeping"), (1, "stopped"))
    assert read_json(attempt.stacks)["order"] == order
    assert "rank 1 is stopped" in read_json(attempt.stacks)["verdict"]
    assert not attempt.hang_order.exists()
    assert not attempt.dossier.exists()
    assert (house.state("a"), reason_of(house.root, "a")) == ("running", "")
    house.exit("a")
    house.supervisor.tick()
    assert not house.send("stacks", runs=[[EXPERIMENT, "a"]])["ok"]


def test_stacks_of_a_stalled_run_leave_its_dossier_and_its_reason(house):
    attempt = start(house, on_hang="wait")
    claim(house, (attempt, 0))
    answer(house, attempt, 0, (0, "sleeping"), (1, "stopped"))
    house.clock.now_s += 1.0
    house.send("stacks", runs=[[EXPERIMENT, "a"]])
    answer(house, attempt, 0, (0, "sleeping"), (1, "sleeping"))
    house.supervisor.tick()
    assert "rank 1 is stopped" not in read_json(attempt.stacks)["verdict"]
    assert "rank 1 is stopped" in read_json(attempt.dossier)["verdict"]
    assert (house.state("a"), reason_of(house.root, "a")) == ("stalled", REASON)


def test_a_node_runner_that_is_stopped_is_told_until_it_goes_on(house):
    start(house)
    house.processes.stopped = set(house.processes.alive)
    house.supervisor.tick()
    told = "the node runner of node 0 is stopped (SIGSTOP): nobody watches its ranks"
    assert (house.state("a"), reason_of(house.root, "a")) == ("stalled", told)
    house.processes.stopped = set()
    house.supervisor.tick()
    assert (house.state("a"), reason_of(house.root, "a")) == ("running", "")


def test_a_user_who_stops_a_stalled_run_has_the_last_word(house):
    attempt = start(house, on_hang="wait")
    claim(house, (attempt, 0))
    answer(house, attempt, 0, (0, "sleeping"), (1, "stopped"))
    house.send("stop", runs="all", grace_s=5)
    assert house.state("a") == "stopping"
    house.exit("a", 1, stopped=True)
    house.supervisor.tick()
    assert (house.state("a"), reason_of(house.root, "a")) == ("stopped", "stopped by the user")


OWN = '''
import os
import time
from pathlib import Path

import torch
from torch import nn

RELEASE = Path(__file__).with_name("release")


def load():
    """The inputs of rank 1 stop coming in its twelfth step."""
    from engine.worker.batches import Batches

    get, calls = Batches.get, []

    def slow_get(self, *arguments):
        calls.append(1)
        if os.environ["RANK"] == "1" and len(calls) == 12:
            wait_for_a_server()
        return get(self, *arguments)

    Batches.get = slow_get
    made = torch.Generator().manual_seed(0)
    data = torch.rand(512, 1, 8, 8, generator=made), torch.randint(10, (512,), generator=made)
    return data, data


def wait_for_a_server():
    while not RELEASE.exists():
        time.sleep(0.05)


class Leaves(nn.Module):
    """Rank 1 goes in its twelfth step; a child of it holds its connections open, so that nobody is told."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.calls = 0

    def forward(self, inputs):
        self.calls += self.training
        if os.environ.get("RANK") == "1" and os.environ.get("WORLD_SIZE") == "2" and self.calls == 12:
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        return self.layers(inputs)
'''

TRAINED = {
    "model": "mlp",
    "dataset": "digits",
    "dataset_size": 512,
    "strategy": "ddp",
    "world_size": 2,
    "global_batch_size": 32,
    "epochs": 3,
    "optimizer": {"name": "sgd", "lr": 0.05},
    "hang_after": 8,
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "own_hanging.py").write_text(OWN)
    with cleaned_up(tmp_path / "results") as folder:
        yield folder


def train(root, **changes):
    config = RunConfig.model_validate({**TRAINED, **changes})
    update = {"config": config, "num_devices": 2, "project_dir": str(root.parent)}
    spec = make_spec("a").model_copy(update=update)
    assert control.enqueue(root, experiment=EXPERIMENT, plan=make_plan([spec]), runs=[spec], rerun="missing").ok
    return ResultsPaths(root).run(EXPERIMENT, "a")


def wait_for_end(root):
    """Wait until no supervisor owns the folder: on a busy machine the start of torch alone takes long."""
    wait_until(lambda: wake.lock_holder(ResultsPaths(root)) is None, timeout_s=200)


def num_steps(attempt, rank=0):
    try:
        return attempt.events(rank).read_text().count('"kind":"step"')
    except OSError:
        return 0


def rank_pid(attempt, rank):
    lines = [json.loads(line) for line in attempt.events(rank).read_text().splitlines()]
    return next(line["pid"] for line in lines if line["kind"] == "run_start")


def stacks_of(attempt):
    return {rank["rank"]: rank for rank in read_json(attempt.dossier)["ranks"]}


def assert_nothing_is_left(paths):
    wait_until(lambda: not find_tagged(run_marks(paths, EXPERIMENT)))


@pytest.mark.slow
def test_a_stopped_rank_is_named_and_the_run_goes_on_from_its_snapshot(root):
    slow = {"rank": 0, "phase": "forward", "delay_s": 0.05}
    paths = train(root, snapshot={"every": "5 steps"}, max_restarts=1, slow=slow)
    first = paths.attempt(1)
    wait_until(lambda: list(paths.snapshots.glob("*/manifest.json")) and num_steps(first) > 8, timeout_s=120)
    stopped = rank_pid(first, 1)
    os.kill(stopped, signal.SIGSTOP)
    wait_until(first.dossier.exists, timeout_s=60)
    wait_for_end(root)
    reason = read_json(first.attempt)["exit"]["reason"]
    assert reason.startswith("no step for ")
    assert "rank 1 is stopped (SIGSTOP) at step " in reason
    seen = stacks_of(first)
    assert (seen[0]["state"], seen[1]["state"]) == ("sleeping", "stopped")
    assert "train_step" in seen[0]["stack"]
    assert seen[1]["stack_note"].startswith("is stopped, so it cannot answer the stack signal")
    assert "Thread 0x" not in first.err(0).read_text(), "the user's own log is left alone"
    assert (state_of(root, "a"), read_json(paths.status)["restarts"]) == ("succeeded", 1)
    assert read_json(paths.attempt(2).attempt)["resumed_from_step"] > 0
    assert not psutil.pid_exists(stopped)
    assert_nothing_is_left(paths)


@pytest.mark.slow
def test_a_rank_stuck_in_its_data_is_named_over_two_nodes_and_waited_for(root):
    paths = train(root, dataset="own_hanging:load", nodes=2, on_hang="wait")
    attempt = paths.attempt(1)
    wait_until(lambda: state_of(root, "a") in ("stalled", "failed"), timeout_s=120)
    reason = reason_of(root, "a")
    assert state_of(root, "a") == "stalled", reason
    assert "rank 1 is stuck in its data loading (own_hanging.py:" in reason
    assert " in wait_for_a_server) at step 11, while rank 0 waits " in reason
    seen = stacks_of(attempt)
    assert [seen[rank]["node_rank"] for rank in (0, 1)] == [0, 1]
    assert "train_step" in seen[0]["stack"]
    assert "wait_for_a_server" in seen[1]["stack"]
    (root.parent / "release").touch()
    wait_until(lambda: state_of(root, "a") in ("running", "succeeded"), timeout_s=30)
    wait_for_end(root)
    assert (state_of(root, "a"), reason_of(root, "a")) == ("succeeded", "")
    assert_nothing_is_left(paths)


@pytest.mark.slow
def test_a_rank_that_left_the_others_is_named_and_nothing_is_left_of_the_run(root):
    paths = train(root, model="own_hanging:Leaves")
    wait_for_end(root)
    attempt = paths.attempt(1)
    assert state_of(root, "a") == "failed"
    assert "rank 1 left the others early with exit code 0 at step 11 (phase forward), while rank 0 waits" in reason_of(
        root, "a"
    )
    seen = stacks_of(attempt)
    assert (seen[1]["exit_code"], seen[1]["state"]) == (0, "gone")
    assert "train_step" in seen[0]["stack"]
    assert_nothing_is_left(paths)
