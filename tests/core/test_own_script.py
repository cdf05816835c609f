"""A script in the experiment file: which keys go with it, and what runs come of it."""

from __future__ import annotations

import pytest

from engine.catalog import plan_catalog
from engine.core.errors import InputError
from engine.core.own_script import SCRIPT_KEYS, TRAINING_KEYS, fill_arguments, script_stem
from engine.core.plan import ExperimentPlan, make_plan
from engine.core.spec import RunConfig

HEAD = '[[experiment]]\nname = "own"\nscript = "src/train.py"\n'


def plan(text: str) -> ExperimentPlan:
    (experiment,) = make_plan(text, "f.toml", catalog=plan_catalog(), code_digest=lambda targets: "d").experiments
    return experiment


def problems_of(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan(text)
    return [str(problem) for problem in caught.value.problems]


def test_runs_of_a_script_have_its_name_and_are_compared_with_one_rank() -> None:
    experiment = plan(HEAD + "repeats = 2\n[experiment.matrix]\nworld_size = [1, 2]\n")
    assert [run.id.rpartition("-")[0] for run in experiment.runs] == [
        "train-w1-r0", "train-w2-r0", "train-w1-r1", "train-w2-r1",
    ]  # fmt: skip
    first = experiment.points[0].point
    assert [run.baseline for run in experiment.runs] == [first] * 4
    assert [run.config.seed for run in experiment.runs] == [0, 0, 1, 1]
    assert experiment.runs[1].num_devices == 2


def test_each_of_several_scripts_is_compared_with_itself() -> None:
    experiment = plan(
        '[[experiment]]\nname = "x"\n[experiment.matrix]\nscript = ["a.py", "b.py"]\nworld_size = [1, 2]\n'
    )
    assert [(point.point[:4], (point.baseline or "")[:4]) for point in experiment.points] == [
        ("a-w1", "a-w1"), ("a-w2", "a-w1"), ("b-w1", "b-w1"), ("b-w2", "b-w1"),
    ]  # fmt: skip


def test_keys_of_training_beside_a_script_are_named_with_their_line() -> None:
    (problem,) = problems_of(HEAD + 'model = "mlp"\nstrategy = "ddp"\noptimizer = { lr = 0.1 }\n')
    assert problem.startswith("f.toml:4:")
    assert "model, optimizer, strategy do not go with script" in problem


def test_what_the_defaults_say_of_training_is_not_used_and_the_plan_says_so() -> None:
    defaults = '[defaults]\nmodel = "mlp"\noptimizer = { lr = 0.1 }\nglobal_batch_size = 8\nepochs = 3\n'
    experiment = plan(defaults + HEAD)
    assert experiment.notes == [
        "global_batch_size, model, optimizer of [defaults]: not used, the script decides that itself"
    ]
    assert (experiment.runs[0].config.model, experiment.runs[0].config.epochs) == ("", 3)


def test_a_run_without_a_script_still_needs_model_data_and_optimizer() -> None:
    problems = problems_of('[[experiment]]\nname = "x"\nglobal_batch_size = 8\nepochs = 1\n')
    assert [problem.partition(" is missing")[0].rpartition(" ")[2] for problem in problems] == [
        "model:", "dataset:", "optimizer:",
    ]  # fmt: skip
    training = 'model = "mlp"\ndataset = "digits"\noptimizer = { lr = 0.1 }\nglobal_batch_size = 8\nepochs = 1\n'
    (problem,) = problems_of(f'[[experiment]]\nname = "x"\n{training}args = ["a"]\n')
    assert "args and tensorboard go with script only" in problem


def test_the_strategy_of_a_script_cannot_be_written() -> None:
    for name in ("script", "single"):
        problems = problems_of(HEAD + f'strategy = "{name}"\n')
        assert any("strategy does not go with script" in problem for problem in problems)


def test_placeholders_are_filled_in_and_unknown_ones_refused() -> None:
    values = {"seed": 3, "world_size": 2}
    arguments = ["--seed={seed}", 0.5, "{world_size}", '{"a": 1}', "{}"]
    assert fill_arguments(arguments, values) == ["--seed=3", "0.5", "2", '{"a": 1}', "{}"]
    (problem,) = problems_of(HEAD + 'args = ["{worldsize}"]\n')
    assert "{worldsize} cannot be filled in" in problem


def test_only_what_ends_by_a_number_of_steps_can_stop_a_script() -> None:
    (problem,) = problems_of(HEAD + "stop = { minutes = 2 }\n")
    assert "stop.minutes does not go with script" in problem
    assert plan(HEAD + "stop = { steps = 20 }\n").runs[0].config.stop.steps == 20


def test_rules_about_hangs_and_losses_go_with_a_script_when_they_are_asked_for() -> None:
    plain = plan(HEAD).runs[0]
    assert plain.config.hang_rule.is_never, "it may log as seldom as it likes"
    asked = plan(HEAD + 'hang_after = "30 s"\non_hang = "wait"\non_nonfinite = "stop"\n').runs[0]
    rule = asked.config.hang_rule
    assert (rule.seconds, rule.is_script, asked.config.on_hang, asked.config.on_nonfinite) == (30, True, "wait", "stop")
    assert asked.id == plain.id
    (problem,) = problems_of(HEAD + 'on_disk_full = "stop"\n')
    assert "on_disk_full does not go with script" in problem


def test_every_key_of_a_run_is_known_to_go_with_a_script_or_not() -> None:
    assert set(RunConfig.model_fields) == SCRIPT_KEYS | TRAINING_KEYS
    assert not SCRIPT_KEYS & TRAINING_KEYS


@pytest.mark.parametrize(("script", "stem"), [("a/b/train.py", "train"), ("trän ing", "tr_n_ing"), ("..py", "script")])
def test_the_ids_of_runs_begin_with_a_name_that_every_file_system_takes(script: str, stem: str) -> None:
    assert script_stem(script) == stem
