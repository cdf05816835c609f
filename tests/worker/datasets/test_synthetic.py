import numpy as np
import pytest

from engine.worker.datasets import synthetic

SMALL = {"train_samples": 1500, "test_samples": 500, "input_shape": [1, 12, 12]}


def linear_accuracy(arrays):
    """Test accuracy of a linear model fitted by least squares."""
    train, test = (
        np.c_[inputs.reshape(len(inputs), -1), np.ones(len(inputs))].astype(np.float64)
        for inputs in (arrays.train_inputs, arrays.test_inputs)
    )
    weights = np.linalg.lstsq(train, np.eye(arrays.num_classes)[arrays.train_targets], rcond=None)[0]
    return ((test @ weights).argmax(axis=1) == arrays.test_targets).mean()


@pytest.mark.parametrize("shape", [[1, 12, 12], [12, 8]])
def test_a_linear_model_learns_the_classes_but_not_all_samples(shape):
    accuracy = linear_accuracy(synthetic.load(**{**SMALL, "input_shape": shape}))
    assert 0.6 < accuracy < 0.97


def test_noise_says_how_far_the_classes_overlap():
    easy, hard = (linear_accuracy(synthetic.load(**SMALL, noise=noise)) for noise in (0.0, 0.8))
    assert easy > 0.97
    assert 0.15 < hard < 0.6


def test_classes_have_equal_shares():
    arrays = synthetic.load(**SMALL, num_classes=7)
    counts = np.bincount(arrays.train_targets, minlength=7)
    assert counts.max() - counts.min() <= 1
    assert len(counts) == 7


def test_the_data_depends_on_its_seed_and_every_other_argument_only(cache_home, monkeypatch):
    first = synthetic.load(**SMALL)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home / "other"))
    again, other = synthetic.load(**SMALL), synthetic.load(**SMALL, seed=1)
    assert np.array_equal(first.train_inputs, again.train_inputs)
    assert np.array_equal(first.test_targets, again.test_targets)
    assert not np.array_equal(first.train_inputs, other.train_inputs)


def test_no_test_sample_is_a_training_sample():
    arrays = synthetic.load(**SMALL)
    train = {sample.tobytes() for sample in arrays.train_inputs}
    assert not any(sample.tobytes() in train for sample in arrays.test_inputs)


def test_images_are_bytes_with_statistics_and_sequences_are_floats_used_as_they_are():
    images, sequences = synthetic.load(**SMALL), synthetic.load(**{**SMALL, "input_shape": [12, 8]})
    assert images.train_inputs.dtype == np.uint8
    assert images.mean == pytest.approx([images.train_inputs.mean() / 255], abs=0.01)
    assert sequences.train_inputs.dtype == np.float32
    assert (sequences.mean, sequences.std) == ((), ())
    assert images.note == sequences.note == "synthetic data"


def test_the_models_wish_is_used_where_no_shape_is_given():
    few = {"train_samples": 4, "test_samples": 2}
    assert synthetic.load(preferred_input_shape=(1, 28, 28), **few).train_inputs.shape == (4, 1, 28, 28)
    assert synthetic.load(**few).train_inputs.shape == (4, 3, 32, 32)


@pytest.mark.parametrize(
    "wrong",
    [{"num_classes": 0}, {"train_samples": 2.5}, {"noise": -1}, {"noise": "much"}, {"seed": -1}, {"input_shape": [3]}],
)
def test_a_wrong_argument_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        synthetic.load(**{**SMALL, **wrong})
