"""Which point a point is compared with."""

import pytest

from engine.catalog import plan_catalog
from engine.core.errors import InputError
from engine.core.plan import make_plan

HEAD = """\
[defaults]
model = "lenet5"
dataset = "digits"
global_batch_size = 64
epochs = 1
optimizer = { name = "sgd", lr = 0.1 }
[[experiment]]
name = "x"
"""


def baselines(body):
    """Axes of each point -> axes of its baseline (or the reason why there is none)."""
    (experiment,) = make_plan(HEAD + body, "f.toml", catalog=plan_catalog()).experiments
    by_id = {info.point: info for info in experiment.points}
    return {
        tuple(info.axes.values()): tuple(by_id[info.baseline].axes.values()) if info.baseline else info.baseline_reason
        for info in experiment.points
    }


def test_single_is_the_baseline_of_all_where_there_is_one():
    body = '[experiment.matrix]\nstrategy = ["ddp", "single"]\nworld_size = [1, 2]\n'
    assert set(baselines(body).values()) == {("single", 1)}


def test_without_single_the_fewest_devices_of_the_same_strategy():
    body = '[experiment.matrix]\nstrategy = ["rpc_pipeline", "ddp"]\nworld_size = [4, 2, 8]\n'
    assert baselines(body) == {
        ("rpc_pipeline", 4): ("rpc_pipeline", 4),
        ("rpc_pipeline", 8): ("rpc_pipeline", 4),
        ("ddp", 4): ("ddp", 2),
        ("ddp", 2): ("ddp", 2),
        ("ddp", 8): ("ddp", 2),
    }


def test_axes_beside_scale_must_be_equal():
    body = '[experiment.matrix]\nstrategy = ["single", "ddp"]\nworld_size = [1, 2]\nprecision = ["fp32", "bf16"]\n'
    assert all(baseline == ("single", 1, point[2]) for point, baseline in baselines(body).items())


def test_the_smallest_number_of_devices_wins_whatever_the_order():
    body = 'baseline = { strategy = "ddp" }\n[experiment.matrix]\nstrategy = ["dp", "ddp"]\nworld_size = [4, 1]\n'
    assert set(baselines(body).values()) == {("ddp", 1)}


def test_gpu_is_never_taken_for_fewer_than_a_number():
    body = 'strategy = "ddp"\n[experiment.matrix]\nworld_size = ["gpu", 2]\n'
    assert set(baselines(body).values()) == {(2,)}


def test_of_equals_the_one_alike_on_the_axes_of_scale_is_taken():
    body = 'strategy = "ddp"\n[experiment.matrix]\nworld_size = [1, 2]\nddp.comm_hook = ["none", "fp16"]\n'
    assert baselines(body) == {
        (1, "none"): (1, "none"),
        (1, "fp16"): (1, "fp16"),
        (2, "none"): (1, "none"),
        (2, "fp16"): (1, "fp16"),
    }


def test_an_ambiguous_baseline_is_none_and_says_so():
    body = """baseline = { strategy = "ddp" }
[experiment.matrix]
strategy = ["rpc_pipeline", "ddp"]
ddp.comm_hook = ["bf16", "fp16"]
"""
    reason = baselines(body)[("rpc_pipeline", None)]
    assert "2 points fit strategy=ddp equally" in reason
    assert "ddp.comm_hook=bf16" in reason


def test_without_a_match_the_reason_names_what_is_missing():
    body = """
[experiment.matrix]
strategy = ["single", "ddp"]
optimizer.lr = [0.1, 0.2]
[[experiment.exclude]]
strategy = "single"
"optimizer.lr" = 0.2
"""
    found = baselines(body)
    assert found[("ddp", 0.1)] == ("single", 0.1)
    assert found[("ddp", 0.2)] == "no baseline: no point with strategy=single has optimizer.lr=0.2"


CASES = """
[[experiment.matrix.case]]
name = "one"
strategy = "single"
[[experiment.matrix.case]]
name = "two"
strategy = "ddp"
world_size = 2
[[experiment.matrix.case]]
name = "two-fast"
strategy = "ddp"
world_size = 2
optimizer.lr = 0.2
"""


def test_named_tables_are_compared_by_the_keys_that_they_set():
    found = baselines(CASES)
    assert found[("two",)] == ("one",)
    assert found[("two-fast",)] == "no baseline: no point with strategy=single has optimizer.lr=0.2"


def test_a_named_baseline_is_taken_whatever_its_keys():
    assert set(baselines('baseline = { case = "two" }\n' + CASES).values()) == {("two",)}


def test_named_tables_may_be_called_like_a_key():
    body = 'baseline = { strategy = "solo" }\n' + CASES.replace("matrix.case", "matrix.strategy").replace(
        '"one"', '"solo"'
    )
    assert set(baselines(body).values()) == {("solo",)}


def test_several_keys_narrow_the_baseline():
    baseline = "baseline = { strategy = 'ddp', world_size = 2 }\n"
    body = baseline + "[experiment.matrix]\nstrategy = ['ddp']\nworld_size = [1, 2, 4]\n"
    assert set(baselines(body).values()) == {("ddp", 2)}


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        ('{ strategy = "dp" }', "no point of the experiment has strategy=dp; the points are"),
        ("{ world_size = 2 }", "no point of the experiment has world_size=2"),
        ('{ strategi = "dp" }', "did you mean strategy?"),
        ('{ case = "three" }', "no point of the experiment has case=three"),
        ('{ world_size = "1" }', "allowed: a whole number"),
        ("{ compile = 1 }", "true or false"),
    ],
)
def test_a_baseline_that_no_point_is_is_an_error_at_its_line(baseline, words):
    body = f'repeats = 1\nbaseline = {baseline}\n[experiment.matrix]\ncase = [{{ name = "a" }}]\n'
    with pytest.raises(InputError) as caught:
        baselines(body)
    (problem,) = caught.value.problems
    assert problem.line == 10
    assert words in problem.message
