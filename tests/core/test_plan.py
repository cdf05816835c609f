"""What runs a file makes, and what is said of a file that makes none."""

import json

import pytest

from engine.catalog import plan_catalog
from engine.core.errors import InputError
from engine.core.plan import MAX_RUNS, make_plan, own_targets
from engine.core.spec import RunSpec

DEFAULTS = """\
[defaults]
model = "lenet5"
dataset = "digits"
global_batch_size = 64
epochs = 2
optimizer = { name = "sgd", lr = 0.1, momentum = 0.9 }
"""
CATALOG = plan_catalog()


def plan(body, *, defaults=DEFAULTS, **more):
    return make_plan(defaults + body, "f.toml", catalog=CATALOG, **more)


def only_experiment(body, **more):
    (experiment,) = plan(body, **more).experiments
    return experiment


def problems_of(body, **more):
    with pytest.raises(InputError) as caught:
        plan(body, **more)
    return [str(problem) for problem in caught.value.problems]


def line_of(body, text, *, defaults=DEFAULTS):
    """The 1-based line of ``text`` in the whole file."""
    whole = defaults + body
    assert whole.count(text) == 1
    return whole[: whole.index(text)].count("\n") + 1


X = '[[experiment]]\nname = "x"\n'


def test_an_experiment_without_matrix_is_one_point():
    experiment = only_experiment(X)
    (run,) = experiment.runs
    assert run.id.startswith("single-w1-r0-")
    assert run.point == run.id.replace("-r0-", "-")
    assert (run.baseline, run.axes, run.num_devices) == (run.point, {}, 1)
    assert run.config.optimizer.momentum == 0.9


def test_repeats_are_interleaved_and_have_their_own_seeds():
    experiment = only_experiment(X + 'repeats = 2\nseed = 7\n[experiment.matrix]\nstrategy = ["single", "ddp"]\n')
    assert [(run.repeat, run.config.strategy, run.config.seed) for run in experiment.runs] == [
        (0, "single", 7),
        (0, "ddp", 7),
        (1, "single", 8),
        (1, "ddp", 8),
    ]
    assert experiment.run_ids == [run.id for run in experiment.runs]
    assert experiment.points[1].run_ids == [experiment.runs[1].id, experiment.runs[3].id]


def test_a_fixed_seed_stays_the_same_over_repeats():
    runs = plan(X + 'repeats = 3\nseed_policy = "fixed"\nseed = 5\n').runs
    assert [run.config.seed for run in runs] == [5, 5, 5]


def test_ids_do_not_depend_on_the_order_of_keys():
    one = plan(X + 'repeats = 2\nseed = 1\ncompile = true\n[experiment.matrix]\nworld_size=[1,2]\nstrategy=["ddp"]\n')
    other = plan(
        '[[experiment]]\ncompile = true\n[experiment.matrix]\nstrategy=["ddp"]\nworld_size=[1,2]\n'.replace(
            "compile", 'repeats = 2\nname = "x"\nseed = 1\ncompile'
        ),
    )
    assert {run.id for run in one.runs} == {run.id for run in other.runs}


def test_ids_follow_what_alters_the_result_and_nothing_else():
    def run_id(body, digest="", model=""):
        (run,) = plan(X + model + body, code_digest=lambda names: digest).runs
        return run.id

    first = run_id("")
    assert run_id('python = "/usr/bin/python3"\ntimeout = 5.0\ndata_root = "/d"\nsetup = ["true"]\n') == first
    assert run_id("ddp.comm_hook = 'fp16'\n") == first
    assert run_id("seed = 1\n") != first
    assert run_id("cores_per_rank = 2\n") != first
    own = 'model = "my.net:build"\n'
    assert run_id("", "1", own) != run_id("", "2", own)
    assert run_id("", "1", own) == run_id("", "1", own)


