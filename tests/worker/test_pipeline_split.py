import time

import pytest
import torch
from torch import nn

from engine.worker.strategies.pipeline_split import (
    LayerCost,
    Split,
    cut_balanced,
    cut_by_name,
    make_split,
    measure_layers,
    take_stage,
)
from engine.worker.strategies.pipeline_stage import Operation, order_operations


def costs(*seconds, sizes=None):
    sizes = sizes or [1] * len(seconds)
    return [
        LayerCost(name=f"layer{index}", compute_s=each, output_bytes=size, num_parameters=1)
        for index, (each, size) in enumerate(zip(seconds, sizes, strict=True))
    ]


class Wait(nn.Module):
    def __init__(self, delay_s):
        super().__init__()
        self.delay_s = delay_s

    def forward(self, inputs):
        time.sleep(self.delay_s)
        return inputs


def test_the_cut_makes_the_slowest_stage_as_fast_as_can_be():
    assert cut_balanced(costs(1, 1, 1, 3), 2) == [3]
    assert cut_balanced(costs(5, 1, 1, 1), 2) == [1]
    assert cut_balanced(costs(2, 2, 2, 2, 2, 2), 3) == [2, 4]


def test_of_two_equally_balanced_cuts_the_one_that_sends_less_is_taken():
    almost_free = costs(3, 0.01, 0.01, 3, sizes=[900, 500, 100, 1])
    assert cut_balanced(almost_free, 2) == [3]


def test_a_model_with_very_many_layers_is_cut_near_the_equal_shares():
    many = costs(*[1.0] * 120)
    cuts = cut_balanced(many, 6)
    sizes = [stop - start for start, stop in zip([0, *cuts], [*cuts, 120], strict=True)]
    assert sizes == [20] * 6


def test_when_one_layer_of_very_many_is_all_the_work_every_stage_still_gets_a_layer():
    cuts = cut_balanced(costs(*[0.001] * 119, 100.0), 6)
    assert len(cuts) == 5
    assert sorted(set(cuts)) == cuts


def test_more_stages_than_layers_is_refused():
    with pytest.raises(ValueError, match="num_stages 4 is more than the model's 3 layers"):
        cut_balanced(costs(1, 1, 1), 4)


def test_names_say_where_the_stages_begin():
    assert cut_by_name(["a", "b", "c", "d"], ["b", "d"], 3) == [1, 3]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nope"], r"no layer 'nope'; the layers are a, b, c"),
        (["b", "c"], r"names 2 layers, but 2 stages need 1"),
        ([], r"names 0 layers"),
        (["a"], r"after the first"),
    ],
)
def test_a_wrong_list_of_names_is_refused_with_what_is_allowed(names, message):
    with pytest.raises(ValueError, match=message):
        cut_by_name(["a", "b", "c"], names, 2)


def test_names_out_of_order_are_refused():
    with pytest.raises(ValueError, match="in the order of the model"):
        cut_by_name(["a", "b", "c"], ["c", "b"], 3)


def test_a_model_that_is_no_sequential_is_refused_by_its_name():
    class Branching(nn.Module):
        pass

    with pytest.raises(ValueError, match="Branching is none"):
        make_split(Branching(), torch.zeros(1, 2), "auto", 2)


def test_the_measurement_finds_the_slow_layer_and_leaves_the_random_state_alone():
    model = nn.Sequential(Wait(0.0), Wait(0.02), nn.Dropout(0.5), Wait(0.0))
    before = torch.random.get_rng_state()
    measured = measure_layers(model, torch.randn(2, 3, generator=torch.Generator()), budget_s=0.1)
    assert max(measured, key=lambda cost: cost.compute_s).name == "1"
    assert measured[1].compute_s >= 0.02
    assert torch.equal(before, torch.random.get_rng_state())
    assert measured[0].output_bytes == 2 * 3 * 4


def test_a_layer_that_overwrites_its_input_can_be_measured():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    assert len(measure_layers(model, torch.randn(2, 3), budget_s=0.0)) == 3


def test_a_split_by_name_keeps_the_names_and_counts_parameters():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    split = make_split(model, torch.randn(2, 3), ["2"], 2, budget_s=0.0)
    assert split.stages == (("0", "1"), ("2",))
    assert split.num_parameters == (12, 8)
    assert sum(split.shares) == pytest.approx(1.0)
    parts = [take_stage(model, names).state_dict() for names in split.stages]
    assert [*parts[0], *parts[1]] == list(model.state_dict())


def test_the_description_says_balance_bubble_and_bound():
    split = Split(stages=(("conv1", "relu1", "pool1"), ("fc1",)), shares=(0.52, 0.48), num_parameters=(1234, 56))
    assert split.describe(4) == (
        "stages conv1..pool1 | fc1, parameters 1,234/56, balance 0.52/0.48, bubble of the schedule 0.20, "
        "at most 1.56x one device"
    )


@pytest.mark.parametrize(("stages", "micro_batches"), [(2, 1), (2, 4), (3, 2), (4, 8)])
def test_with_equal_stages_the_bound_is_the_stages_times_what_the_bubble_leaves(stages, micro_batches):
    split = Split(stages=(("a",),) * stages, shares=(1 / stages,) * stages, num_parameters=(1,) * stages)
    assert split.max_speedup(micro_batches) == pytest.approx(stages * (1 - split.bubble_ratio(micro_batches)))


def words(*args):
    return " ".join(f"{name}{index}" for name, index in order_operations(*args))


def test_gpipe_does_all_forward_passes_first():
    assert words("gpipe", 0, 2, 3) == "F0 F1 F2 B0 B1 B2"
    assert words("gpipe", 1, 2, 3) == "F0 F1 F2 B0 B1 B2"


def test_1f1b_fills_the_pipeline_then_alternates():
    assert words("1f1b", 0, 3, 4) == "F0 F1 F2 B0 F3 B1 B2 B3"
    assert words("1f1b", 1, 3, 4) == "F0 F1 B0 F2 B1 F3 B2 B3"
    assert words("1f1b", 2, 3, 4) == "F0 B0 F1 B1 F2 B2 F3 B3"


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize("num_micro_batches", [1, 2, 5])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_schedule_does_each_pass_once_and_backward_after_forward(schedule, num_micro_batches, stage):
    operations = order_operations(schedule, stage, 4, num_micro_batches)
    assert len(operations) == len(set(operations)) == 2 * num_micro_batches
    for index in range(num_micro_batches):
        assert operations.index(Operation("F", index)) < operations.index(Operation("B", index))
    assert [index for name, index in operations if name == "B"] == list(range(num_micro_batches))


def test_1f1b_holds_no_more_micro_batches_than_stages_behind_it():
    for stage in range(4):
        held = most = 0
        for name, _ in order_operations("1f1b", stage, 4, 9):
            held += 1 if name == "F" else -1
            most = max(most, held)
        assert most == 4 - stage
