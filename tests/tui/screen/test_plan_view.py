from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.catalog import STRATEGY_TRAITS
from engine.core.errors import Problem
from tui.outside_editor import editor_command
from tui.plan_command import topology_of
from tui.plan_reading import PlanReading, check_key, read_text
from tui.plan_source import FileChangedError, read_file, save_file
from tui.view.plan_detail import Checked, describe_run
from tui.view.plan_shares import coverage_of, shares_of
from tui.view.plan_view import NEW, count_launch, export_plan, problem_line, with_states
from tui.view.snapshot import EMPTY
from tui.view.table import cell_text

HEAD = """\
[defaults]
model = "lenet5"
dataset = "digits"
epochs = 2
optimizer = { name = "sgd", lr = 0.05 }
[[experiment]]
name = "first"
"""


def _read(more: str) -> PlanReading:
    reading = read_text(HEAD + more, "experiments.toml").at(EMPTY, {NEW: "+ new"})
    assert reading.plan is not None, reading.problems
    return reading


def _describe(reading: PlanReading, index: int = -1, **more: Any) -> str:
    spec, experiment = list(reading.runs.values())[index]
    checked = more.pop("checked", Checked())
    facts = describe_run(
        spec,
        experiment,
        topology_of(spec, checked.num_gpus),
        STRATEGY_TRAITS[spec.config.strategy],
        state=more.get("state", NEW),
        reason=more.get("reason", ""),
        commands=["torchrun ..."],
        checked=checked,
    )
    return "\n".join(
        f"{fact.label}: " + "\n".join("".join(text for text, _ in line) for line in fact.lines) for fact in facts
    )


def test_each_rank_of_ddp_gets_its_contiguous_share_of_the_batch() -> None:
    reading = _read('strategy = "ddp"\nworld_size = 4\nglobal_batch_size = 64\n')
    spec = reading.plan.runs[0]  # type: ignore[union-attr]
    shares = shares_of(topology_of(spec, 0), STRATEGY_TRAITS["ddp"])
    assert [(share.who, share.first, share.last) for share in shares] == [
        ("rank 0", 0, 15),
        ("rank 1", 16, 31),
        ("rank 2", 32, 47),
        ("rank 3", 48, 63),
    ]


def test_replicas_of_dp_share_and_stages_of_a_pipeline_see_no_samples() -> None:
    dp = _read('strategy = "dp"\ndp.num_replicas = 2\nglobal_batch_size = 64\n')
    assert "replica 1" in _describe(dp)
    assert "32 (32-63)" in _describe(dp)
    pipeline = _read('strategy = "rpc_pipeline"\nworld_size = 3\nglobal_batch_size = 64\n')
    text = _describe(pipeline)
    assert "rank 0 driver" in text
    assert "64 (0-63)" in text
    assert text.count("activations of all samples") == 2
    stages = _describe(_read('strategy = "pipeline"\nworld_size = 3\nglobal_batch_size = 64\n'))
    assert "rank 0 stage" in stages
    assert "64 (0-63)" in stages
    assert stages.count("activations of all samples") == 2


def test_what_the_check_has_counted_of_a_partition_is_said() -> None:
    reading = _read('strategy = "ddp"\nworld_size = 2\nglobal_batch_size = 64\npartition = "faulty_random_half"\n')
    row = {
        "num_samples": 1437,
        "per_share": [704, 704],
        "seen_ratio": 719 / 1437,
        "seen_so_far_ratio": 719 / 1437,
        "overlap_ratio": 0.96,
        "class_skew_ratio": 0.021,
        "order_changed": None,
    }
    rows = [row, {**row, "order_changed": False}]
    text = _describe(reading, checked=Checked(facts={"train_samples": 1437}, coverage=coverage_of(rows)))
    assert "partition: faulty_random_half: faulty: every rank shuffles the same first 1/R" in text
    assert "overlap: 96.0% of the samples seen are seen by more than one" in text
    assert "left out: 718 of 1,437 in each epoch, always the same ones" in text
    assert "class skew 2.1% of the most uneven rank; order the same each epoch" in text
    assert "704        49.0%" in text


def test_nothing_is_counted_of_a_partition_that_was_too_large() -> None:
    assert coverage_of([]) is None


