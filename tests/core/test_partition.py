import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.partition import draw_subset, epoch_order, hold_out, shard, steps_per_epoch, thin_classes


def test_an_epoch_order_holds_every_sample_once():
    order = epoch_order(1000, seed=3, epoch=2)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(1000))


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    order = epoch_order(500, seed=1, epoch=4)
    np.random.seed(99)
    assert np.array_equal(order, epoch_order(500, seed=1, epoch=4))
    assert not np.array_equal(order, epoch_order(500, seed=2, epoch=4))
    assert not np.array_equal(order, epoch_order(500, seed=1, epoch=5))


def test_fewer_samples_than_a_batch_make_no_step():
    assert steps_per_epoch(63, 64) == 0
    assert steps_per_epoch(64, 64) == 1


@given(num_samples=st.integers(0, 200), count=st.integers(1, 17))
def test_shards_cover_a_split_once_with_sizes_that_differ_by_at_most_one(num_samples, count):
    shards = [shard(num_samples, rank, count) for rank in range(count)]
    assert [position for part in shards for position in part] == list(range(num_samples))
    sizes = [len(part) for part in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("validation", "num_held"), [(0.25, 25), (30, 30), (1, 1), (0.999, None), (1.0, None), (100, None)]
)
def test_a_share_below_one_is_a_ratio_and_an_integer_a_number(validation, num_held):
    if num_held is None:
        with pytest.raises(ValueError, match="none are left"):
            hold_out(100, validation, seed=0)
        return
    train, held = hold_out(100, validation, seed=0)
    assert len(held) == num_held
    assert sorted([*train, *held]) == list(range(100))


def test_the_hold_out_depends_on_the_seed_and_is_not_the_order_of_an_epoch():
    assert not np.array_equal(hold_out(100, 20, seed=0)[1], hold_out(100, 20, seed=1)[1])
    assert set(hold_out(100, 20, seed=0)[1]) != set(epoch_order(100, seed=0, epoch=0)[:20])


def test_a_subset_is_drawn_without_repetition():
    subset = draw_subset(100, 10, seed=5)
    assert len(set(subset)) == 10
    assert list(subset) == sorted(subset)
    assert draw_subset(100, None, seed=5) is None
    with pytest.raises(ValueError, match="dataset_size 101 is more than the 100"):
        draw_subset(100, 101, seed=5)


def test_a_long_tail_thins_each_class_more_than_the_one_before():
    labels = np.repeat(np.arange(10), 180)
    kept = thin_classes(labels, 10, 20.0, seed=0)
    counts = np.bincount(labels[kept])
    assert list(kept) == sorted(set(kept))
    assert counts[0] == 180
    assert counts[-1] == 9
    assert all(np.diff(counts) < 0)
    assert not np.array_equal(kept, thin_classes(labels, 10, 20.0, seed=1))


def test_a_long_tail_keeps_no_more_than_there_is_and_one_at_least():
    labels = np.array([0] * 50 + [1] * 2 + [2] * 50)
    assert list(np.bincount(labels[thin_classes(labels, 3, 1000.0, seed=0)])) == [50, 2, 1]
    assert len(thin_classes(labels, 3, 1.0, seed=0)) == len(labels)
