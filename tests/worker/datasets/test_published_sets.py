import numpy as np
import pytest
from data_specs import make_spec
from image_files import NUM_CLASSES, with_sums, write_cifar, write_mnist

from engine.core.errors import InputError
from engine.worker.datasets import torchvision_sets
from engine.worker.datasets.bundle import load_bundle

datasets = pytest.importorskip("torchvision.datasets")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test reaches out; what a download says is a line of the system's."""

    def refuse(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def load(tmp_path, name, *, may_fetch=False, **config):
    return load_bundle(make_spec(dataset=name, data_root=str(tmp_path), **config), may_fetch=may_fetch)


def small_cifar(tmp_path, monkeypatch, name, **files):
    sums = write_cifar(tmp_path, name, **files)
    made = with_sums(getattr(datasets, name.upper()), sums)
    monkeypatch.setattr(torchvision_sets, "find_class", lambda *_: made)
    return made


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_what_torchvision_reads(tmp_path, monkeypatch, name):
    made = small_cifar(tmp_path, monkeypatch, name)
    bundle = load(tmp_path, name)
    theirs = made(str(tmp_path), train=False)
    assert np.array_equal(bundle.test.inputs.numpy(), theirs.data.transpose(0, 3, 1, 2))
    assert bundle.test.targets.tolist() == theirs.targets
    assert len(bundle.train) == (100 if name == "cifar10" else 20)
    assert (bundle.num_classes, bundle.input_shape, bundle.note) == (NUM_CLASSES[name], (3, 32, 32), "")


def test_mnist_is_what_torchvision_reads(tmp_path):
    write_mnist(tmp_path)
    bundle = load(tmp_path, "mnist", normalise=False)
    theirs = datasets.MNIST(str(tmp_path), train=True)
    assert np.array_equal(bundle.train.inputs[:, 0].numpy(), theirs.data.numpy())
    assert bundle.train.targets.tolist() == theirs.targets.tolist()
    assert (len(bundle.train), len(bundle.test), bundle.mean, bundle.std) == (40, 20, (0.0,), (1.0,))


def test_once_read_a_set_is_mapped_without_torchvision(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    first = load(tmp_path, "mnist")
    monkeypatch.setattr(torchvision_sets, "find_class", lambda *_: pytest.fail("read again"))
    assert np.array_equal(load(tmp_path, "mnist").train.inputs, first.train.inputs)


def test_files_that_change_are_read_again(tmp_path):
    write_mnist(tmp_path)
    load(tmp_path, "mnist")
    write_mnist(tmp_path, num_train=30)
    assert len(load(tmp_path, "mnist").train) == 30


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
def test_what_is_missing_is_named_with_the_files_to_put_where(tmp_path, name):
    with pytest.raises(InputError) as caught:
        load(tmp_path, name, may_fetch=True)
    line = str(caught.value)
    assert line.startswith(f"dataset: {name}: not in {tmp_path}, and downloading it failed (")
    assert (
        f"put {name[:5]}-{name[5:]}-python.tar.gz (http" if "cifar" in name else "train-images-idx3-ubyte.gz"
    ) in line
    assert "synthetic = true" in line
    assert "\n" not in line


def test_a_rank_never_downloads(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "find_class", lambda *_: pytest.fail("a rank began to download"))
    with pytest.raises(InputError, match=r"data_batch_1 is not in .*before ranks start"):
        load(tmp_path, "cifar10")


def test_packed_files_are_unpacked_before_ranks_start(tmp_path, monkeypatch):
    write_mnist(tmp_path, suffix=".gz")

    without_sums = {"resources": [(name, None) for name, _ in datasets.MNIST.resources]}
    small = type("MNIST", (datasets.MNIST,), without_sums)
    monkeypatch.setattr(torchvision_sets, "find_class", lambda *_: small)
    assert len(load(tmp_path, "mnist", may_fetch=True).train) == 40
    assert len(load(tmp_path, "mnist").train) == 40


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_3"])
def test_a_damaged_file_is_named(tmp_path, monkeypatch, name):
    if "batch" in name:
        small_cifar(tmp_path, monkeypatch, "cifar10")
    (tmp_path / name).write_bytes(b"half a download")
    with pytest.raises(InputError, match=r"damaged or not the published") as caught:
        load(tmp_path, "cifar10", may_fetch=True)
    assert name.partition("/")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_idx_file_is_one_line(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged or not the published") as caught:
        load(tmp_path, "mnist")
    assert "\n" not in str(caught.value)


def test_wrong_shapes_and_classes_are_told(tmp_path, monkeypatch):
    write_mnist(tmp_path / "shape", shape=(20, 20))
    with pytest.raises(InputError, match=r"are uint8 \[1, 20, 20\], not uint8 \[1, 28, 28\]"):
        load(tmp_path / "shape", "mnist")
    write_mnist(tmp_path / "classes", labels=12)
    with pytest.raises(InputError, match="from 12 to 12; they must be from 0 to 9"):
        load(tmp_path / "classes", "mnist")
    small_cifar(tmp_path / "cifar", monkeypatch, "cifar10", labels=10)
    with pytest.raises(InputError, match="from 10 to 10; they must be from 0 to 9"):
        load(tmp_path / "cifar", "cifar10")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("operator torchvision::nms does not exist\nand more"), "RuntimeError: operator torchvision::nms"),
        (
            ModuleNotFoundError("No module named 'torchvision'", name="torchvision"),
            "torchvision, which is not installed",
        ),
    ],
)
def test_a_torchvision_that_does_not_import_is_said_to_be_so(tmp_path, monkeypatch, error, words):
    def fail(_):
        raise error

    write_mnist(tmp_path)
    monkeypatch.setattr("engine.worker.vision.importlib.import_module", fail)
    with pytest.raises(InputError, match=words) as caught:
        torchvision_sets.find_class("MNIST", "mnist")
    assert "install the torchvision that was built for this torch" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sequences_and_wrong_channel_counts_are_not_normalised():
    with pytest.raises(InputError, match="need 1 value or 1, one per channel"):
        load_bundle(make_spec(normalise={"mean": [0.1, 0.2], "std": [1.0, 1.0]}))
    with pytest.raises(InputError, match="only uint8 images"):
        load_bundle(make_spec(dataset="synthetic", dataset_args={"input_shape": [5, 4]}, normalise=False))
    assert load_bundle(make_spec(normalise={"mean": [0.1], "std": [0.5]})).mean == (0.1,)


def test_a_small_stand_in_has_a_test_set_in_proportion_and_every_class_in_it():
    def num_test(**changes):
        return len(load_bundle(make_spec(dataset="mnist", synthetic=True, **changes)).test)

    assert num_test(dataset_size=600) == 100
    assert num_test(dataset_size=20) == 10
    assert num_test(dataset_size=20, dataset_args={"test_samples": 30}) == 30


def test_what_is_always_at_hand_has_no_stand_in():
    with pytest.raises(InputError, match="digits needs no stand-in"):
        load_bundle(make_spec(synthetic=True))
