import io
import json
import sys

import pytest
from data_specs import make_spec

from engine.worker.__main__ import main
from engine.worker.describe_data import describe_data

WIDE = """\
import numpy as np
def load():
    inputs = np.zeros((12, 3, 8, 64), dtype=np.float32)
    inputs[:, 0] = 1.0
    targets = np.arange(12) % 3
    print("loading")
    return (inputs, targets), (inputs[:6], targets[:6])
"""


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    sys.modules.pop("own_wide", None)


def ask(project_dir="", num_pictures=0, partitions=(), **config):
    spec = make_spec(project_dir, **config).model_dump(mode="json")
    return {"run": spec, "num_pictures": num_pictures, "num_epochs": 2, "partitions": list(partitions)}


def test_shapes_counts_and_pictures_of_every_class_are_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(ask(num_pictures=12, validation=38))))
    assert main(["--data"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["problem"], answer["num_classes"], answer["partitions"]) == ("", 10, [])
    splits = answer["splits"]
    assert {name: split["samples"] for name, split in splits.items()} == {"train": 1400, "validation": 38, "test": 359}
    for split in splits.values():
        assert sum(split["class_counts"]) == split["samples"] == split["num_counted"]
        assert len(split["mean"]) == len(split["std"]) == answer["input_shape"][0]
        assert 0 < split["mean"][0] < 1
    assert [picture["label"] for picture in answer["pictures"]] == [*range(10), 0, 1]
    height, width = answer["input_shape"][1:]
    for picture in answer["pictures"]:
        assert (len(picture["values"]), len(picture["values"][0])) == (height, width)
        assert 0 <= min(map(min, picture["values"])) < max(map(max, picture["values"])) <= 255


def test_large_pictures_of_floats_in_colour_are_made_small_and_stretched(tmp_path):
    (tmp_path / "own_wide.py").write_text(WIDE)
    answer = describe_data(ask(tmp_path, num_pictures=1, dataset="own_wide:load"))
    assert answer["problem"] == ""
    assert (answer["input_shape"], answer["dtype"]) == ([3, 8, 64], "float32")
    train = answer["splits"]["train"]
    assert (train["class_counts"], train["mean"], train["std"]) == ([4, 4, 4], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    (picture,) = answer["pictures"]
    assert picture["values"] == [[[255, 0, 0]] * 32] * 4


def test_what_partitions_show_each_rank_is_forecast():
    partitions = [{"partition": name, "alpha": 0.5, "world_size": 2} for name in ("disjoint", "contiguous")]
    disjoint, contiguous = describe_data(ask(partitions=partitions))["partitions"]
    assert (disjoint["partition"], disjoint["share_size"], disjoint["steps_per_epoch"]) == ("disjoint", 16, 44)
    assert len(disjoint["epochs"]) == len(contiguous["epochs"]) == 2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"dataset": "no_such:load"}, "'no_such:load' cannot be imported"),
        ({"dataset": "imagefolder", "data_root": "gone"}, "gone"),
        ({"dataset_args": {"colour": 1}}, "colour"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(tmp_path, config, words):
    answer = describe_data(ask(tmp_path, **config))
    assert list(answer) == ["problem"]
    assert words in answer["problem"]
    assert "\n" not in answer["problem"]
