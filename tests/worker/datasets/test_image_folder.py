import numpy as np
import pytest
import torch
from data_specs import make_spec
from image_files import write_images
from PIL import Image

from engine.core.errors import InputError
from engine.worker.datasets.bundle import load_bundle

transforms = pytest.importorskip("torchvision.transforms")


def load(root, dataset="imagefolder", **arguments):
    return load_bundle(make_spec(dataset=dataset, data_root=str(root), dataset_args={"size": 16, **arguments}))


def two_splits(root):
    write_images(root / "train", num=4)
    write_images(root / "val", num=2, seed=1)
    return root


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_images_are_what_torchvision_decodes_and_resizes(tmp_path, fit):
    bundle = load(two_splits(tmp_path), fit=fit)
    resize = transforms.Resize((16, 16)) if fit == "stretch" else transforms.Resize(16)
    treat = transforms.Compose([resize, transforms.CenterCrop(16)])
    files = sorted((tmp_path / "train/cat").iterdir()) + sorted((tmp_path / "train/dog").iterdir())
    expected = [np.asarray(treat(Image.open(file).convert("RGB"))).transpose(2, 0, 1) for file in files]
    assert np.array_equal(bundle.train.inputs.numpy(), np.stack(expected))
    assert bundle.train.targets.tolist() == [0] * 4 + [1] * 4
    assert (len(bundle.test), bundle.num_classes, bundle.input_shape) == (4, 2, (3, 16, 16))


def test_without_a_test_folder_a_fifth_is_drawn_from_the_seed(tmp_path):
    write_images(tmp_path / "images", num=10)
    bundle, again, other = (load(tmp_path / "images", split_seed=seed) for seed in (0, 0, 1))
    assert (len(bundle.train), len(bundle.test)) == (16, 4)
    assert torch.equal(bundle.test.inputs, again.test.inputs)
    assert not torch.equal(bundle.test.inputs, other.test.inputs)
    rows = torch.cat([bundle.train.inputs, bundle.test.inputs]).flatten(1)
    assert len(rows.unique(dim=0)) == 20


def test_images_are_decoded_once_for_a_content_and_size_wherever_they_lie(tmp_path, monkeypatch):
    first = load(two_splits(tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.setattr(
        "engine.worker.datasets.image_folder._decode", lambda *_: (_ for _ in ()).throw(InputError("decoded again"))
    )
    assert torch.equal(load(tmp_path / "there").train.inputs, first.train.inputs)
    with pytest.raises(InputError, match="decoded again"):
        load(tmp_path / "there", size=8)
    Image.new("RGB", (9, 9)).save(tmp_path / "there/train/cat/0.png")
    with pytest.raises(InputError, match="decoded again"):
        load(tmp_path / "there")


def test_bad_folders_are_told_in_one_line(tmp_path):
    broken = two_splits(tmp_path / "broken")
    (broken / "train/dog/1.jpg").write_bytes((broken / "train/dog/1.jpg").read_bytes()[:200])
    write_images(tmp_path / "odd/train")
    write_images(tmp_path / "odd/test", classes=("cat", "cow"))
    write_images(tmp_path / "few")
    (tmp_path / "hollow/train/cat").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    cases = [
        (tmp_path / "none", {}, r"there is no folder .*none: put the images there as"),
        (tmp_path / "empty", {}, "there are no class folders in"),
        (tmp_path / "hollow", {}, "Found no valid file for the classes cat"),
        (broken, {}, r"dog/1\.jpg cannot be decoded \(.*\): repair or delete it"),
        (tmp_path / "odd", {}, r"the classes of .*train and .*test differ: cow, dog"),
        (tmp_path / "few", {"num_classes": 3}, "has 2 class folders, not 3"),
        (tmp_path / "few", {"dataset": "imagenet20"}, "has 2 class folders, not 20"),
        (tmp_path / "few", {"fit": "squash"}, "fit must be stretch or crop"),
        (tmp_path / "few", {"test_share": 1.5}, "test_share must lie between 0 and 1"),
    ]
    for root, arguments, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            load(root, **arguments)
        assert "\n" not in str(caught.value)
