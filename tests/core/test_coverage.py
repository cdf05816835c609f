import base64

import pytest

from engine.core.coverage import CoverageFold, coverage_words, total_coverage
from engine.core.metrics import RunFold


def bits(*samples):
    return base64.b64encode(sum(1 << sample for sample in samples).to_bytes(2, "little")).decode()


def line(epoch, index, samples, *, order="a", num_shares=2, classes=(1, 1), **more):
    share = {
        "index": index,
        "samples": len(samples),
        "unique": len(set(samples)),
        "seen": bits(*set(samples)),
        "order": order,
        "classes": list(classes),
    }
    return {
        "kind": "coverage",
        "rank": index,
        "attempt": 1,
        "epoch": epoch,
        "num_samples": 10,
        "every": 1,
        "num_shares": num_shares,
        "class_counts": [5, 5],
        "shares": [share],
        **more,
    }


def fold(*lines):
    folded = CoverageFold()
    for event in lines:
        folded.add(event)
    return folded.rows()


def test_seen_and_overlap_are_counted_over_the_shares():
    (row,) = fold(line(0, 0, [0, 1, 2, 3]), line(0, 1, [3, 4], classes=(2, 0)))
    assert row["seen_ratio"] == pytest.approx(0.5)
    assert row["overlap_ratio"] == pytest.approx(1 / 5)
    assert row["class_skew_ratio"] == pytest.approx(0.5)
    assert row["per_share"] == [4, 2]
    assert row["order_changed"] is None


def test_an_epoch_waits_for_all_its_shares():
    assert fold(line(0, 0, [1])) == []
    rows = fold(line(0, 1, [1]), line(1, 0, [2]), line(0, 0, [2]))
    assert [row["epoch"] for row in rows] == [0]


def test_what_is_seen_later_counts_in_all_epochs_and_an_order_that_stays_is_said_to():
    rows = fold(
        line(0, 0, [0, 1]), line(0, 1, [2]), line(1, 0, [3, 4], order="b"), line(1, 1, [2], order="a"),
    )  # fmt: skip
    assert [row["seen_so_far_ratio"] for row in rows] == [pytest.approx(0.3), pytest.approx(0.5)]
    assert rows[1]["order_changed"] is False, "one share's order is the same"
    total = total_coverage(rows)
    assert total["seen_so_far_ratio"] == pytest.approx(0.5)
    assert total["order_changed"] is False
    assert coverage_words(rows).endswith("the same order in each epoch")


def test_an_epoch_that_is_taken_again_is_the_newer_word():
    (row,) = fold(line(0, 0, [0]), line(0, 1, [1]), line(0, 0, [0, 1, 2]), line(0, 1, [3]))
    assert row["per_share"] == [3, 1]


@pytest.mark.parametrize(
    "broken",
    [
        {"num_shares": 0},
        {"num_samples": "many"},
        {"every": 0},
        {"shares": [3, None, {"index": "x"}]},
        {"shares": "nothing"},
    ],
)
def test_lines_that_make_no_sense_are_left_out(broken):
    assert fold(line(0, 0, [1], **broken), line(0, 1, [2], **broken)) == []
    assert fold(line(-1, 0, [1]), line(-1, 1, [2])) == []


def test_bits_that_are_none_count_as_nothing_seen():
    shares = [{"index": 0, "samples": 1, "unique": 1, "seen": "@@@", "order": "a", "classes": [1, 0]}]
    (row,) = fold(line(0, 0, [], num_shares=1, shares=shares))
    assert row["seen_ratio"] == 0
    assert row["overlap_ratio"] is None


def test_no_epoch_is_not_known():
    assert coverage_words([]) == "n/a"
    assert total_coverage([])["seen_ratio"] is None


