"""The drill itself, its short part: what is planned, one real fault, and a little fuzzing."""

import os
import signal
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from engine.store import read_json, write_json
from tests.drills import faults, fuzz_events, fuzz_toml
from tests.drills.cases import EPOCHS, NUM_STEPS, STRATEGIES, make_toml
from tests.drills.injections import inject
from tests.drills.kinds import KINDS, PHASES
from tests.drills.ledger import NOBODY, Ledger, format_report
from tests.drills.life import Life
from tests.drills.moments import wait_for_moment
from tests.drills.plans import plan_fault, plan_faults
from tests.drills.reference import reference_of
from tests.drills.scene import Scene
from tests.drills.settling import settle
from tests.drills.verdict import find_faults


def test_a_fault_is_decided_by_its_seed_and_index():
    assert list(islice(plan_faults(3), 40))[37] == plan_fault(3, 37)
    assert plan_fault(3, 37) != replace(plan_fault(4, 37), seed=3)


def test_three_hundred_faults_aim_at_every_phase_kind_and_strategy_and_only_where_a_kind_can_be():
    plans = list(islice(plan_faults(0), 300))
    assert min(Counter(plan.phase for plan in plans if plan.phase)[phase] for phase in PHASES) >= 15
    assert Counter(plan.phase for plan in plans)[""] == 100
    assert min(Counter(plan.kind for plan in plans)[kind] for kind in KINDS) >= 10
    assert min(Counter(plan.strategy for plan in plans)[strategy] for strategy in STRATEGIES) >= 40
    assert all(plan.phase in KINDS[plan.kind].phases for plan in plans if plan.phase)
    assert all(0 <= plan.share < 1 and 0 <= plan.step_share < 1 for plan in plans)


def entry(index, **fields):
    plan = plan_fault(0, index).to_json()
    known = {"hit": "training", "done": "SIGKILL to rank 0", "is_equal": True, "help": [], "problems": []}
    return {**plan, **known, "strays_s": 0.5, "attempts": 2, "resumed_from": [0, 5], "wall_s": 1.0, **fields}


def test_the_report_counts_what_was_hit_what_was_missed_and_what_failed(tmp_path):
    ledger = Ledger(tmp_path, 0)
    ledger.add(entry(0, kind="SIGKILL rank"))
    ledger.add(entry(1, kind="SIGKILL rank", help=["retry"], done=NOBODY))
    ledger.add(entry(2, kind="SIGKILL rank", problems=["first try"]))
    ledger.add(entry(2, kind="SIGKILL rank", problems=["the weights are others"], is_equal=False, hit="shutdown"))
    report = format_report(ledger.read())
    row = next(line for line in report.splitlines() if line.startswith("SIGKILL rank"))
    assert row.split()[2:] == ["3", "1", "2", "1", "2", "3", "1"]
    phase = {line.split("  ")[0]: line.split()[-2:] for line in report.splitlines()}
    assert (phase["training"], phase["shutdown"]) == (["1", "0"], ["1", "1"])
    assert "0-2 SIGKILL rank: the weights are others" in report
    assert "3 faults, 2 passed, 1 failed; final weights equal bit for bit in 2" in report


def test_an_invocation_goes_on_where_the_ledger_ends(tmp_path):
    Ledger(tmp_path, 5).add(entry(0, seed=5))
    options = faults._parse(["--seed", "5", "--count", "2", "--resume", "--folder", str(tmp_path)])
    assert [plan.index for plan in faults._choose(options, Ledger(tmp_path, 5))] == [1, 2]
    options = faults._parse(["--seed", "5", "--index", "17", "--folder", str(tmp_path)])
    assert [plan.index for plan in faults._choose(options, Ledger(tmp_path, 5))] == [17]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_undisturbed_run_of_every_strategy_is_a_valid_plan(strategy, tmp_path):
    (tmp_path / "experiments.toml").write_text(make_toml(strategy))
    plan = fuzz_toml.read_plan(str(tmp_path / "experiments.toml"))
    assert [run.config.epochs for run in plan.runs] == [EPOCHS]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_rank_that_is_killed_while_a_snapshot_is_written_costs_nothing_and_a_spoiled_result_is_found(tmp_path):
    reference = reference_of("single", tmp_path)
    assert {f"0/{step}" for step in range(NUM_STEPS)} <= reference.losses.keys()
    plan = replace(plan_fault(0, 0), kind="SIGKILL rank", phase="snapshot write", step_share=0.5, share=0.0)
    scene = Scene(tmp_path / "torn", make_toml("single"))
    try:
        life = Life(scene.paths, scene.world_size)
        scene.enqueue()
        wait_for_moment(plan, life, reference.timeline, lambda: bool(scene.view().status) and not scene.is_supervised())
        assert inject(plan.kind, scene, life, 1).startswith("SIGKILL to rank 0")
        settled = settle(scene, attaches=False)
        assert (settled.help, settled.problems) == ([], [])
        assert read_json(scene.paths.status)["restarts"] == 1
        assert find_faults(scene, reference, plan.kind) == []
        find_what_is_spoiled(scene, reference)
    finally:
        scene.close(keep=False)


def find_what_is_spoiled(scene, reference):
    """A look that finds nothing proves nothing unless it finds what is there."""
    spoiled = bytearray(scene.paths.model_final.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    scene.paths.model_final.write_bytes(spoiled)
    (scene.paths.root / ".model_final.pt.half").write_bytes(b"")
    (scene.paths.root / "annotation.json").write_text('{"note": "a')
    with scene.paths.attempt(2).events(0).open("ab") as file:
        file.write(b"garbage\n")
    write_json(scene.results.queue, {"waiting": [["drill", "x"]]})
    others = replace(reference, losses={key: [9.0, 1] for key in reference.losses})
    said = "\n".join(find_faults(scene, others, "SIGKILL rank"))
    for words in ("final weights", "half of a file", "annotation.json is torn", "lines that are none", "queue.json"):
        assert words in said
    assert "the loss of 0/" in said
    write_json(scene.paths.status, {**read_json(scene.paths.status), "state": "failed"})
    assert any("ended failed" in line for line in find_faults(scene, reference, "SIGKILL rank"))


def test_what_is_left_of_a_run_is_found_by_its_mark(tmp_path):
    scene = Scene(tmp_path / "scene", make_toml("single"))
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], dict(os.environ))
    try:
        assert [process.pid for process in scene.processes()] == [pid]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        scene.close(keep=False)
    assert scene.processes() == []


def test_mutated_experiment_files_are_planned_or_refused_with_their_place(tmp_path):
    outcomes, failures = fuzz_toml.fuzz(7, 300, tmp_path)
    assert failures == []
    assert outcomes["planned"] > 0
    assert outcomes["refused"] > 100


def test_mutated_event_lines_are_read_without_a_word(tmp_path):
    counts, failures = fuzz_events.fuzz(7, 400, tmp_path, report_every=1000)
    assert failures == []
    assert counts["mutated lines"] >= 400
