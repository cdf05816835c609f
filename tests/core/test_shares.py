import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.partition import epoch_order
from engine.core.partition_names import NEED_LABELS, PARTITIONS
from engine.core.share_audit import forecast
from engine.core.shares import Partition

WITHOUT_OVERLAP = ("disjoint", "equal", "balanced", "contiguous", "dirichlet")
FIXED = ("equal", "contiguous", "dirichlet")
"""Whose ranks own the same samples in every epoch."""
FAULTY = ("faulty_random_half", "faulty_balanced_threequarters")


def make_labels(num_samples, num_classes=10, seed=0):
    return np.random.default_rng(seed).integers(0, num_classes, num_samples)


def make(name, *, num_samples=1437, num_shares=2, share_size=8, seed=0, alpha=0.5, labels=None, reshuffle=True):
    if labels is None and name in NEED_LABELS:
        labels = make_labels(num_samples)
    return Partition(
        name=name,
        num_samples=num_samples,
        num_shares=num_shares,
        share_size=share_size,
        seed=seed,
        alpha=alpha,
        reshuffle=reshuffle,
        labels=labels,
    )


sizes = st.fixed_dictionaries(
    {
        "num_samples": st.integers(1, 400),
        "num_shares": st.integers(1, 8),
        "share_size": st.integers(1, 6),
        "seed": st.integers(0, 3),
        "alpha": st.sampled_from([0.01, 0.5, 100.0]),
    }
)


@settings(max_examples=120)
@given(name=st.sampled_from(list(PARTITIONS)), sizes=sizes, epoch=st.integers(0, 3))
def test_every_share_has_whole_steps_of_samples_that_exist_and_none_twice(name, sizes, epoch):
    partition = make(name, **sizes)
    lists = partition.draw(epoch)
    assert lists.shape == (sizes["num_shares"], partition.num_steps, sizes["share_size"])
    assert lists.dtype == np.int64
    for share in lists:
        own = share.ravel()
        assert len(set(own.tolist())) == len(own)
        assert all((own >= 0) & (own < sizes["num_samples"]))


@settings(max_examples=120)
@given(name=st.sampled_from(WITHOUT_OVERLAP), sizes=sizes)
def test_without_overlap_no_sample_is_on_two_shares_and_few_are_left_out(name, sizes):
    partition = make(name, **sizes)
    used = partition.draw(1).ravel()
    assert len(set(used.tolist())) == len(used)
    batch = sizes["num_shares"] * sizes["share_size"]
    rest_of_classes = 10 * (sizes["num_shares"] - 1) if name == "balanced" else 0
    assert sizes["num_samples"] - len(used) < batch + sizes["num_shares"] + rest_of_classes


@settings(max_examples=60)
@given(name=st.sampled_from(list(PARTITIONS)), sizes=sizes, epoch=st.integers(0, 2))
def test_a_rank_finds_its_own_list_without_those_of_the_others(name, sizes, epoch):
    all_lists = make(name, **sizes).draw(epoch)
    for share in range(sizes["num_shares"]):
        assert np.array_equal(make(name, **sizes).draw(epoch, [share])[0], all_lists[share])