def summary(lines, *, config=None, start=None, eval_s=0.0, world_size=2, num_steps=2):
    run = RunFold({"id": "r", "config": {"epochs": 2, **(config or {})}})
    for rank in range(world_size):
        common = {"rank": rank, "attempt": 1, "time_s": 1.0}
        begin = {"world_size": world_size, "steps_per_epoch": num_steps, "global_batch_size": 1, **(start or {})}
        run.add({"kind": "run_start", **common, **begin})
        run.add({"kind": "step", **common, "epoch": 0, "step": 1, "step_first": 0, "num_steps": 2, "window_s": 1.0})
        for event in lines:
            if event["rank"] == rank:
                run.add(event)
        for epoch in (0, 1):
            step = (epoch + 1) * num_steps - 1
            run.add({"kind": "epoch_stop", **common, "epoch": epoch, "step": step, "num_steps": num_steps})
        run.add({"kind": "run_stop", **common, "train_s": 3.0, "eval_s": eval_s})
    return run.summary({"state": "succeeded"})["confounds"]


def test_a_partition_that_sees_half_is_named_with_what_it_saw():
    lines = [line(epoch, rank, [0, 1, 2, 3, 4]) for epoch in (0, 1) for rank in (0, 1)]
    found = summary(lines, config={"partition": "faulty_random_half"}, start={"steps_per_epoch": 20}, num_steps=20)
    assert found == [
        "partition faulty_random_half: the ranks see 50.0 % of the training data in an epoch, 50.0 % in all 2 epochs",
        "partition faulty_random_half: 100.0 % of the samples seen in an epoch are seen by several ranks",
        "partition faulty_random_half: the same order in every epoch",
    ]


def test_an_epoch_that_was_cut_short_is_no_fault_of_its_partition():
    lines = [line(0, 0, [0, 1]), line(0, 1, [2, 3])]
    assert summary(lines, start={"steps_per_epoch": 50}) == []


def test_uneven_classes_are_named():
    lines = [line(0, 0, [0, 1, 2, 3, 4], classes=(5, 0)), line(0, 1, [5, 6, 7, 8, 9], classes=(0, 5))]
    found = summary(lines, config={"partition": "dirichlet"}, start={"steps_per_epoch": 20}, num_steps=20)
    assert found == ["partition dirichlet: a rank's classes are 50.0 % away from those of the data"]


def test_uneven_classes_of_a_handful_of_samples_are_chance():
    lines = [line(0, 0, [0, 1, 2], classes=(2, 1, 0, 0)), line(0, 1, [5, 6, 7], classes=(0, 0, 2, 1))]
    lines = [{**event, "class_counts": [3, 3, 2, 2]} for event in lines]
    config, start = {"partition": "disjoint"}, {"steps_per_epoch": 20, "global_batch_size": 9}
    assert summary(lines, config=config, start=start, num_steps=20) == []


def test_evaluation_on_every_rank_is_named_with_its_part_of_the_time():
    found = summary([], config={"evaluation": "every_rank"}, start={"steps_per_epoch": 20}, num_steps=20, eval_s=1.0)
    assert found == ["each of 2 ranks evaluates everything (evaluation = every_rank): 25.0 % of the total time"]


def test_much_evaluation_is_named_and_a_little_is_not():
    config = {"evaluation": "sharded", "evaluate_every": 1}
    found = summary([], config=config, start={"steps_per_epoch": 20}, num_steps=20, eval_s=1.0)
    assert found == ["evaluation is 25.0 % of the total time (evaluate_every = 1)"]
    assert summary([], config=config, start={"steps_per_epoch": 20}, num_steps=20, eval_s=0.3) == []


def test_few_steps_an_epoch_and_a_straggler_made_on_purpose_are_named():
    slow = {"rank": 1, "phase": "forward", "factor": 3.0, "delay_s": None}
    assert summary([], config={"slow": slow}, num_steps=2) == [
        "rank 1 made slow on purpose: forward x 3",
        "an epoch is 2 steps: the data set is small for this global batch",
    ]