def test_the_code_digest_is_asked_once_with_the_users_own_names():
    asked = []

    def digest(names):
        asked.append(names)
        return "abc"

    body = 'model = "my.net:build"\nmetrics = ["accuracy", "my.metrics:top5"]\n[experiment.matrix]\nseed = [1, 2]\n'
    runs = plan(X + body, code_digest=digest, project_dir="/p").runs
    assert asked == [["my.metrics:top5", "my.net:build"]] == [own_targets(runs[0].config)]
    assert {(run.code_digest, run.project_dir) for run in runs} == {("abc", "/p")}


def test_a_module_that_is_not_found_is_reported_at_its_key():
    def digest(names):
        raise InputError(f"no module for {names[0]}")

    body = X + 'model = "my.net:build"\n'
    line = line_of(body, 'model = "my')
    assert problems_of(body, code_digest=digest) == [f"f.toml:{line}:9: model: no module for my.net:build"]


def test_a_run_survives_the_way_through_json():
    body = X + 'model_args = { a = [1, 2.5] }\n[experiment.matrix]\n"optimizer.lr" = [0.1, 1]\nstrategy = ["dp"]\n'
    for run in plan(body).runs:
        assert RunSpec.model_validate_json(run.model_dump_json()) == run
        assert json.loads(run.model_dump_json())["axes"]["strategy"] == "dp"


class TestLayers:
    def test_tables_merge_but_another_name_replaces(self):
        same = plan(X + "optimizer = { lr = 0.5 }\n").runs[0].config.optimizer
        assert (same.name, same.lr, same.momentum) == ("sgd", 0.5, 0.9)
        other = plan(X + 'optimizer = { name = "adam", lr = 0.5 }\n').runs[0].config.optimizer
        assert (other.name, other.momentum) == ("adam", None)

    def test_another_model_drops_the_arguments_of_the_one_below(self):
        defaults = DEFAULTS + "model_args = { a = 1 }\n"
        assert plan(X + 'model = "mlp"\n', defaults=defaults).runs[0].config.model_args == {}
        assert plan(X + 'model = "lenet5"\n', defaults=defaults).runs[0].config.model_args == {"a": 1}
        axis = '[experiment.matrix]\nmodel = ["mlp"]\n'
        assert plan(X + axis, defaults=defaults).runs[0].config.model_args == {"a": 1}

    @pytest.mark.parametrize("body", ["local_batch_size = 8\n", "[experiment.matrix]\nlocal_batch_size = [8]\n"])
    def test_the_nearer_batch_size_wins(self, body):
        config = plan(X + body).runs[0].config
        assert (config.global_batch_size, config.local_batch_size) == (None, 8)

    def test_both_batch_sizes_in_one_table_are_an_error(self):
        (problem,) = problems_of(X + "local_batch_size = 8\nglobal_batch_size = 8\n")
        assert "exactly one of global_batch_size" in problem
        assert problem.startswith("f.toml:10:")

    def test_an_experiment_extends_another(self):
        body = (
            '[[experiment]]\nname = "child"\nextends = "parent"\noptimizer = { lr = 0.5 }\n'
            '[[experiment]]\nname = "parent"\nrepeats = 2\nseed = 3\non_error = "stop"\nreference = { a = 1 }\n'
            '[experiment.matrix]\nstrategy = ["single", "ddp"]\nseed = [1, 2]\n'
            '[[experiment]]\nname = "grandchild"\nextends = "child"\nreference.b = 2\n[experiment.matrix]\nseed = [9]\n'
        )
        child, parent, grandchild = plan(body).experiments
        assert (len(child.runs), len(parent.runs), len(grandchild.runs)) == (8, 8, 2)
        assert child.runs[0].config.optimizer.lr == 0.5
        assert grandchild.runs[0].config.optimizer.lr == 0.5
        assert grandchild.on_error == "stop"
        assert grandchild.reference == {"a": 1, "b": 2}
        assert [run.axes for run in grandchild.runs] == [{"seed": 9}, {"seed": 9}]

    def test_repeats_and_baseline_may_stand_under_defaults(self):
        defaults = DEFAULTS + 'repeats = 2\nbaseline = { strategy = "ddp" }\n'
        experiment = only_experiment(X + 'strategy = "ddp"\n', defaults=defaults)
        assert (experiment.repeats, experiment.baseline) == (2, {"strategy": "ddp"})


