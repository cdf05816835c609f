import importlib.util
import io
import json
import sys

import pytest
import torch
from data_specs import make_spec

from engine.worker import check as check_module
from engine.worker import trial
from engine.worker.check import check_runs, main

LINEAR = {"in_features": 8, "out_features": 3}


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)
    sys.modules.pop("own_checked", None)


def check(**config):
    return check_runs([make_spec(**{"device": "cpu", **config})])["points"]["point"]


def problems(**config):
    return check(**config)["problems"]


def test_a_point_that_fits_is_answered_with_its_sizes_and_a_measured_step():
    facts = check(model="lenet5", global_batch_size=64, epochs=2, validation=38)
    step_s = facts.pop("step_s")
    first, second = facts.pop("coverage")
    assert first["seen_ratio"] == 1344 / 1400
    assert second["order_changed"] is True
    assert 0 < step_s < 10
    assert facts == {
        "problems": [],
        "num_parameters": 62_006,
        "input_shape": [3, 32, 32],
        "num_classes": 10,
        "train_samples": 1400,
        "validation_samples": 38,
        "test_samples": 359,
        "steps_per_epoch": 21,
        "num_steps": 42,
        "note": "",
    }


@pytest.mark.parametrize(
    ("config", "num_steps"),
    [({"epochs": 3, "stop": {"steps": 7}}, 7), ({"epochs": None, "stop": {"minutes": 1.0}}, None)],
)
def test_the_number_of_steps_is_the_first_limit_that_is_known(config, num_steps):
    assert check(**config)["num_steps"] == num_steps


def test_synthetic_data_is_noted():
    assert (
        check(dataset="synthetic", dataset_args={"train_samples": 100, "test_samples": 20})["note"] == "synthetic data"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"global_batch_size": 2048}, "one step takes 2048 samples over all devices and there are 1438 to train on"),
        ({"global_batch_size": 33, "strategy": "ddp", "world_size": 2}, "cannot be divided by 2 devices"),
        ({"model": "no_such:Net"}, "No module named 'no_such'"),
        ({"model": "lenet5", "dataset_args": {"input_shape": [3, 16, 16]}}, "at least 32x32, not 16x16"),
        (
            {"model": "torch.nn:Linear", "model_args": LINEAR},
            "returns [1, 8, 3] values a sample, but digits has 10 classes",
        ),
        ({"model": "mlp", "dataset": "no_such:load"}, "dataset: 'no_such:load' cannot be imported"),
        ({"loss": "torch.nn:TripletMarginLoss"}, "a training step of mlp on digits fails: TypeError"),
        ({"backend": "nccl"}, "needs GPUs"),
        ({"world_size": "gpu", "strategy": "ddp"}, 'world_size = "gpu", but there is no GPU'),
        ({"strategy": "dp", "dp": {"num_replicas": "gpu"}}, 'dp.num_replicas = "gpu", but there is no GPU'),
        ({"strategy": "warp"}, "unknown strategy 'warp'"),
    ],
)
def test_each_problem_is_told_in_one_line(config, message):
    found = problems(**config)
    assert any(message in line for line in found), found
    assert not any("\n" in line for line in found)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"split": ["fc9"]}, "no layer 'fc9'; the layers are flatten, fc1"),
        ({"split": ["fc1", "fc2"]}, "names 2 layers, but 2 stages need 1"),
        ({"num_stages": 9}, "num_stages 9 is more than the model's 6 layers"),
    ],
)
def test_a_split_that_the_model_does_not_allow_is_found(table, message):
    found = problems(strategy="rpc_pipeline", world_size=table.get("num_stages", 2) + 1, rpc_pipeline=table)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"world_size": 8, "global_batch_size": 64}, "world_size 8 is more than the model's 6 layers"),
        ({"world_size": 2, "pipeline": {"split": ["fc9"]}}, "pipeline.split: no layer 'fc9'"),
        ({"world_size": 2, "precision": "fp16"}, "strategy pipeline takes precision fp32 or bf16"),
    ],
)
def test_what_torchs_pipeline_cannot_cut_or_compute_is_found(config, message):
    found = problems(strategy="pipeline", **config)
    assert any(message in line for line in found), found


def test_a_model_whose_children_do_not_make_it_up_cannot_be_a_pipeline(tmp_path):
    (tmp_path / "own_checked.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(64, 10)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x.flatten(1))\n"
    )
    spec = make_spec(tmp_path, model="own_checked:Net", device="cpu", strategy="rpc_pipeline", world_size=3)
    (line,) = check_runs([spec])["points"]["point"]["problems"]
    assert "cuts an nn.Sequential between its children" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_asked_for_in_vain_is_told_and_the_rest_is_checked_all_the_same():
    facts = check(device="cuda", model="no_such:Net")
    assert 'device = "cuda"' in facts["problems"][0]
    assert "No module named 'no_such'" in facts["problems"][1]


def test_a_torch_without_the_deprecated_launch_is_told_before_anything_is_started(monkeypatch):
    assert problems(launch="torch.distributed.launch") == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (line,) = problems(launch="torch.distributed.launch")
    assert line.startswith('launch = "torch.distributed.launch": torch ')
    assert line.endswith('no longer has it; take "torchrun"')


def test_more_ranks_than_gpus_are_refused_by_number(monkeypatch):
    monkeypatch.setattr(check_module, "_wants_cuda", lambda config: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = problems(strategy="ddp", world_size=4)
    assert any("world_size 4 needs 4 GPUs, 1 is found" in line for line in found), found


def test_points_that_share_model_data_and_batch_are_tried_once(monkeypatch):
    tried = []
    monkeypatch.setattr(
        check_module, "try_step", lambda spec, *rest: tried.append(spec.point) or trial.try_step(spec, *rest)
    )
    common = {"device": "cpu", "local_batch_size": 16}
    answer = check_runs(
        [
            make_spec(point="one", **common),
            make_spec(point="two", strategy="ddp", world_size=2, **common),
            make_spec(point="other", model_args={"hidden": [8]}, **common),
        ]
    )
    assert tried == ["one", "other"]
    assert answer["points"]["one"]["step_s"] == answer["points"]["two"]["step_s"]
    assert answer["points"]["one"]["num_steps"] == 2 * answer["points"]["two"]["num_steps"] + 1


def test_what_the_users_code_prints_does_not_spoil_the_answer(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_checked.py").write_text(
        "from torch import nn\nprint('hello from my module')\n"
        "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    spec = make_spec(tmp_path, model="own_checked:build", device="cpu")
    request = {"runs": [spec.model_dump(mode="json")]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
    assert main() == 0
    written = capsys.readouterr()
    answer = json.loads(written.out)
    assert answer["torch"] == torch.__version__
    assert answer["points"]["point"]["problems"] == []
    assert "hello from my module" in written.err
