import pytest
import torch
from data_specs import random_images

from engine.worker.images.crops import crop, flip

PADDING = 4

NUM_SAMPLES = 4000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def augment(images, names, draws):
    for name in names:
        images = crop(images, draws, padding=PADDING) if name == "crop" else flip(images, draws, probability=0.5)
    return images


def marked_images(size=8):
    """Images whose every pixel is another value, none of them the 0 of the padding."""
    return torch.arange(1, size * size + 1, dtype=torch.uint8).view(1, 1, size, size).repeat(NUM_SAMPLES, 1, 1, 1)


def all_crops(image):
    """Every ``(top, left)`` crop of one padded image, by plain slicing."""
    size = image.shape[-1]
    padded = torch.nn.functional.pad(image, (PADDING,) * 4)
    offsets = range(2 * PADDING + 1)
    return {(top, left): padded[:, top : top + size, left : left + size] for top in offsets for left in offsets}


def find_offsets(cropped, image):
    known = {crop.contiguous().numpy().tobytes(): offset for offset, crop in all_crops(image).items()}
    assert len(known) == (2 * PADDING + 1) ** 2
    return [known[sample.contiguous().numpy().tobytes()] for sample in cropped]


def test_every_crop_is_one_of_the_padded_image_and_all_are_equally_likely():
    images = marked_images()
    offsets = find_offsets(augment(images, ["crop"], generator()), images[0])
    counts = torch.zeros(9, 9)
    for top, left in offsets:
        counts[top, left] += 1
    expected = NUM_SAMPLES / 81
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 130  # 80 degrees of freedom: 99.9 % of fair draws are below 125


def test_samples_of_a_batch_have_their_own_offsets_and_channels_of_a_sample_share_them():
    images = random_images(200, 3, 8, 8)
    cropped = augment(images.clone(), ["crop"], generator())
    found = []
    for before, after in zip(images, cropped, strict=True):
        found += [offset for offset, crop in all_crops(before).items() if torch.equal(crop, after)]
    assert len(found) == 200
    assert len(set(found)) > 60


def test_half_of_the_samples_are_flipped_left_to_right_and_the_others_untouched():
    images = marked_images()
    flipped = augment(images.clone(), ["flip"], generator())
    is_flipped = (flipped == images.flip(-1)).flatten(1).all(1)
    is_same = (flipped == images).flatten(1).all(1)
    assert (is_flipped ^ is_same).all()
    assert is_flipped.float().mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 5, 9)])
def test_any_shape_and_type_is_cropped_as_slicing_does(shape, dtype):
    images = random_images(5, *shape).to(dtype)
    draws = generator(7)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, 5), generator=generator(7))
    cropped = augment(images.clone(), ["crop"], draws)
    assert cropped.dtype == dtype
    padded = torch.nn.functional.pad(images, (PADDING,) * 4)
    for sample in range(5):
        rows, columns = slice(top[sample], top[sample] + shape[1]), slice(left[sample], left[sample] + shape[2])
        assert torch.equal(cropped[sample], padded[sample, :, rows, columns])


def test_the_generator_alone_decides():
    torch.manual_seed(1)
    first = augment(random_images(50, 3, 8, 8), ["crop", "flip"], generator(3))
    torch.manual_seed(2)
    assert torch.equal(first, augment(random_images(50, 3, 8, 8), ["crop", "flip"], generator(3)))
    assert not torch.equal(first, augment(random_images(50, 3, 8, 8), ["crop", "flip"], generator(4)))


def test_the_distribution_is_torchvisions():
    transforms = pytest.importorskip("torchvision.transforms")
    torch.manual_seed(0)
    images = marked_images()
    theirs = transforms.RandomCrop(8, padding=PADDING)
    flip = transforms.RandomHorizontalFlip()
    reference = torch.stack([flip(theirs(image)) for image in images]).float()
    ours = augment(images.clone(), ["crop", "flip"], generator()).float()
    # Both moments of each of the 64 pixels, against the spread of a mean of 4,000 draws.
    for power in (1, 2):
        difference = (ours**power).mean(0) - (reference**power).mean(0)
        spread = ((ours**power).var(0) + (reference**power).var(0)).div(NUM_SAMPLES).sqrt()
        assert (difference.abs() / spread).max() < 4.5
