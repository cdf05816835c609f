import pytest
import torch
from torch import nn

from engine.core.spec import RunConfig
from engine.worker.precision import FullPrecision, MixedPrecision, compile_model, make_precision, order_memory

CPU = torch.device("cpu")


def config(**changes):
    needed = {"model": "mlp", "dataset": "digits", "optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 1}
    return RunConfig(**needed, global_batch_size=8, **changes)


@pytest.mark.parametrize(
    ("precision", "kind", "dtype"),
    [("fp32", FullPrecision, torch.float32), ("bf16", MixedPrecision, torch.bfloat16)],
)
def test_the_matrix_products_have_the_type_that_was_asked_for(precision, kind, dtype):
    made = make_precision(config(precision=precision), CPU)
    model = nn.Linear(4, 4)
    with made.autocast():
        outputs = model(torch.ones(2, 4))
    assert isinstance(made, kind)
    assert outputs.dtype is dtype
    assert model.weight.dtype is torch.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_updates_the_weights_as_fp32_would(precision):
    made = make_precision(config(precision=precision), CPU)
    model = nn.Linear(4, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with made.autocast():
        loss = (
            model(torch.ones(2, 4)).float().mean() / 2
        )  # at 1 the scaled gradient would overflow, and rightly be left out
    made.backward(loss)
    made.update(optimizer)
    torch.testing.assert_close(model.weight.detach(), before - 0.25, rtol=0, atol=1e-3)


def test_fp16_leaves_out_a_step_whose_gradients_overflow():
    made = make_precision(config(precision="fp16"), CPU)
    model = nn.Linear(4, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    made.backward(model(torch.ones(2, 4)).mean() * float("inf"))
    made.update(optimizer)
    assert torch.equal(model.weight, before)


def test_weights_are_channels_last_only_where_asked_for():
    model = nn.Conv2d(3, 4, 3)
    assert not order_memory(model, config()).weight.is_contiguous(memory_format=torch.channels_last)
    assert order_memory(model, config(channels_last=True)).weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of torch about itself, as its compiler is imported
def test_a_model_is_called_as_it_is_unless_compilation_is_asked_for():
    model = nn.Linear(2, 2)
    assert compile_model(model, config()) is model
    assert compile_model(model, config(compile=True)) is not model