@settings(max_examples=60)
@given(sizes=sizes)
def test_the_shares_of_disjoint_are_the_batches_of_one_process_in_their_order(sizes):
    partition = make("disjoint", **sizes)
    lists = partition.draw(2)
    order = epoch_order(sizes["num_samples"], sizes["seed"], 2)
    batch = sizes["num_shares"] * sizes["share_size"]
    for step in range(partition.num_steps):
        assert np.array_equal(lists[:, step].ravel(), order[step * batch : (step + 1) * batch])


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 60), min_size=2, max_size=6).filter(lambda counts: sum(counts) > 0),
    num_shares=st.integers(1, 8),
    epoch=st.integers(0, 2),
)
def test_balanced_deals_the_same_number_of_every_class_to_each_share(counts, num_shares, epoch):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    partition = make("balanced", num_samples=len(labels), num_shares=num_shares, share_size=1, labels=labels)
    dealt = [np.bincount(labels[share.ravel()], minlength=len(counts)).tolist() for share in partition.draw(epoch)]
    assert dealt == [[number // num_shares for number in counts]] * num_shares


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_assignment_gives_each_share_the_same_samples_in_another_order(name):
    partition = make(name, num_samples=1440, share_size=8)  # whole batches: nothing of an assignment is left out
    first, second = partition.draw(0), partition.draw(1)
    for one, other in zip(first, second, strict=True):
        assert set(one.ravel()) == set(other.ravel())
        assert not np.array_equal(one, other)


def test_contiguous_blocks_follow_the_order_of_the_data():
    lists = make("contiguous", num_samples=100, num_shares=4, share_size=5).draw(0)
    assert [sorted(share.ravel()) for share in lists] == [list(range(k, k + 25)) for k in range(0, 100, 25)]


@pytest.mark.parametrize("name", FAULTY)
def test_the_faulty_ones_never_change_their_order(name):
    partition = make(name)
    assert np.array_equal(partition.draw(0), partition.draw(5))
    assert not np.array_equal(partition.draw(0), make(name, seed=1).draw(0))


@pytest.mark.parametrize("name", ["disjoint", "random", "balanced"])
def test_what_is_drawn_anew_sees_other_samples_in_the_next_epoch(name):
    partition = make(name, num_samples=1000, num_shares=2, share_size=400)
    assert set(partition.draw(0)[0].ravel()) != set(partition.draw(1)[0].ravel())


@pytest.mark.parametrize(
    ("name", "num_shares", "seen", "overlap"),
    [
        ("disjoint", 2, 1.0, 0.0),
        ("faulty_random_half", 2, 0.5, 1.0),
        ("faulty_random_half", 4, 0.25, 1.0),
        ("faulty_balanced_threequarters", 2, 0.75, 1 / 3),
        ("faulty_balanced_threequarters", 4, 1 - 0.75**4, None),
        ("random", 2, 0.75, 1 / 3),
        ("equal", 4, 1.0, 0.0),
    ],
)
def test_coverage_and_overlap_are_what_arithmetic_says(name, num_shares, seen, overlap):
    labels = make_labels(40_000)
    partition = make(name, num_samples=40_000, num_shares=num_shares, share_size=10)
    rows = forecast(partition, labels=labels, num_classes=10, num_epochs=3)
    for row in rows:
        assert row["seen_ratio"] == pytest.approx(seen, abs=0.01)
        if overlap is not None:
            assert row["overlap_ratio"] == pytest.approx(overlap, abs=0.01)
    assert rows[1]["order_changed"] is (name not in FAULTY)
    if name in FAULTY:
        assert rows[2]["seen_so_far_ratio"] == rows[0]["seen_ratio"]
    if name == "random":
        assert rows[2]["seen_so_far_ratio"] == pytest.approx(1 - 0.25**3, abs=0.01)


def test_a_small_alpha_skews_the_classes_and_a_large_one_does_not():
    labels = make_labels(20_000)

    def skew(alpha):
        partition = make("dirichlet", num_samples=20_000, num_shares=4, share_size=10, alpha=alpha, labels=labels)
        return forecast(partition, labels=labels, num_classes=10, num_epochs=1)[0]["class_skew_ratio"]

    assert skew(0.05) > 0.5 > skew(1.0) > skew(1000.0)
    assert skew(1000.0) < 0.05


def test_balanced_has_the_classes_of_the_data_on_long_tailed_data_too():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [900, 300, 100, 33]))
    row = forecast(
        make("balanced", num_samples=len(labels), share_size=4, labels=labels),
        labels=labels,
        num_classes=4,
        num_epochs=1,
    )[0]
    assert row["class_skew_ratio"] < 0.01
    one, other = row["classes_per_share"]
    assert one == pytest.approx(other, abs=2)


def test_a_partition_that_needs_classes_says_so():
    with pytest.raises(ValueError, match="partition dirichlet needs the classes"):
        Partition(name="dirichlet", num_samples=10, num_shares=2, share_size=1, seed=0)


@pytest.mark.parametrize("name", PARTITIONS)
def test_a_sampler_that_is_never_told_the_epoch_repeats_its_first(name):
    stuck = make(name, reshuffle=False)
    first = make(name).draw(0)
    assert all((stuck.draw(epoch) == first).all() for epoch in (0, 1, 5))
    assert name in FAULTY or (make(name).draw(1) != first).any()
