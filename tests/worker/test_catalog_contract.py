"""What every entry of the catalog must keep; a new model or dataset is tested by being listed."""

import importlib

import numpy as np
import pytest
import torch
from data_specs import make_spec
from torch import nn

from engine import catalog
from engine.worker.batches import Batches
from engine.worker.context import read_context
from engine.worker.datasets.bundle import load_bundle
from engine.worker.datasets.stand_ins import STAND_INS
from engine.worker.task import build_task

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 40, 36)]
NARROW = {"vgg19": {"hidden": [16, 16]}}
"""Arguments for models of hundreds of megabytes."""
SLOW = {"resnet18", "vgg19"}


def settings_of(dataset):
    """A small set in place of files that are not here."""
    if dataset not in STAND_INS:
        return {"dataset": dataset}
    classes = STAND_INS[dataset].num_classes
    sizes = {"train_samples": 2 * classes, "test_samples": classes}
    return {"dataset": dataset, "synthetic": True, "dataset_args": sizes}


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def one_step(spec, num_samples):
    """Train one step and return the loss on the batch before and after."""
    bundle = load_bundle(spec)
    task = build_task(spec, bundle, read_context(device="cpu", backend="auto"))
    model = task.build_model()
    batch = Batches(bundle, bundle.train, device=torch.device("cpu")).get(np.arange(num_samples))
    optimizer = task.make_optimizer(model.parameters())
    before = task.loss(model(batch.inputs), batch.targets)
    before.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimizer.step()
    return bundle, before.item(), task.loss(model(batch.inputs), batch.targets).item()


@pytest.mark.parametrize("model", sorted(set(catalog.MODELS) - SLOW))
@pytest.mark.parametrize("dataset", ["digits", "synthetic"])
def test_every_model_trains_on_data_that_takes_the_shape_it_prefers(model, dataset):
    bundle, before, after = one_step(make_spec(model=model, dataset=dataset, dataset_size=100), 16)
    preferred = importlib.import_module(catalog.MODELS[model][0].partition(":")[0]).PREFERRED_INPUT_SHAPE
    assert preferred in (None, bundle.input_shape)
    assert np.isfinite([before, after]).all()
    assert before != after


@pytest.mark.parametrize("model", sorted(SLOW))
def test_every_large_model_trains_on_small_images(model):
    sizes = {"input_shape": [3, 32, 32], "train_samples": 20, "test_samples": 10}
    spec = make_spec(
        model=model,
        model_args=NARROW.get(model, {}),
        dataset="synthetic",
        dataset_args=sizes,
        optimizer={"name": "sgd", "lr": 0.01},
    )
    _, before, after = one_step(spec, 2)
    assert np.isfinite([before, after]).all()
    assert before != after


@pytest.mark.parametrize("dataset", sorted(STAND_INS))
def test_every_stand_in_has_shape_and_classes_of_the_data_set_and_says_what_it_is(dataset):
    bundle, before, after = one_step(make_spec(model="mlp", model_args={"hidden": [4]}, **settings_of(dataset)), 16)
    assert bundle.input_shape == STAND_INS[dataset].input_shape
    assert bundle.num_classes == STAND_INS[dataset].num_classes
    assert bundle.note == f"synthetic data in place of {dataset}"
    assert before != after


@pytest.mark.parametrize("model", catalog.MODELS)
def test_every_model_takes_other_shapes_and_class_counts_or_says_which(model):
    build = catalog.load(catalog.MODELS[model][0])
    taken, refusals = 0, []
    for shape in SHAPES:
        for num_classes in (2,) if model in SLOW else (2, 100):
            try:
                made = build(input_shape=shape, num_classes=num_classes, **NARROW.get(model, {}))
            except ValueError as error:
                refusals.append(str(error))
                continue
            assert made(torch.rand(2, *shape)).shape == (2, num_classes)
            taken += 1
    assert taken >= (2 if model in SLOW else 4)
    assert all(refusal.startswith(model) for refusal in refusals)


@pytest.mark.parametrize("model", catalog.MODELS)
def test_every_model_can_be_cut_between_its_named_children(model):
    build = catalog.load(catalog.MODELS[model][0])
    made = build(input_shape=(3, 32, 32), num_classes=10, **NARROW.get(model, {})).eval()
    assert isinstance(made, nn.Sequential)
    assert not any(name.isdigit() for name, _ in made.named_children())
    inputs = torch.rand(2, 3, 32, 32)
    outputs = inputs
    for _, child in made.named_children():
        outputs = child(outputs)
    assert torch.equal(outputs, made(inputs))


@pytest.mark.parametrize("dataset", catalog.DATASETS)
def test_every_dataset_is_whole(dataset):
    bundle = load_bundle(make_spec(**settings_of(dataset)))
    for split in (bundle.train, bundle.test):
        assert split.inputs.shape == (len(split), *bundle.input_shape)
        assert split.targets.shape == (len(split),)
        assert split.targets.dtype == torch.int64
        assert sorted(split.targets.unique().tolist()) == list(range(bundle.num_classes))
    assert bundle.is_image == (bundle.train.inputs.dim() == 4)
    if bundle.train.inputs.dtype == torch.uint8:
        assert len(bundle.mean) == len(bundle.std) == bundle.input_shape[0]


@pytest.mark.parametrize("table", [catalog.MODELS, catalog.DATASETS])
def test_every_entry_has_one_line_about_it(table):
    assert all(line and "\n" not in line for _, line in table.values())
