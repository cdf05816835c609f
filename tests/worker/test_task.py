import sys

import pytest
import torch
from data_specs import make_bundle, make_spec, random_images
from torch.nn.functional import cross_entropy

from engine.core.errors import InputError
from engine.worker.context import read_context
from engine.worker.measures import count_correct
from engine.worker.task import build_task

BUNDLE = make_bundle(random_images(20, 1, 8, 8))


def build(**config):
    return build_task(make_spec(**config), BUNDLE, read_context(device="cpu", backend="auto"))


@pytest.fixture
def own(tmp_path):
    """Write the user's module ``own_task`` and build a task with it."""

    def build_own(source, **config):
        (tmp_path / "own_task.py").write_text("import torch\nfrom torch import nn\n" + source)
        return build_task(make_spec(tmp_path, **config), BUNDLE, read_context(device="cpu", backend="auto"))

    yield build_own
    sys.modules.pop("own_task", None)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_weights_depend_on_the_seed_and_nothing_else():
    torch.manual_seed(5)
    first = weights(build(seed=3).build_model())
    torch.manual_seed(6)
    assert torch.equal(first, weights(build(seed=3).build_model()))
    assert not torch.equal(first, weights(build(seed=4).build_model()))


def test_making_the_model_does_not_disturb_the_random_numbers_of_the_process():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build().build_model()
    assert torch.equal(torch.rand(3), expected)


def test_model_args_reach_the_model():
    assert build(model_args={"hidden": [3]}).build_model().fc1.out_features == 3


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("cross_entropy", lambda outputs, targets: cross_entropy(outputs, targets)),
        ("nll", lambda outputs, targets: -outputs[torch.arange(4), targets].mean()),
        ("mse", lambda outputs, targets: ((outputs - torch.eye(5)[targets]) ** 2).mean()),
        (
            "bce",
            lambda outputs, targets: (
                -(
                    torch.eye(5)[targets] * outputs.sigmoid().log()
                    + (1 - torch.eye(5)[targets]) * (-outputs).sigmoid().log()
                )
            ).mean(),
        ),
    ],
)
def test_losses_are_means_over_the_batch(name, reference):
    outputs, targets = torch.randn(4, 5), torch.tensor([0, 4, 2, 2])
    torch.testing.assert_close(build(loss=name).loss(outputs, targets), reference(outputs, targets))


def test_label_smoothing_spreads_a_share_over_all_classes():
    outputs, targets = torch.randn(4, 5), torch.tensor([0, 4, 2, 2])
    loss = build(loss_args={"label_smoothing": 0.3}).loss
    logs = outputs.log_softmax(dim=1)
    expected = -(0.7 * logs[torch.arange(4), targets] + 0.3 * logs.mean(dim=1)).mean()
    torch.testing.assert_close(loss(outputs, targets), expected)


def test_a_sample_is_in_the_top_three_if_its_target_is_among_the_three_highest_scores():
    task = build(metrics=["top1", "top3", "top5"])
    outputs = torch.arange(10.0).repeat(4, 1)
    targets = torch.tensor([9, 7, 5, 0])
    assert {name: count(outputs, targets).item() for name, count in task.metrics.items()} == {
        "top1": 1,
        "top3": 2,
        "top5": 3,
    }
    assert task.count_correct is count_correct


def test_correct_samples_are_counted_where_accuracy_is_asked_for():
    outputs = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert count_correct(outputs, torch.tensor([1, 1, 1])).item() == 2
    assert build().count_correct is count_correct
    assert build(metrics=[]).count_correct is None


@pytest.mark.parametrize(
    ("optimizer", "cls", "group"),
    [
        (
            {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
            torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True},
        ),
        ({"name": "adam", "lr": 0.1, "betas": [0.8, 0.9]}, torch.optim.Adam, {"betas": (0.8, 0.9)}),
        ({"name": "adamw", "lr": 0.1, "weight_decay": 0.3}, torch.optim.AdamW, {"weight_decay": 0.3}),
        ({"name": "adadelta", "lr": 0.1, "rho": 0.7}, torch.optim.Adadelta, {"rho": 0.7}),
        ({"name": "rmsprop", "lr": 0.1, "alpha": 0.6}, torch.optim.RMSprop, {"alpha": 0.6}),
    ],
)
def test_the_optimizer_is_torchs_with_the_arguments_given(optimizer, cls, group):
    task = build(optimizer=optimizer)
    made = task.make_optimizer(task.build_model().parameters())
    assert type(made) is cls
    assert {name: made.param_groups[0][name] for name in group} == group