def test_what_is_not_known_before_the_check_is_said_to_be_so() -> None:
    reading = _read("global_batch_size = 64\n")
    assert "digits: n/a: enter asks the interpreter" in _describe(reading)
    assert "n/a yet" in _describe(reading, checked=Checked(is_running=True))
    failed = _describe(reading, checked=Checked(problems=("torch is not installed",)))
    assert failed.startswith("problem: torch is not installed")
    assert "n/a: the check failed" in failed


def test_batches_with_accumulation_are_written_as_the_product_they_are() -> None:
    text = _describe(_read('strategy = "ddp"\nworld_size = 2\nlocal_batch_size = 8\ngradient_accumulation_steps = 4\n'))
    assert "2 ranks, 2 devices, global batch 64 = 2 x 4 x 8" in text


def test_a_world_of_gpus_is_open_until_the_check_has_counted_them() -> None:
    reading = _read('strategy = "ddp"\nworld_size = "gpu"\nlocal_batch_size = 8\n')
    assert "known after the check" in _describe(reading)
    assert cell_text(reading.rows[1].cells[2]) == "gpu"
    columns, rows = export_plan(reading.plan, reading.states)  # type: ignore[arg-type]
    assert dict(zip(columns, rows[0], strict=True))["num_devices"] is None
    assert "4 ranks, 4 devices, global batch 32" in _describe(reading, checked=Checked(num_gpus=4))


def test_a_run_without_a_baseline_says_why() -> None:
    matrix = '[experiment.matrix]\nstrategy = ["single", "ddp"]\n"optimizer.lr" = [0.1, 0.2]\n'
    exclude = '[[experiment.exclude]]\nstrategy = "single"\n"optimizer.lr" = 0.2\n'
    reading = _read(f"global_batch_size = 64\n{matrix}{exclude}")
    assert "baseline: none\nno baseline: no point with strategy=single has optimizer.lr=0.2" in _describe(reading)


def test_what_a_launch_would_do_follows_the_rerun_rule() -> None:
    reading = _read("global_batch_size = 64\nrepeats = 4\n")
    experiment = reading.plan.experiments[0]  # type: ignore[union-attr]
    states = dict(zip(reading.runs, ("succeeded", "failed", "queued", NEW), strict=True))
    assert count_launch(experiment, states, "missing").words() == (
        "1 new, 1 again, 1 queued or running already, 1 skipped"
    )
    assert count_launch(experiment, states, "failed").words() == "1 again, 1 queued or running already, 2 skipped"
    assert count_launch(experiment, states, "all").words() == "1 new, 2 again, 1 queued or running already"


def test_rows_that_stay_as_they_are_stay_the_same_objects() -> None:
    reading = _read("global_batch_size = 64\nrepeats = 3\n")
    tag = next(iter(reading.runs))
    states = {**reading.states, tag: "running"}
    rows = with_states(reading.rows, reading.plan, states, {NEW: "+ new"})  # type: ignore[arg-type]
    assert [new is old for new, old in zip(rows, reading.rows, strict=True)] == [False, False, True, True]


def test_a_repeat_shares_its_check_with_the_point() -> None:
    specs = [spec for spec, _ in _read("global_batch_size = 64\nrepeats = 2\n").runs.values()]
    other = [spec for spec, _ in _read("global_batch_size = 32\n").runs.values()]
    assert check_key(specs[0]) == check_key(specs[1]) != check_key(other[0])


def test_a_problem_is_one_line_with_its_place() -> None:
    assert problem_line(Problem(message="wrong", line=3, key="a.b")) == "line 3: a.b: wrong"
    assert problem_line(Problem(message="wrong")) == "wrong"


def test_a_file_is_only_replaced_where_it_is_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "experiments.toml"
    saved = save_file(str(path), "a = 1\n", expected=None)
    assert read_file(str(path)) == saved
    with pytest.raises(FileChangedError):
        save_file(str(path), "b = 1\n", expected=None)
    path.unlink()
    with pytest.raises(FileChangedError):
        save_file(str(path), "b = 1\n", expected=b"a = 1\n")
    assert not path.exists()


def test_the_editor_is_the_one_that_was_named() -> None:
    assert editor_command({"VISUAL": "sh -c 'a b'", "EDITOR": "cat"}) == ["sh", "-c", "a b"]
    assert editor_command({"VISUAL": " ", "EDITOR": "cat"}) == ["cat"]
    for wrong in ("no-such-editor", "'unclosed"):
        with pytest.raises(Exception, match=r"\$EDITOR"):
            editor_command({"EDITOR": wrong})