class TestExtendsErrors:
    def test_unknown(self):
        body = '[[experiment]]\nname = "first"\n[[experiment]]\nname = "b"\nextends = "frist"\n'
        line = line_of(body, "extends")
        assert problems_of(body) == [
            f'f.toml:{line}:11: extends: there is no experiment "frist"; there are: first; did you mean first?'
        ]

    def test_cycle(self):
        body = '[[experiment]]\nname = "a"\nextends = "b"\n[[experiment]]\nname = "b"\nextends = "a"\n'
        problems = problems_of(body)
        assert len(problems) == 2
        assert all("extends this one in turn" in problem for problem in problems)

    def test_itself(self):
        (problem,) = problems_of(X + 'extends = "x"\n')
        assert "in turn (x -> x)" in problem


class TestMatrix:
    def test_the_last_axis_is_the_fastest(self):
        experiment = only_experiment(
            X + '[experiment.matrix]\nstrategy = ["ddp"]\nworld_size = [1, 2]\nseed = [0, 1]\n'
        )
        assert [tuple(run.axes.values()) for run in experiment.runs] == [
            ("ddp", 1, 0),
            ("ddp", 1, 1),
            ("ddp", 2, 0),
            ("ddp", 2, 1),
        ]

    @pytest.mark.parametrize(
        "axis",
        [
            'ddp.comm_hook = ["none", "fp16"]',
            '"ddp.comm_hook" = ["none", "fp16"]',
            'ddp = { comm_hook = ["none", "fp16"] }',
            '[experiment.matrix.ddp]\ncomm_hook = ["none", "fp16"]',
        ],
    )
    def test_dotted_keys_are_axes_however_they_are_written(self, axis):
        experiment = only_experiment(X + 'strategy = "ddp"\n[experiment.matrix]\n' + axis)
        assert [run.axes for run in experiment.runs] == [{"ddp.comm_hook": "none"}, {"ddp.comm_hook": "fp16"}]
        assert [run.config.ddp.comm_hook for run in experiment.runs] == ["none", "fp16"]

    def test_named_tables_set_several_keys(self):
        body = """
[[experiment.matrix.case]]
name = "one"
strategy = "single"
[[experiment.matrix.case]]
name = "two"
strategy = "ddp"
world_size = 2
"ddp.comm_hook" = "fp16"
"""
        experiment = only_experiment(X + body)
        assert [run.axes for run in experiment.runs] == [{"case": "one"}, {"case": "two"}]
        assert experiment.runs[1].config.ddp.comm_hook == "fp16"
        assert experiment.runs[1].baseline == experiment.runs[0].point

    def test_a_list_of_optimizers_is_an_axis_of_its_key(self):
        body = '[experiment.matrix]\n"optimizer.lr" = [0.1, 0.2]\noptimizer = [{ name = "sgd" }, { name = "adam" }]\n'
        configs = [(run.config.optimizer.name, run.config.optimizer.lr) for run in plan(X + body).runs]
        assert configs == [("sgd", 0.1), ("adam", 0.1), ("sgd", 0.2), ("adam", 0.2)]
        assert plan(X + body).runs[1].axes == {"optimizer.lr": 0.1, "optimizer": "adam"}

    def test_lists_can_be_values(self):
        runs = plan(X + '[experiment.matrix]\naugment = [[], ["flip"]]\n').runs
        assert [run.config.augment for run in runs] == [[], ["flip"]]

    def test_one_process_with_more_ranks_is_left_out(self):
        experiment = only_experiment(
            X + '[experiment.matrix]\nstrategy = ["single", "ddp"]\nworld_size = [1, 2, "gpu"]\n'
        )
        assert [point.point.rpartition("-")[0] for point in experiment.points] == [
            "single-w1",
            "ddp-w1",
            "ddp-w2",
            "ddp-wgpu",
        ]
        assert len(experiment.notes) == 2
        assert "1 point left out: strategy single is one process, not world_size = 2" in experiment.notes[0]

    def test_one_process_with_more_ranks_written_together_is_an_error(self):
        body = X + 'strategy = "single"\nworld_size = 2\n'
        (problem,) = problems_of(body)
        assert problem.startswith(
            f"f.toml:{line_of(body, 'world_size')}:14: world_size: strategy single is one process"
        )

    def test_keys_of_another_strategy_make_no_new_points(self):
        body = '[experiment.matrix]\nstrategy = ["single", "ddp"]\nddp.comm_hook = ["none", "fp16"]\n'
        experiment = only_experiment(X + body)
        assert [run.axes["ddp.comm_hook"] for run in experiment.runs] == [None, "none", "fp16"]
        (note,) = experiment.notes
        assert "the keys of [ddp] mean nothing to strategy single" in note

    def test_equal_values_collapse_with_a_note(self):
        experiment = only_experiment(X + "[experiment.matrix]\nseed = [1, 1]\n")
        assert len(experiment.runs) == 1
        assert experiment.notes == ["1 point left out: a double, equal to another point (seed=1)"]

    def test_excluded_points_are_gone_and_a_useless_exclude_is_noted(self):
        body = (
            '[experiment.matrix]\nstrategy = ["ddp"]\nworld_size = [1, 2, 4]\n"ddp.comm_hook" = ["none", "fp16"]\n'
            '[[experiment.exclude]]\nworld_size = 4\n"ddp.comm_hook" = "fp16"\n'
            "[[experiment.exclude]]\nworld_size = 8\n"
        )
        experiment = only_experiment(X + body)
        assert len(experiment.runs) == 5
        assert experiment.notes == ["exclude world_size=8 matches no point"]

    def test_an_exclude_can_save_a_point_that_could_not_be(self):
        matrix = '[experiment.matrix]\nstrategy = ["ddp"]\nworld_size = [1, 3]\n'
        assert "cannot be divided by 3" in problems_of(X + matrix)[0]
        assert len(plan(X + matrix + "[[experiment.exclude]]\nworld_size = 3\n").runs) == 1

    def test_no_point_left_is_an_error(self):
        body = X + "[experiment.matrix]\nseed = [1]\n[[experiment.exclude]]\nseed = 1\n"
        (problem,) = problems_of(body)
        assert "no point of experiment x is left" in problem

    def test_a_key_hidden_by_an_axis_is_noted(self):
        experiment = only_experiment(X + "seed = 3\n[experiment.matrix]\nseed = [1]\n")
        assert experiment.notes == ["seed of the experiment is not used: the matrix has an axis of the same key"]


