import threading

import pytest
import torch
from torch import nn

from engine.worker.strategies.dropout import SeededDropout, seed_dropout
from engine.worker.strategies.threads import _share_weights, _Turn


def test_replicas_share_weights_and_have_gradients_of_their_own():
    model = nn.Linear(3, 2)
    replica = _share_weights(model)
    with torch.no_grad():
        model.weight.add_(1.0)
    assert torch.equal(replica.weight, model.weight)
    replica(torch.ones(1, 3)).sum().backward()
    assert model.weight.grad is None
    assert replica.weight.grad is not None


def test_the_last_to_arrive_acts_once():
    acted = []
    turn = _Turn(4, lambda: acted.append(threading.current_thread()))
    threads = [threading.Thread(target=turn.arrive) for _ in range(4)]
    for thread in threads[:3]:
        thread.start()
        thread.join()
    assert acted == []
    threads[3].start()
    threads[3].join()
    assert acted == [threads[3]]


def make_model():
    return nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Dropout(0.5)), nn.Dropout2d(0.25))


def test_seeded_dropout_takes_the_place_of_every_dropout_layer():
    model = make_model()
    seed_dropout(model, 0)
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(SeededDropout) == 2
    assert nn.Dropout not in kinds
    assert set(model.state_dict()) == set(make_model().state_dict())


def test_seeded_dropout_repeats_whatever_else_draws_numbers():
    drawn = []
    for _ in range(2):
        model = nn.Sequential(nn.Dropout(0.5))
        seed_dropout(model, 5)
        torch.rand(3)
        drawn.append(model(torch.ones(100)))
    assert torch.equal(*drawn)
    assert not torch.equal(model(torch.ones(100)), drawn[0]), "each pass draws anew"


def test_seeded_dropout_keeps_the_mean_and_does_nothing_in_evaluation():
    model = nn.Sequential(nn.Dropout(0.25))
    seed_dropout(model, 0)
    outputs = model(torch.ones(100_000))
    assert outputs.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert outputs.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(model.eval()(torch.ones(4)), torch.ones(4))


def test_seeded_dropout_drops_whole_channels_where_the_layer_does():
    model = nn.Sequential(nn.Dropout2d(0.5))
    seed_dropout(model, 0)
    outputs = model(torch.ones(4, 16, 3, 3))
    per_channel = outputs.flatten(2)
    assert torch.equal(per_channel.amin(2), per_channel.amax(2))
    assert 0 < (per_channel[..., 0] == 0).sum() < 64


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_seeded_dropout_at_its_limits(probability, expected):
    model = nn.Sequential(nn.Dropout(probability))
    seed_dropout(model, 0)
    assert torch.equal(model(torch.ones(5)), torch.full((5,), expected))
