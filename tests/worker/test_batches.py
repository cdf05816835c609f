import numpy as np
import pytest
import torch
from data_specs import make_bundle, random_images

from engine.core.image_spec import Augmentation
from engine.worker.batches import Batches
from engine.worker.datasets.bundle import Split

CPU = torch.device("cpu")
POSITIONS = np.array([3, 0, 3, 7], dtype=np.int64)


def expected(bundle, rows):
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (bundle.mean, bundle.std))
    return (bundle.train.inputs[rows].float() / 255 - mean) / std


def test_a_batch_is_the_normalised_samples_in_the_order_asked_for():
    bundle = make_bundle(random_images(10, 3, 8, 8))
    batch = Batches(bundle, bundle.train, device=CPU).get(POSITIONS)
    torch.testing.assert_close(batch.inputs, expected(bundle, POSITIONS))
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.tolist() == [3, 0, 3, 7]


def test_floats_are_used_as_they_are():
    bundle = make_bundle(torch.rand(10, 4, 5))
    batch = Batches(bundle, bundle.train, device=CPU).get(POSITIONS)
    assert torch.equal(batch.inputs, bundle.train.inputs[POSITIONS])


def test_positions_of_a_held_out_split_mean_its_own_samples():
    bundle = make_bundle(random_images(10, 3, 8, 8))
    split = Split(inputs=bundle.train.inputs, targets=bundle.train.targets, indices=torch.tensor([9, 4, 2]))
    batch = Batches(bundle, split, device=CPU).get(np.array([0, 2], dtype=np.int64))
    torch.testing.assert_close(batch.inputs, expected(bundle, [9, 2]))
    assert batch.targets.tolist() == [9, 2]


def test_channels_last_alters_the_layout_and_no_value():
    bundle = make_bundle(random_images(10, 3, 8, 8))
    plain, interleaved = (
        Batches(bundle, bundle.train, device=CPU, channels_last=is_last).get(POSITIONS).inputs
        for is_last in (False, True)
    )
    assert interleaved.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, interleaved)
    sequences = make_bundle(torch.rand(10, 4, 5))
    assert Batches(sequences, sequences.train, device=CPU, channels_last=True).get(POSITIONS).inputs.shape == (4, 4, 5)


def test_no_batch_shares_memory_with_another_or_with_the_data():
    bundle = make_bundle(torch.rand(10, 4, 5))
    before = bundle.train.inputs.clone()
    batches = Batches(bundle, bundle.train, device=CPU)
    first, second = batches.get(POSITIONS), batches.get(POSITIONS)
    first.inputs.zero_()
    assert torch.equal(second.inputs, before[POSITIONS])
    assert torch.equal(bundle.train.inputs, before)


def test_augmenting_leaves_the_data_as_it_was_and_follows_the_generator():
    bundle = make_bundle(random_images(10, 3, 8, 8))
    before = bundle.train.inputs.clone()
    batches = Batches(
        bundle, bundle.train, device=CPU, augmentations=[Augmentation(name="crop"), Augmentation(name="flip")]
    )
    first, again, other = (batches.get(POSITIONS, torch.Generator().manual_seed(seed)).inputs for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(bundle.train.inputs, before)
    assert first.is_contiguous()


def test_the_padding_of_a_crop_is_black_before_normalisation():
    bundle = make_bundle(torch.full((64, 1, 8, 8), 200, dtype=torch.uint8))
    batches = Batches(bundle, bundle.train, device=CPU, augmentations=[Augmentation(name="crop")])
    values = batches.get(np.arange(64), torch.Generator().manual_seed(0)).inputs.unique()
    black, light = ((level / 255 - 0.4) / 0.2 for level in (0, 200))
    assert values.tolist() == pytest.approx([black, light], rel=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_on_the_gpu_is_the_batch_of_the_cpu():
    bundle = make_bundle(random_images(500, 3, 8, 8))
    on_gpu = Batches(bundle, bundle.train, device=torch.device("cuda", 0))
    on_cpu = Batches(bundle, bundle.train, device=CPU)
    for first in range(0, 500, 100):  # many copies in flight from reused pinned memory
        positions = np.arange(first, first + 100)
        got, wanted = on_gpu.get(positions), on_cpu.get(positions)
        assert got.inputs.device.type == "cuda"
        torch.testing.assert_close(got.inputs.cpu(), wanted.inputs)
        assert torch.equal(got.targets.cpu(), wanted.targets)