class TestPipelineRanks:
    @pytest.mark.parametrize(
        ("body", "world_size", "num_stages"),
        [
            ("", 3, 2),
            ("rpc_pipeline.num_stages = 4\n", 5, 4),
            ("world_size = 4\n", 4, 3),
            ("world_size = 3\nrpc_pipeline.num_stages = 2\n", 3, 2),
        ],
    )
    def test_world_size_and_stages_follow_each_other(self, body, world_size, num_stages):
        (run,) = plan(X + 'strategy = "rpc_pipeline"\n' + body).runs
        assert (run.config.world_size, run.config.rpc_pipeline.num_stages) == (world_size, num_stages)
        assert run.num_devices == num_stages

    def test_a_contradiction_of_two_fixed_keys_is_an_error(self):
        (problem,) = problems_of(X + 'strategy = "rpc_pipeline"\nworld_size = 2\nrpc_pipeline.num_stages = 2\n')
        assert "needs world_size = 3" in problem

    def test_a_contradiction_with_the_matrix_is_left_out(self):
        body = '[experiment.matrix]\nstrategy = ["ddp", "rpc_pipeline"]\nworld_size = [1, 2, 4]\n'
        experiment = only_experiment(X + body)
        assert [run.id.split("-r0")[0] for run in experiment.runs] == ["ddp-w1", "ddp-w2", "ddp-w4", "rpc_pipeline-w4"]
        assert all("needs 2 stages and 1 driver" in note for note in experiment.notes)
        fixed = only_experiment(X + "rpc_pipeline.num_stages = 2\n" + body.replace("4]", "3]").replace('"ddp", ', ""))
        assert [run.config.world_size for run in fixed.runs] == [3]


