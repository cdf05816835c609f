"""Whether a model's samples depend on one another, and over how many of them."""

import pytest
from torch import nn

from engine.catalog import STRATEGY_TRAITS, plan_catalog
from engine.core.plan import make_plan
from engine.core.topology import make_topology
from engine.worker.announce import _batch_norm_samples
from engine.worker.strategies.batch_norm import has_batch_norm
from engine.worker.strategies.interface import Strategy

TOML = """
[defaults]
model = "mnist_rnn"
dataset = "mnist"
epochs = 1
global_batch_size = 64
optimizer = { name = "sgd", lr = 0.1 }
[[experiment]]
name = "x"
"""


def test_batch_norm_is_found_wherever_it_stands_unless_ranks_share_its_statistics():
    assert has_batch_norm(nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.BatchNorm1d(2))))
    assert not has_batch_norm(nn.Sequential(nn.Linear(3, 2), nn.SyncBatchNorm(2), nn.LayerNorm(2)))


@pytest.mark.parametrize(
    ("sets", "samples"),
    [
        (["strategy=single"], 64),
        (["strategy=ddp", "world_size=4"], 16),
        (["strategy=dp", "dp.num_replicas=2"], 32),
        (["strategy=pipeline", "world_size=2", "pipeline.num_micro_batches=4"], 16),
        (["strategy=rpc_pipeline", "world_size=3", "rpc_pipeline.num_micro_batches=8"], 8),
    ],
)
def test_it_sees_what_a_rank_replica_or_stage_is_given_at_a_time(sets, samples):
    class Fake:
        config = make_plan(TOML, "x.toml", catalog=plan_catalog(), sets=sets).runs[0].config
        topology = make_topology(config, STRATEGY_TRAITS[config.strategy])

        def __init__(self, *layers):
            self.build_model = lambda: nn.Sequential(*layers)

        def has_batch_norm(self):
            self.task = self
            return Strategy.has_batch_norm(self)

    for layers, expected in (([nn.BatchNorm1d(2)], samples), ([nn.Linear(1, 1)], None)):
        fake = Fake(*layers)
        assert _batch_norm_samples(fake, fake) == expected
