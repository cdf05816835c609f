import warnings

import pytest

from engine.core.schedule import lr_at
from engine.core.spec import Scheduler

torch = pytest.importorskip("torch")
NUM_EPOCHS = 12


def rates_of_torch(make_scheduler):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make_scheduler(optimizer)
    rates = []
    for _ in range(NUM_EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("scheduler", "make_torch"),
    [
        (Scheduler(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        (Scheduler(name="step", step_size=3, gamma=0.7), lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.7)),
        (
            Scheduler(name="multistep", milestones=[2, 5, 5, 9], gamma=0.5),
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5, 5, 9], 0.5),
        ),
        (Scheduler(name="exponential", gamma=0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
        (
            Scheduler(name="cosine", eta_min=0.01),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, NUM_EPOCHS, 0.01),
        ),
        (Scheduler(name="cosine", t_max=5), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5)),
    ],
)
def test_rates_are_those_of_torchs_scheduler_stepped_after_each_epoch(scheduler, make_torch):
    rates = [lr_at(scheduler, 0.3, epoch, NUM_EPOCHS) for epoch in range(NUM_EPOCHS)]
    assert rates == pytest.approx(rates_of_torch(make_torch), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["step", "cosine"])
def test_a_warm_up_is_torchs_linear_one_before_the_schedule(name):
    def make_torch(optimizer):
        torchs = torch.optim.lr_scheduler
        after = (
            torchs.StepLR(optimizer, 2, 0.5) if name == "step" else torchs.CosineAnnealingLR(optimizer, NUM_EPOCHS - 4)
        )
        before = torchs.LinearLR(optimizer, start_factor=0.2, total_iters=4)
        return torchs.SequentialLR(optimizer, [before, after], milestones=[4])

    scheduler = Scheduler(name=name, step_size=2, gamma=0.5, warmup_epochs=4, warmup_factor=0.2)
    rates = [lr_at(scheduler, 0.3, epoch, NUM_EPOCHS) for epoch in range(NUM_EPOCHS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR uses its own deprecated argument
        assert rates == pytest.approx(rates_of_torch(make_torch), rel=1e-9, abs=1e-12)


def test_cosine_without_a_period_says_what_is_missing():
    with pytest.raises(ValueError, match="t_max"):
        lr_at(Scheduler(name="cosine"), 0.1, 0, None)
