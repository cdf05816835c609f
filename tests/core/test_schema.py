"""The JSON Schema that editors use, and the files that we ship."""

import json
from pathlib import Path

import pytest
import tomli

from engine.catalog import plan_catalog
from engine.core.plan import make_plan
from engine.core.schema import ExperimentSettings, make_schema
from engine.core.spec import RunConfig

ROOT = Path(__file__).parents[2]
SHIPPED = ["experiments.toml", "tui/starter.toml"]


def resolve(schema, node):
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def unknown_keys(schema, node, value, path=""):
    """Keys of ``value`` that ``node`` closes out: enough of a validator for what editors underline."""
    node = resolve(schema, node)
    options = [option for child in node.get("anyOf", [node]) for option in [resolve(schema, child)]]
    if isinstance(value, list):
        items = next((option["items"] for option in options if "items" in option), {})
        return [key for item in value for key in unknown_keys(schema, items, item, path)]
    if not isinstance(value, dict):
        return []
    option = next((option for option in options if option.get("type") == "object"), {})
    known = option.get("properties", {})
    wrong = [f"{path}{key}" for key in value if key not in known and option.get("additionalProperties") is False]
    return wrong + [
        name
        for key, child in value.items()
        for name in unknown_keys(schema, known.get(key, {}), child, f"{path}{key}.")
    ]


def test_every_key_of_a_run_and_of_an_experiment_is_in_the_schema_with_words():
    properties = make_schema()["properties"]["experiment"]["items"]["properties"]
    assert set(properties) == set(RunConfig.model_fields) | set(ExperimentSettings.model_fields)
    assert "strong scaling" not in json.dumps(properties["epochs"])
    assert properties["world_size"]["description"].startswith("Ranks that torchrun starts")


def test_only_the_name_of_an_experiment_is_required_since_layers_give_the_rest():
    schema = make_schema()
    assert schema["properties"]["experiment"]["items"]["required"] == ["name"]
    assert not any("required" in definition for definition in schema["$defs"].values())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_fit_the_schema(name):
    schema = make_schema()
    assert unknown_keys(schema, schema, tomli.loads((ROOT / name).read_text())) == []
    wrong = {"experiment": [{"nam": 1, "optimizer": {"lrr": 1}}]}
    assert unknown_keys(schema, schema, wrong) == ["experiment.nam", "experiment.optimizer.lrr"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_make_runs_that_are_all_compared(name):
    plan = make_plan((ROOT / name).read_text(), name, catalog=plan_catalog())
    assert plan.runs
    assert all(run.baseline for run in plan.runs)


def test_the_main_job_covers_every_strategy():
    digits, cifar = make_plan(
        (ROOT / "experiments.toml").read_text(), "experiments.toml", catalog=plan_catalog()
    ).experiments
    assert {run.config.strategy for run in digits.runs} == set(plan_catalog().strategies)
    assert [(point.config.strategy, point.config.world_size) for point in cifar.points] == [
        ("single", 1),
        ("ddp", 1),
        ("ddp", 2),
    ]
    assert digits.repeats == cifar.repeats == 3
