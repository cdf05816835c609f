import numpy as np
import pytest

from engine.core.errors import DdptuiError
from engine.worker.datasets import digits


def test_all_digits_are_there_and_each_class_is_split_alike():
    arrays = digits.load()
    assert arrays.train_inputs.shape == (1438, 1, 8, 8)
    assert arrays.test_inputs.shape == (359, 1, 8, 8)
    assert arrays.train_inputs.dtype == np.uint8
    assert arrays.note == ""
    train, test = (np.bincount(targets, minlength=10) for targets in (arrays.train_targets, arrays.test_targets))
    assert test / (train + test) == pytest.approx([0.2] * 10, abs=0.005)


def test_the_brightest_grey_of_the_source_is_white():
    arrays = digits.load()
    assert (arrays.train_inputs.min(), arrays.train_inputs.max()) == (0, 255)


def test_images_are_enlarged_to_what_the_model_likes_and_their_channel_repeated():
    native, large = digits.load(), digits.load(preferred_input_shape=(3, 32, 32))
    assert large.train_inputs.shape == (1438, 3, 32, 32)
    assert np.array_equal(large.train_inputs[:, 0], large.train_inputs[:, 2])
    assert np.array_equal(large.train_targets, native.train_targets)
    blocks = large.train_inputs[:, 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    correlation = np.corrcoef(blocks.ravel(), native.train_inputs[:, 0].ravel())[0, 1]
    assert correlation > 0.95


def test_an_own_input_shape_comes_before_the_models_wish():
    assert digits.load(preferred_input_shape=(3, 32, 32), input_shape=[1, 16, 12]).test_inputs.shape[1:] == (1, 16, 12)
    with pytest.raises(ValueError, match=r"input_shape must be \[C, H, W\]"):
        digits.load(input_shape=[8, 8])


def test_statistics_are_those_of_the_training_images():
    arrays = digits.load()
    assert arrays.mean == pytest.approx([arrays.train_inputs.mean() / 255])
    assert arrays.std == pytest.approx([arrays.train_inputs.std() / 255], rel=1e-4)


def test_a_damaged_file_is_refused_in_one_clear_line(tmp_path, monkeypatch):
    spoiled = tmp_path / "digits.npz"
    spoiled.write_bytes(digits.SOURCE.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(digits, "SOURCE", spoiled)
    with pytest.raises(DdptuiError, match=r"damaged.*reinstall"):
        digits.load()
    monkeypatch.setattr(digits, "SOURCE", tmp_path / "missing.npz")
    with pytest.raises(DdptuiError, match="cannot be read, reinstall"):
        digits.load()


def test_the_shipped_file_comes_with_its_licence():
    text = (digits.SOURCE.parent / "ATTRIBUTION.txt").read_text()
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text


def test_the_shipped_file_is_what_the_script_makes_of_scikit_learns_copy():
    datasets = pytest.importorskip("sklearn.datasets")
    with np.load(digits.SOURCE) as shipped:
        source = datasets.load_digits()
        assert np.array_equal(shipped["images"], source.images)
        assert np.array_equal(shipped["targets"], source.target)
