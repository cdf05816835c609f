import pytest
import torch
from torch import nn

from engine.worker.models import lenet5, mlp, mnist_cnn, mnist_rnn, resnet18, vgg19


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("module", "num_parameters"), [(lenet5, 62_006), (mnist_cnn, 51_902), (mnist_rnn, 26_602)])
def test_the_published_number_of_parameters_at_the_preferred_shape(module, num_parameters):
    assert count(module.build(input_shape=module.PREFERRED_INPUT_SHAPE, num_classes=10)) == num_parameters


@pytest.mark.parametrize(
    ("module", "num_classes", "num_parameters"), [(resnet18, 100, 11_227_812), (vgg19, 20, 131_220_564)]
)
def test_the_published_number_of_parameters_of_large_models(module, num_classes, num_parameters):
    with torch.device("meta"):
        assert count(module.build(input_shape=(3, 224, 224), num_classes=num_classes)) == num_parameters


def test_resnet18_is_torchvisions_under_the_same_names():
    theirs = pytest.importorskip("torchvision").models.resnet18(num_classes=7).eval()
    ours = resnet18.build(input_shape=(3, 64, 64), num_classes=7).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


def test_the_features_of_vgg19_are_torchvisions_and_its_head_begins_anew():
    models = pytest.importorskip("torchvision").models
    theirs = models.vgg.VGG(models.vgg.make_layers(models.vgg.cfgs["E"]), init_weights=False, num_classes=3)
    ours = vgg19.build(input_shape=(3, 32, 32), num_classes=7, hidden=[8]).eval()
    lacking = ours.load_state_dict(vgg19.rename_weights(theirs.state_dict()), strict=False)
    assert lacking.unexpected_keys == []
    assert {key.rpartition(".")[0] for key in lacking.missing_keys} == {"fc1", "fc2"}
    images = torch.rand(1, 3, 32, 32)
    names = [name for name, _ in ours.named_children()]
    assert torch.equal(ours[: names.index("pool")](images), theirs.features(images))
    assert [layer.p for layer in ours if isinstance(layer, nn.Dropout)] == [0.7]


@pytest.mark.parametrize(
    ("module", "shape", "num_classes"),
    [
        (lenet5, (3, 32, 32), 10),
        (lenet5, (1, 47, 64), 3),
        (mnist_cnn, (1, 28, 28), 10),
        (mnist_cnn, (2, 12, 17), 4),
        (mnist_rnn, (1, 28, 28), 10),
        (mnist_rnn, (3, 5, 7), 4),
        (mnist_rnn, (9, 6), 2),
        (mlp, (3, 4), 5),
        (mlp, (7,), 2),
    ],
)
def test_scores_for_each_class_come_out_for_any_shape_that_fits(module, shape, num_classes):
    model = module.build(input_shape=shape, num_classes=num_classes).eval()
    assert model(torch.zeros(2, *shape)).shape == (2, num_classes)


@pytest.mark.parametrize(("module", "smallest"), [(lenet5, 32), (mnist_cnn, 12)])
def test_too_small_an_image_is_refused_with_the_smallest_that_works(module, smallest):
    module.build(input_shape=(1, smallest, smallest), num_classes=10)(torch.zeros(1, 1, smallest, smallest))
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}, not {smallest}x{smallest - 1}"):
        module.build(input_shape=(1, smallest, smallest - 1), num_classes=10)
    with pytest.raises(ValueError, match=r"images \[C, H, W\]"):
        module.build(input_shape=(28, 28), num_classes=10)


def test_the_rnn_reads_an_image_row_by_row():
    rows = mnist_rnn.Rows()(torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5))
    assert rows.shape == (2, 4, 15)
    assert rows[0, 0, :6].tolist() == [0, 1, 2, 3, 4, 20]
    with pytest.raises(ValueError, match=r"not inputs of shape \[7\]"):
        mnist_rnn.build(input_shape=(7,), num_classes=2)


def test_the_widths_of_the_mlp_are_its_argument():
    assert [name for name, _ in mlp.build(input_shape=(4,), num_classes=2, hidden=[]).named_children()] == [
        "flatten",
        "fc1",
    ]
    assert count(mlp.build(input_shape=(4,), num_classes=2, hidden=[3])) == 4 * 3 + 3 + 3 * 2 + 2
    with pytest.raises(ValueError, match="hidden must be a list of positive integers"):
        mlp.build(input_shape=(4,), num_classes=2, hidden=[0])


def test_the_lenet_pools_by_the_mean():
    model = lenet5.build(input_shape=(3, 32, 32), num_classes=10)
    assert sum(isinstance(layer, nn.AvgPool2d) for layer in model) == 2
