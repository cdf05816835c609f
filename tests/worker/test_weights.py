"""The weights that a model begins with: files, heads, and torchvision's names; nothing is downloaded."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from data_specs import make_spec
from torch import nn

from engine.core.errors import InputError
from engine.worker import weights as weights_module
from engine.worker.weights import load_weights


def model(num_classes=3):
    layers = [("features", nn.Linear(4, 2)), ("norm", nn.BatchNorm1d(2)), ("fc", nn.Linear(2, num_classes))]
    return nn.Sequential(OrderedDict(layers))


@pytest.fixture
def with_head(monkeypatch):
    """A model of the catalog whose layer ``fc`` may begin anew."""
    monkeypatch.setattr(weights_module, "_module_of", lambda name: SimpleNamespace(HEAD=("fc",)))


def load(folder, made, name="given.pt", **changes):
    load_weights(made, make_spec(folder, weights=name, **changes))
    return made


def complaint(folder, made, **changes):
    with pytest.raises(InputError) as caught:
        load(folder, made, **changes)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("weights: ")
    return line


def save(folder, value):
    torch.save(value, folder / "given.pt")


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "MODEL_STATE"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_is_found_under_the_keys_and_names_that_others_write(tmp_path, key, prefix):
    given = model().state_dict()
    named = {f"{prefix}{name}": value for name, value in given.items()}
    save(tmp_path, named if key is None else {"epoch": 3, key: named})
    loaded = load(tmp_path, model())
    assert all(torch.equal(value, given[name]) for name, value in loaded.state_dict().items())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.usefixtures("with_head")
def test_a_head_of_another_size_or_none_begins_anew(tmp_path):
    given = model(num_classes=7).state_dict()
    for state in (given, {name: value for name, value in given.items() if not name.startswith("fc")}):
        save(tmp_path, state)
        made = model()
        before = made.fc.weight.clone()
        load(tmp_path, made)
        assert torch.equal(made.features.weight, given["features.weight"])
        assert torch.equal(made.fc.weight, before)


@pytest.mark.usefixtures("with_head")
def test_any_other_layer_must_fit(tmp_path):
    given = model().state_dict()
    save(tmp_path, {**given, "features.weight": torch.zeros(2, 5)})
    assert "features.weight is [2, 5] there, and [2, 4] in the model" in complaint(tmp_path, model())
    save(tmp_path, {name: value for name, value in given.items() if name != "norm.running_mean"})
    assert "norm.running_mean is missing there, and [2] in the model" in complaint(tmp_path, model())
    save(tmp_path, {"other": torch.zeros(1)})
    assert "does not fit the model: features.weight is missing" in complaint(tmp_path, model())


def test_a_model_without_a_head_must_fit_whole(tmp_path):
    save(tmp_path, model(num_classes=7).state_dict())
    assert "fc.weight is [7, 2] there, and [3, 2] in the model" in complaint(tmp_path, model())


def test_what_is_no_state_dict_is_told(tmp_path):
    (tmp_path / "given.pt").write_bytes(b"PK\x03\x04 half of it")
    assert "given.pt cannot be read as a state_dict" in complaint(tmp_path, model())
    save(tmp_path, nn.Linear(2, 2))  # reading it would run code
    assert "given.pt cannot be read as a state_dict" in complaint(tmp_path, model())
    save(tmp_path, {"epoch": 3})
    assert "holds no state_dict (names with tensors)" in complaint(tmp_path, model())


def test_a_missing_file_of_a_model_that_torchvision_has_not_is_told(tmp_path):
    line = complaint(tmp_path, model(), name="gone.pt")
    assert line == f"weights: there is no file {tmp_path}/gone.pt, and torchvision has no weights for model mlp"


def test_torchvisions_names_are_looked_up_and_ranks_download_nothing(tmp_path, monkeypatch):
    pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    asked = []

    def no_network(url, *arguments, **options):
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    unknown = complaint(tmp_path, model(), name="IMAGENET9", model="resnet18")
    assert "'IMAGENET9' is neither a file" in unknown
    assert "it has IMAGENET1K_V1" in unknown
    spec = make_spec(tmp_path, weights="IMAGENET1K_V1", model="resnet18")
    with pytest.raises(InputError, match=r"resnet18-\w+\.pth is not there; `ddptui run` brings it there"):
        load_weights(model(), spec)
    assert asked == []
    with pytest.raises(InputError, match=r"cannot be downloaded \(OSError: no network\): put https://\S+ at \S+, or"):
        load_weights(model(), spec, may_fetch=True)
    assert len(asked) == 1
