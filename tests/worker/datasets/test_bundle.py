import numpy as np
import pytest
import torch
from data_specs import make_spec

from engine.core.errors import DdptuiError, InputError
from engine.worker.datasets.bundle import load_bundle


def test_a_bundle_is_mapped_tensors_with_what_a_model_must_know():
    bundle = load_bundle(make_spec(model="lenet5"))
    assert bundle.input_shape == (3, 32, 32)
    assert (bundle.num_classes, bundle.is_image, bundle.validation) == (10, True, None)
    assert bundle.train.inputs.dtype == torch.uint8
    assert bundle.train.targets.dtype == torch.int64
    assert (len(bundle.train), len(bundle.test)) == (1438, 359)


def test_subset_and_hold_out_are_views_that_share_no_sample():
    bundle = load_bundle(make_spec(dataset_size=400, validation=0.25))
    assert (len(bundle.train), len(bundle.validation), len(bundle.test)) == (300, 100, 359)
    assert bundle.validation.inputs.data_ptr() == bundle.train.inputs.data_ptr()
    train, validation = (split.rows(np.arange(len(split))) for split in (bundle.train, bundle.validation))
    assert len(set(train.tolist()) | set(validation.tolist())) == 400


def test_the_hold_out_follows_the_seed_and_the_data_does_not():
    first, second = (load_bundle(make_spec(dataset="synthetic", validation=100, seed=seed)) for seed in (0, 1))
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert not torch.equal(first.validation.indices, second.validation.indices)


def test_positions_of_a_split_are_turned_into_rows():
    bundle = load_bundle(make_spec(validation=38))
    rows = bundle.train.rows(np.array([0, 5], dtype=np.int64))
    assert torch.equal(rows, bundle.train.indices[[0, 5]])
    assert torch.equal(bundle.test.rows(np.array([3], dtype=np.int64)), torch.tensor([3]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dataset": "mnits"}, "unknown dataset 'mnits'; there are cifar10, cifar100, digits"),
        ({"dataset_args": {"shape": [1, 8, 8]}}, "digits does not take shape; it takes input_shape"),
        ({"dataset_args": {"input_shape": [8, 8]}}, "input_shape must be"),
        ({"dataset": "synthetic", "dataset_args": {"train_samples": 0}}, "train_samples must be a positive integer"),
        ({"dataset_size": 5000}, "dataset_size 5000 is more than the 1438"),
        ({"validation": 1.0}, "none are left"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(config, message):
    with pytest.raises(InputError, match=message) as caught:
        load_bundle(make_spec(**config))
    assert "\n" not in str(caught.value)


def test_damaged_shipped_data_is_not_the_users_fault(monkeypatch, tmp_path):
    monkeypatch.setattr("engine.worker.datasets.digits.SOURCE", tmp_path / "missing.npz")
    with pytest.raises(DdptuiError) as caught:
        load_bundle(make_spec())
    assert not isinstance(caught.value, InputError)