class TestTorchPipeline:
    def run(self, body):
        return plan(X + 'strategy = "pipeline"\n' + body).runs[0]

    def test_a_rank_is_a_stage_and_two_are_the_least(self):
        assert self.run("").config.world_size == 2
        assert self.run("world_size = 4\n").num_devices == 4
        (problem,) = problems_of(X + 'strategy = "pipeline"\nworld_size = 1\n')
        assert "strategy pipeline needs world_size >= 2, not 1" in problem

    def test_too_few_ranks_by_the_matrix_are_left_out(self):
        experiment = only_experiment(X + '[experiment.matrix]\nstrategy = ["ddp", "pipeline"]\nworld_size = [1, 2]\n')
        assert [run.id.split("-r0")[0] for run in experiment.runs] == ["ddp-w1", "ddp-w2", "pipeline-w2"]
        assert any("pipeline needs world_size >= 2" in note for note in experiment.notes)

    def test_the_stages_do_not_share_a_batch(self):
        config = 'strategy = "pipeline"\nworld_size = 2\nlr_scaling = "linear"\n'
        (run,) = plan(X + config).runs
        assert (run.num_devices, run.config.global_batch_size) == (2, 64)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("pipeline.num_micro_batches = 5\n", "pipeline.num_micro_batches 5 does not divide global_batch_size"),
            ('world_size = 8\npipeline.schedule = "1f1b"\n', "pipeline.num_micro_batches 4 is less than world_size 8"),
        ],
    )
    def test_what_torch_would_refuse_is_refused_before(self, body, message):
        (problem,) = problems_of(X + 'strategy = "pipeline"\n' + body)
        assert message in problem


