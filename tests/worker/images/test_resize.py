import pytest
import torch
from data_specs import random_images

from engine.core.image_spec import Resize
from engine.worker.images.erase import draw_holes, erase
from engine.worker.images.resize import _multiply, center_resize, draw_boxes, resample_boxes

transforms = pytest.importorskip("torchvision.transforms")
transforms_v2 = pytest.importorskip("torchvision.transforms.v2")
SCALE, RATIO = [0.08, 1.0], [3 / 4, 4 / 3]
MODES = {"bilinear": transforms.InterpolationMode.BILINEAR, "bicubic": transforms.InterpolationMode.BICUBIC}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def have_the_same_distribution(ours, theirs):
    """Kolmogorov and Smirnov's distance of two samples of 3,000: 99.9 % of those of one distribution are below 0.05."""
    ours, theirs = torch.as_tensor(ours).double(), torch.as_tensor(theirs).double()
    values = torch.cat([ours, theirs]).unique()
    shares = [torch.searchsorted(sample.sort().values, values, right=True) / len(sample) for sample in (ours, theirs)]
    return (shares[0] - shares[1]).abs().max() < 0.055


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 90)])
def test_boxes_are_drawn_as_torchvision_draws_them(height, width):
    torch.manual_seed(0)
    image = torch.zeros(3, height, width)
    theirs = [transforms.RandomResizedCrop.get_params(image, SCALE, RATIO) for _ in range(3000)]
    ours = draw_boxes(3000, height, width, generator(), scale=SCALE, ratio=RATIO)
    for column in range(4):
        assert have_the_same_distribution(ours[:, column], [box[column] for box in theirs])
    assert ((ours[:, 0] + ours[:, 2]) <= height).all()
    assert ((ours[:, 1] + ours[:, 3]) <= width).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_box_becomes_what_torchvision_makes_of_it_and_matrices_agree_to_a_grey_level(interpolation):
    images = random_images(20, 3, 40, 32)
    boxes = draw_boxes(20, 40, 32, generator(), scale=SCALE, ratio=RATIO)
    ours = resample_boxes(images, boxes, (24, 28), interpolation)
    theirs = [
        transforms_v2.functional.resized_crop(image, *box, [24, 28], MODES[interpolation], antialias=True)
        for image, box in zip(images, boxes.tolist(), strict=True)
    ]
    assert torch.equal(ours, torch.stack(theirs))
    difference = (_multiply(images, boxes, (24, 28), interpolation).int() - ours.int()).abs()
    assert difference.max() <= 2  # torch's kernel rounds its weights to 16 bits
    assert (difference > 1).float().mean() < 0.001


@pytest.mark.parametrize("shape", [(32, 32), (40, 30), (31, 57)])
@pytest.mark.parametrize("crop_ratio", [0.875, 1.0])
def test_evaluation_resizes_and_crops_as_torchvision_does(shape, crop_ratio):
    images = random_images(4, 3, *shape)
    resize = Resize(size=28, crop_ratio=crop_ratio, interpolation="bicubic")
    theirs = transforms_v2.Compose([
        transforms_v2.Resize(int(28 / crop_ratio), MODES["bicubic"], antialias=True), transforms_v2.CenterCrop(28)
    ])  # fmt: skip
    assert torch.equal(center_resize(images, resize), theirs(images))


def test_holes_are_drawn_as_torchvision_draws_them():
    torch.manual_seed(0)
    scale, ratio = (0.02, 1 / 3), (0.3, 1 / 0.3)
    image = torch.zeros(3, 32, 32)
    theirs = [transforms.RandomErasing.get_params(image, scale, ratio)[:4] for _ in range(3000)]
    ours = draw_holes(3000, 32, 32, generator(), scale=scale, ratio=ratio)
    for column in range(4):
        assert have_the_same_distribution(ours[:, column], [hole[column] for hole in theirs])


@pytest.mark.parametrize("mode", ["pixel", "constant"])
def test_a_quarter_of_the_samples_loses_one_box_to_noise_or_the_mean(mode):
    images = torch.full((2000, 3, 16, 16), 5.0)
    erased = erase(
        images.clone(), generator(), probability=0.25, mode=mode, scale=[0.02, 1 / 3], ratio=[0.3, 1 / 0.3]
    )  # fmt: skip
    is_changed = (erased != 5).any(dim=1)
    assert is_changed.flatten(1).any(dim=1).float().mean() == pytest.approx(0.25, abs=0.035)
    for mask in is_changed[is_changed.flatten(1).any(dim=1)][:50]:
        rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
        assert mask.sum() == len(rows) * len(columns)
    values = erased[erased != 5]
    if mode == "constant":
        assert (values == 0).all()
    else:
        assert values.mean().item() == pytest.approx(0, abs=0.02)
        assert values.std().item() == pytest.approx(1, abs=0.02)
