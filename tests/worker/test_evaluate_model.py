import io
import json
import sys

import pytest
import torch
from worker_runs import write_run

from engine.store import read_json
from engine.worker.__main__ import main
from engine.worker.evaluate_model import evaluate_model

NET = """\
from torch import nn
def build(num_classes, hidden=16):
    print("made")
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, num_classes),
    )
"""

OWN = {
    "model": "own_evaluated:build",
    "model_args": {},
    "metrics": ["accuracy", "top3", "own_evaluated:largest"],
    "validation": 0.2,
    "local_batch_size": 96,
    "global_batch_size": None,
    "stop": {"steps": 5},
    "epochs": None,
}
"""A model with buffers, dropout and samples that do not fill its batches."""

LARGEST = "def largest(outputs, targets):\n    return outputs.amax(dim=1).sum()\n"


@pytest.fixture(autouse=True)
def threads():
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)
    sys.modules.pop("own_evaluated", None)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "own_evaluated.py").write_text(NET + LARGEST)
    return folder


@pytest.fixture(scope="module")
def own(project, train):
    run = write_run(project / "own", project_dir=str(project), **OWN)
    train(run)
    return run


def ask(run, file="model_final.pt", **config):
    spec = read_json(run.folder / "run.json")
    spec["config"] |= config
    return {"run": spec, "model": str(run.folder / file), "device": "cpu", "num_threads": 1}


def problem(run, **changes):
    answer = evaluate_model(ask(run, **changes))
    assert list(answer) == ["problem"]
    assert "\n" not in answer["problem"]
    return answer["problem"]


def reported(run):
    """The last evaluation of a run, by split."""
    keys = ("samples", "loss", "accuracy", "metrics")
    return {event["split"]: {key: event[key] for key in keys} for event in run.events(kind="eval")}


def test_a_model_of_one_process_gives_the_very_numbers_of_its_runs_last_evaluation(own, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(ask(own))))
    assert main(["--evaluate"]) == 0
    said = capsys.readouterr()
    assert "made" in said.err
    answer = json.loads(said.out)
    assert (answer["problem"], answer["device"], answer["num_threads"]) == ("", "cpu", 1)
    found = {split: {k: v for k, v in figures.items() if k != "eval_s"} for split, figures in answer["splits"].items()}
    assert found == reported(own)
    assert set(found) == {"validation", "test"}
    assert set(found["test"]["metrics"]) == {"top3", "largest"}


def test_a_model_of_two_ranks_gives_their_numbers_but_for_rounding(tmp_path, project, train):
    run = write_run(
        tmp_path / "run", project_dir=str(project), strategy="ddp", world_size=2, **{**OWN, "local_batch_size": 48}
    )
    train(run, world_size=2)
    answer = evaluate_model(ask(run, "model_best.pt"))
    for split, figures in reported(run).items():
        found = answer["splits"][split]
        assert found["samples"] == figures["samples"]
        assert found["loss"] == pytest.approx(figures["loss"], abs=1e-6)
        assert found["accuracy"] == figures["accuracy"]


def test_a_model_that_is_no_more_what_was_saved_is_refused_by_its_first_difference(own):
    assert problem(own, model_args={"hidden": 24}) == (
        "model_final.pt does not fit the model: 1.weight is [16, 64] in the file, "
        "and is [24, 64] in the model as it is made now"
    )
    other = problem(own, model="mlp", model_args={"hidden": [32]})
    assert "fc1.weight is missing in the file, and is [32, 64]" in other


def test_what_the_run_began_with_is_not_needed(own):
    assert evaluate_model(ask(own, weights="gone.pt"))["problem"] == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        (b"PK\x03\x04 half of it", "is damaged, or no model that ddptui saved"),
        ([1, 2], "holds no state_dict"),
    ],
)
def test_a_file_that_holds_no_model_is_told(own, content, words):
    path = own.folder / "other.pt"
    path.unlink(missing_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert words in problem(own, file="other.pt")


def test_a_file_that_would_run_code_is_not_read(own):
    torch.save(torch.nn.Linear(2, 2), own.folder / "module.pt")
    assert "is damaged, or no model" in problem(own, file="module.pt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told_with_the_way_out(own):
    request = {**ask(own, device="cuda"), "device": None}
    assert "give --device cpu" in evaluate_model(request)["problem"]
    assert evaluate_model({**request, "device": "cpu"})["problem"] == ""


def test_data_that_are_gone_are_told(own):
    assert "no_such" in problem(own, dataset="no_such:load")