def test_the_learning_rate_is_the_scaled_one():
    task = build(strategy="ddp", world_size=4, lr_scaling="sqrt", optimizer={"name": "sgd", "lr": 0.1})
    assert task.make_optimizer([torch.zeros(1, requires_grad=True)]).param_groups[0]["lr"] == pytest.approx(0.2)


def test_a_users_model_is_offered_shape_and_classes_only_where_it_names_them(own):
    source = """
class Named(nn.Sequential):
    def __init__(self, num_classes, width):
        super().__init__(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))
def plain(): return nn.Linear(2, 3)
"""
    model = own(source, model="own_task:Named", model_args={"width": 5}).build_model()
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert isinstance(own(source, model="own_task:plain").build_model(), torch.nn.Linear)


def test_a_users_loss_and_metrics_may_be_functions_or_loss_classes(own):
    source = "def top(outputs, targets): return (outputs > 0).sum()\n"
    task = own(source, loss="torch.nn:CrossEntropyLoss", metrics=["accuracy", "own_task:top"])
    outputs = torch.randn(4, 5)
    torch.testing.assert_close(task.loss(outputs, torch.arange(4)), cross_entropy(outputs, torch.arange(4)))
    assert list(task.metrics) == ["top"]
    assert task.metrics["top"](outputs, torch.arange(4)) == (outputs > 0).sum()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "lenet6"}, "model: unknown model 'lenet6'; there are lenet5"),
        ({"model_args": {"width": 3}}, "model_args: model mlp does not take width; it takes hidden"),
        ({"model": "lenet5", "model_args": {"width": 3}}, "model lenet5 does not take width; it takes none"),
        ({"loss": "hinge"}, "loss: unknown loss 'hinge'; there are cross_entropy"),
        ({"loss_args": {"smoothing": 0.1}}, "loss cross_entropy does not take smoothing; it takes label_smoothing"),
        ({"loss_args": {"label_smoothing": 2}}, "label_smoothing is a number from 0 to 1, not 2"),
        ({"loss": "mse", "loss_args": {"label_smoothing": 0.1}}, "loss mse does not take label_smoothing"),
        ({"metrics": ["top10"]}, "top10 is always 100 % where there are 10 classes"),
        ({"metrics": ["f1"]}, "metrics: unknown name 'f1'; there are accuracy, top1"),
        ({"loss": "no_such_module:loss"}, "No module named 'no_such_module'"),
        ({"model": "own_task:INSTANCE"}, "must be a class or function"),
        ({"loss": "own_task:NUMBER"}, "is int, not a function"),
        ({"loss": "own_task:Demanding"}, "cannot be made: TypeError"),
    ],
)
def test_what_cannot_be_found_is_named_with_its_key(own, config, message):
    source = "INSTANCE = nn.Linear(1, 1)\nNUMBER = 5\nclass Demanding:\n    def __init__(self, needed): pass\n"
    with pytest.raises(InputError, match=message):
        own(source, **config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "lenet5"}, r"'lenet5' cannot be made for inputs of shape \[1, 8, 8\].*at least 32x32, not 8x8"),
        ({"model": "own_task:faulty"}, r"cannot be made: ZeroDivisionError.*\(own_task\.py:3\)"),
        ({"model": "own_task:nothing"}, "made a NoneType, not a torch.nn.Module"),
        ({"model": "torch.nn:Identity"}, "has no parameters to train"),
    ],
)
def test_a_model_that_cannot_be_made_says_why(own, config, message):
    task = own("def faulty(): return 1 / 0\ndef nothing(): return None\n", **config)
    with pytest.raises(InputError, match=message):
        task.build_model()