class TestErrors:
    def test_all_are_said_at_once_each_at_its_line(self):
        body = """\
[[experiment]]
name = "a b"
global_batch_sise = 3
on_error = "never"
[experiment.matrix]
world_size = [1,
  0]
epochs = []
[[experiment]]
name = "y"
model = "lenet6"
optimizer = { name = "adam", lr = -1, momentm = 2 }
baseline = { strategy = "singel" }
[[experiment]]
name = "y"
stop = { steps = "many" }
"""
        problems = problems_of(body)
        expected = [
            ('name = "a b"', "name", "letters, digits"),
            ("global_batch_sise", "global_batch_sise", "did you mean global_batch_size"),
            ("on_error", "on_error", '"continue", "stop"'),
            ("  0]", "matrix.world_size", 'a whole number of at least 1, or "gpu"'),
            ("epochs = []", "matrix.epochs", "no values"),
            ("lenet6", "model", "did you mean lenet5?"),
            ('optimizer = { name = "adam", lr', "optimizer.lr", "above 0"),
            ("momentm", "optimizer.momentm", "did you mean momentum?"),
            ("singel", "baseline.strategy", "did you mean single?"),
            ("many", "stop.steps", "a whole number of at least 1"),
        ]
        for text, key, words in expected:
            line = line_of(body, text)
            assert [p for p in problems if p.startswith(f"f.toml:{line}:") and f" {key}: " in p and words in p], (
                text,
                problems,
            )
        assert len(problems) == len(expected) + 1
        assert '"y" is already used' in problems[-2]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "the file is empty"),
            ("# only words\n", "there is no [[experiment]]"),
            ('[[experiments]]\nname = "x"\n', "did you mean experiment?"),
            ("experiment = 3\n", "must be an array of tables"),
            ("defaults = 3\n", "must be a table"),
            ("epochs = 3\n" + X, "it belongs under [defaults] or [[experiment]]"),
            ("[defaults]\nmatrix = {}\n" + X, "belongs in an [[experiment]]"),
            ("[[experiment]]\n", "name: is missing"),
            (X, "optimizer: is missing; allowed: a table"),
            (X, "nothing is sure to end the run"),
            (X, "give exactly one of global_batch_size"),
            ("[defaults]\nlr = 1\n" + X, "did you mean optimizer.lr?"),
        ],
    )
    def test_a_file_of_the_wrong_shape(self, text, words):
        assert any(words in problem for problem in problems_of(text, defaults=""))

    @pytest.mark.parametrize(
        ("matrix", "words"),
        [
            ("world_size = 2", "got 2; an axis is a list of values: write [2]"),
            ("world_sise = [2]", "did you mean world_size"),
            ("case = [{ name = 'a' }, { name = 'a' }]", '"a" is already used on axis case'),
            ("case = [{ seed = 1 }]", "needs a name"),
            ("case = [{ name = 'a', sed = 1 }]", "did you mean seed?"),
            ("case = [{ name = 'a', seed = 1 }]\nseed = [1]", "axis seed contradicts axis case: seed is set by both"),
            ("local_batch_size = [1]\nglobal_batch_size = [1]", "the two batch sizes cannot both be axes"),
            ("optimizer = [{ name = 'adam' , nesterov = true, lr = 1 }]", "adam does not take nesterov"),
            ("metrics = [['accuracy'], ['acuracy']]", "did you mean accuracy?"),
            ("model = ['my.net:']", 'not of the form "package.module:attribute"'),
            ("slow = [{ rank = 3, phase = 'forward', delay_s = 0.1 }]", "slow.rank 3 does not exist"),
            ('strategy = ["rpc_pipeline"]\nworld_size = ["gpu"]', "no point of experiment x is left"),
        ],
    )
    def test_a_matrix_that_cannot_be(self, matrix, words):
        problems = problems_of(X + "[experiment.matrix]\n" + matrix + "\n")
        assert any(words in problem for problem in problems), problems

    def test_a_mistake_in_defaults_is_said_once(self):
        defaults = DEFAULTS + "seed = -1\nsead = 1\n"
        body = '[[experiment]]\nname = "a"\n[[experiment]]\nname = "b"\n'
        problems = problems_of(body, defaults=defaults)
        assert [problem.split(" ")[1] for problem in problems] == ["defaults.seed:", "defaults.sead:"]

    def test_a_mistake_in_a_large_matrix_is_said_once(self):
        seeds = ", ".join(map(str, range(2000)))
        problems = problems_of(X + f"[experiment.matrix]\nstrategy = ['single', 'dpd']\nseed = [{seeds}, -1]\n")
        assert len(problems) == 2

    def test_names_that_differ_by_case_only_are_refused(self):
        (problem,) = problems_of('[[experiment]]\nname = "a"\n[[experiment]]\nname = "A"\n')
        assert "ignore case" in problem


class TestSets:
    def test_values_go_over_everything(self):
        experiment = only_experiment(
            X + 'seed = 1\n[experiment.matrix]\nstrategy = ["single", "ddp"]\nworld_size = [1, 2]\n',
            sets=["world_size=1", "optimizer.lr=0.5", "repeats=2", 'env.A="1"', "model=my.net:build"],
        )
        assert {run.config.world_size for run in experiment.runs} == {1}
        assert "world_size" not in experiment.runs[0].axes
        config = experiment.runs[0].config
        assert (config.optimizer.lr, config.optimizer.momentum, config.env) == (0.5, 0.9, {"A": "1"})
        assert config.model == "my.net:build"
        assert len(experiment.runs) == 4

    def test_an_axis_can_be_set(self):
        body = X + '[experiment.matrix]\nstrategy = ["ddp"]\nworld_size = [1, 2]\n'
        assert [run.config.world_size for run in plan(body, sets=["matrix.world_size=[4]"]).runs] == [4]

    def test_a_key_of_a_named_table_can_be_set(self):
        body = X + '[experiment.matrix]\ncase = [{ name = "a", seed = 1 }, { name = "b", seed = 2 }]\n'
        experiment = only_experiment(body, sets=["seed=5"])
        assert [run.config.seed for run in experiment.runs] == [5]

    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ("epochs", "write it as key=value"),
            ("=3", "write it as key=value"),
            ("a..b=3", "write it as key=value"),
            ("name=y", "belongs to one experiment"),
            ("epochs=0", "got 0; allowed: a whole number of at least 1"),
            ("epochs=ten", 'got "ten"'),
            ("epoch=3", "did you mean epochs?"),
            ("strategy=dpd", "did you mean dp or ddp?"),
            ("repeats=0", "got 0"),
            ("seed=nan", "not a finite number"),
            ("seed=1\nname = 2", "got "),
            ("matrix.seed=1", "an axis is a list of values"),
            ("baseline.strategy=ddp", "no point of the experiment has strategy=ddp"),
            ("optimizer.name=adam", "optimizer.lr: is missing"),
            ("world_size=2", "one process"),
        ],
    )
    def test_errors_name_the_argument(self, argument, words):
        (problem,) = problems_of(X, sets=[argument])
        assert problem.startswith(f"--set {argument}: ")
        assert words in problem


