import numpy as np
import pytest
import torch

pytest.importorskip("PIL")

from PIL import Image
from pillow_reference import FILL, apply, strength

from engine.worker.images import rand_augment as module
from engine.worker.images.rand_augment import OPERATIONS, matrices_of, rand_augment, strengths_of
from engine.worker.images.tones import TABLES, apply_tables, saturate, sharpen
from engine.worker.images.warp import warp

MEAN = (0.485, 0.456, 0.406)
LEVELS = torch.tensor([0.0, 3.3, 7.2, 8.7, 9.0, 10.0], dtype=torch.float64)
SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], dtype=torch.float64)


def images(num=6, height=23, width=30):
    """Smooth ones, one of noise and one of a single colour."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((num, 3, 5, 6), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").mul(255).clamp(0, 255)
    made = smooth.to(torch.uint8)
    made[0] = torch.randint(0, 256, made[0].shape, generator=generator, dtype=torch.uint8)
    made[1] = 7
    return made


def ours(name, batch, values, interpolation):
    if name in TABLES:
        return apply_tables(batch, TABLES[name](batch, values))
    if name in ("color", "sharpness"):
        return (saturate if name == "color" else sharpen)(batch, values)
    return warp(batch, matrices_of(name, values, *batch.shape[-2:]), interpolation, torch.tensor(FILL))


def by_pillow(name, batch, values, interpolation):
    made = [
        apply(name, Image.fromarray(image.permute(1, 2, 0).numpy()), float(value), interpolation)
        for image, value in zip(batch, values, strict=True)
    ]
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in made])


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("name", OPERATIONS)
def test_strengths_are_those_of_timms_table(name, increasing):
    values = strengths_of(name, LEVELS / 10, SIGNS, increasing=increasing)
    expected = [
        strength(name, level, sign, increasing) for level, sign in zip(LEVELS.tolist(), SIGNS.tolist(), strict=True)
    ]
    assert values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_pillows_on_every_sample(name, interpolation):
    batch = images()
    values = strengths_of(name, LEVELS / 10, SIGNS, increasing=True)
    difference = ours(name, batch, values, interpolation).int() - by_pillow(name, batch, values, interpolation).int()
    is_map = name.startswith(("rotate", "shear", "translate"))
    assert difference.abs().max() <= (1 if is_map else 0)
    assert (difference != 0).float().mean() < 0.1  # maps are weighed in 32 bits here, in 64 there


def test_the_draws_of_a_batch_are_applied_one_after_the_other_to_each_sample(monkeypatch):
    batch, log = images(60), []
    monkeypatch.setattr(
        module,
        "strengths_of",
        lambda name, level, sign, **how: log.append((name, level, sign)) or strengths_of(name, level, sign, **how),
    )
    arguments = {
        "magnitude": 9.0, "magnitude_std": 0.5, "increasing": True, "num_ops": 2, "probability": 0.5,
        "interpolation": "bicubic", "mean": MEAN,
    }  # fmt: skip
    made = rand_augment(batch.clone(), torch.Generator().manual_seed(3), **arguments)
    expected = batch
    draws = torch.Generator().manual_seed(3)
    for _ in range(2):
        drawn = torch.randint(len(OPERATIONS), (60,), generator=draws)
        is_applied = torch.rand(60, generator=draws) < 0.5
        level = (torch.randn(60, generator=draws, dtype=torch.float64) * 0.5 + 9).clamp(0, 10)
        sign = torch.where(torch.rand(60, generator=draws) < 0.5, -1.0, 1.0)
        rows = []
        for index in range(60):
            name = OPERATIONS[drawn[index]]
            value = strength(name, level[index].item(), sign[index].item(), True)
            sample = expected[index : index + 1]
            rows.append(by_pillow(name, sample, [value], "bicubic") if is_applied[index] else sample)
        expected = torch.cat(rows)
    is_equal = ((made.int() - expected.int()).abs() <= 2).float().mean()  # a later operation may widen a grey level
    assert is_equal > 0.98
    assert 30 < sum(len(level) for _, level, _ in log) < 90


def test_half_of_the_draws_are_applied_and_every_operation_is_drawn():
    counts = dict.fromkeys(OPERATIONS, 0)
    draws, num = torch.Generator().manual_seed(0), 3000
    drawn = torch.randint(len(OPERATIONS), (num,), generator=draws)
    for number in drawn.tolist():
        counts[OPERATIONS[number]] += 1
    assert min(counts.values()) > 130
    base = torch.full((num, 3, 4, 4), 90, dtype=torch.uint8)
    made = rand_augment(
        base.clone(), torch.Generator().manual_seed(0), magnitude=10.0, magnitude_std=0.0, increasing=True, num_ops=1,
        probability=0.5, interpolation="bilinear", mean=MEAN,
    )  # fmt: skip
    # On an even grey, of 15 operations ten do something: not auto-contrast, equalize, color, contrast and sharpness.
    changed = (made != base).flatten(1).any(dim=1).float().mean().item()
    assert changed == pytest.approx(0.5 * 10 / 15, abs=0.03)


def test_images_of_one_channel_are_augmented_too():
    grey = images(40)[:, :1].clone()
    made = rand_augment(
        grey.clone(), torch.Generator().manual_seed(0), magnitude=9.0, magnitude_std=0.5, increasing=True, num_ops=2,
        probability=1.0, interpolation="bicubic",
    )  # fmt: skip
    assert made.shape == grey.shape
    assert not torch.equal(made, grey)
