"""The reference workloads in ``examples/``: what their files plan, and what they say of the published figures."""

from pathlib import Path
from typing import Any

import pytest

from engine.analysis.published import PUBLISHED_FIGURES, Published, read_reference
from engine.analysis.scaling import make_points
from engine.catalog import MODELS, plan_catalog
from engine.core.plan import ExperimentPlan, Plan, make_plan

FOLDER = Path(__file__).resolve().parents[1] / "examples"
FILES = sorted(FOLDER.glob("*.toml"))
WORKLOADS = {
    "lenet5_cifar10_cpu": ("lenet5", "cifar10", "62,006 parameters"),
    "mnist_lstm_dp_ddp": ("mnist_rnn", "mnist", "26,602 parameters"),
    "resnet18_cifar100": ("resnet18", "cifar100", "11,227,812 parameters"),
    "vgg19_imagenet20": ("vgg19", "imagenet20", "131,220,564 parameters"),
    "partitioning_mnist": ("mnist_cnn", "mnist", "51,902 parameters"),
    "split_mnist_rpc": ("mnist_cnn", "mnist", "51,902 parameters"),
}


def plan_of(path: Path, *sets: str) -> Plan:
    return make_plan(path.read_text(), path.name, catalog=plan_catalog(), sets=sets, project_dir=str(path.parent))


def published_of(experiment: ExperimentPlan) -> Published:
    points = make_points([(run.model_dump(mode="json"), {}) for run in experiment.runs])
    return read_reference(experiment.reference or {}, points, lambda figure, value: f"{figure} {value}")


def workload(name: str) -> Plan:
    return plan_of(FOLDER / f"{name}.toml")


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_example_is_planned_and_every_point_has_a_baseline(path):
    plan = plan_of(path)
    assert plan.experiments
    for experiment in plan.experiments:
        baselines = {point.baseline for point in experiment.points}
        assert None not in baselines, [point.baseline_reason for point in experiment.points]
        assert experiment.notes == []
        assert experiment.description


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_has_the_published_model_and_data(name):
    model, dataset, num_parameters = WORKLOADS[name]
    assert {(run.config.model, run.config.dataset) for run in workload(name).runs} == {(model, dataset)}
    assert num_parameters in MODELS[model][1]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_runs_on_made_up_data(name):
    runs = plan_of(FOLDER / f"{name}.toml", "synthetic=true", "dataset_size=1000", "repeats=1").runs
    assert runs
    assert all(run.config.synthetic and run.config.dataset_size == 1000 and run.repeat == 0 for run in runs)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_published_figure_of_a_workload_stands_beside_a_point(name):
    first, second = [experiment for experiment in workload(name).experiments if experiment.reference][:2]
    for experiment in (first, second):  # as published, and the fair version that extends it
        published = published_of(experiment)
        assert published.figures, experiment.name
        assert any(line.startswith("source: published report") for line in published.lines)
        lost = [line for line in published.lines if any(figure in line for figure in PUBLISHED_FIGURES)]
        assert lost == [], experiment.name
        assert len(list(figures_in(experiment.reference))) == sum(map(len, published.values.values())), experiment.name


def test_the_two_ways_to_launch_stand_beside_their_own_published_time():
    for experiment in workload("resnet18_cifar100").experiments[:2]:
        published = published_of(experiment)
        times = {
            point.config.launch: published.value(point.point, "total_s")
            for point in experiment.points
            if point.config.world_size == 2
        }
        assert times == {"torch.distributed.launch": 302.0, "torchrun": 324.3}


def figures_in(table: Any) -> Any:
    """Every number of a table or list below a figure's name."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from figures_in(value)
        elif key in PUBLISHED_FIGURES:
            yield from value if isinstance(value, list) else [value]


def test_the_confounds_of_the_authors_are_keys_of_the_published_version_and_gone_from_the_fair_one():
    def values(name: str, key: str) -> list[set[Any]]:
        return [{getattr(run.config, key) for run in experiment.runs} for experiment in workload(name).experiments[:2]]

    assert values("lenet5_cifar10_cpu", "cores_per_rank") == [{"all", 1}, {1}]
    assert values("mnist_lstm_dp_ddp", "evaluate_every") == [{0, 1}, {1}]
    assert values("resnet18_cifar100", "evaluation") == [{"every_rank"}, {"sharded"}]
    assert values("resnet18_cifar100", "launch") == [{"torchrun", "torch.distributed.launch"}] * 2
    assert values("vgg19_imagenet20", "evaluation") == [{"every_rank"}, {"sharded"}]
    assert values("partitioning_mnist", "local_batch_size") == [{32}, {None}]
    assert values("split_mnist_rpc", "device") == [{"auto", "cpu"}, {"cpu"}]