class TestOnly:
    BODY = (
        '[[experiment]]\nname = "alpha"\nrepeats = 2\n[experiment.matrix]\nstrategy = ["single", "ddp"]\n'
        '[[experiment]]\nname = "beta"\n'
    )

    @pytest.mark.parametrize(
        ("patterns", "number"),
        [
            (["alpha"], 4),
            (["b*"], 1),
            (["ddp-*"], 2),
            (["*-r1-*"], 2),
            (["alpha/ddp-w1-r0-*"], 1),
            (["beta", "alpha"], 5),
        ],
    )
    def test_patterns_select_runs(self, patterns, number):
        selected = plan(self.BODY, only=patterns)
        assert len(selected.runs) == number
        for experiment in selected.experiments:
            assert experiment.runs
            assert len(experiment.run_ids) == (4 if experiment.name == "alpha" else 1)

    def test_a_pattern_without_match_says_what_there_is(self):
        (problem,) = problems_of(self.BODY, only=["alpha", "betta"])
        assert problem.startswith(
            "--only betta: matches no experiment, point or run; experiments: alpha, beta; 3 points: "
        )
        assert "did you mean beta?" in problem


def test_smoke_runs_every_point_once_for_five_steps():
    body = X + 'repeats = 3\n[experiment.matrix]\nstrategy = ["single", "ddp"]\nstop.steps = [3, 100]\n'
    experiment = only_experiment(body, smoke=True, only=["x"])
    assert experiment.name == "x-smoke"
    assert [run.config.stop.steps for run in experiment.runs] == [3, 5, 3, 5]
    assert {run.experiment for run in experiment.runs} == {"x-smoke"}


def test_too_many_runs_are_refused_before_they_are_made():
    axes = "\n".join(f"model_args.a{index} = {list(range(100))}" for index in range(10))
    body = X + "[experiment.matrix]\n" + axes
    (problem,) = problems_of(body)
    assert f"at most {MAX_RUNS:,}" in problem
    assert problem.startswith(f"f.toml:{line_of(body, '[experiment.matrix]')}:")


def test_ten_thousand_points_are_all_different_and_all_compared():
    seeds, rates = list(range(50)), [rate / 1000 for rate in range(1, 101)]
    body = f'[experiment.matrix]\nstrategy = ["single", "ddp"]\nseed = {seeds}\noptimizer.lr = {rates}\n'
    experiment = only_experiment(X + body)
    assert len({run.id for run in experiment.runs}) == len({point.point for point in experiment.points}) == 10_000
    assert all(point.baseline for point in experiment.points)


def test_only_takes_the_beginning_of_a_point_up_to_a_dash():
    body = X + '[experiment.matrix]\nstrategy = ["single", "ddp"]\nworld_size = [1, 2, 12]\nlocal_batch_size = [4]\n'
    defaults = DEFAULTS.replace("global_batch_size = 64\n", "")
    runs = plan(body, defaults=defaults, only=["ddp-w1"]).runs
    assert [(run.config.strategy, run.config.world_size) for run in runs] == [("ddp", 1)]


def test_a_variable_without_a_usable_name_is_refused_at_env() -> None:
    (problem,) = problems_of(X + 'env = { "A=B" = "1" }')
    assert '"A=B" cannot name a variable' in problem
