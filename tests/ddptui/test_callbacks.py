"""The callbacks with the real libraries, each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIGHTNING = """
import torch
from lightning.fabric import Fabric
from lightning.pytorch import LightningModule, Trainer
from ddptui.lightning import DdptuiCallback, DdptuiLogger
class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
    def validation_step(self, batch, index):
        self.log("val_loss", torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
data = torch.utils.data.TensorDataset(torch.randn(40, 4), torch.randint(0, 2, (40,)))
loader = torch.utils.data.DataLoader(data, batch_size=8)
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
trainer = Trainer(max_epochs=2, accelerator="cpu", devices=1, callbacks=[DdptuiCallback()], **quiet)
trainer.fit(Net(), loader, loader)
Fabric(accelerator="cpu", devices=1, loggers=[DdptuiLogger()]).log_dict({"of_fabric": 3.5}, step=9)
"""

TRANSFORMERS = """
import torch
from transformers import Trainer, TrainingArguments
from ddptui.transformers import DdptuiCallback
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
    def forward(self, x, labels):
        outputs = self.layer(x)
        return {"loss": torch.nn.functional.cross_entropy(outputs, labels), "logits": outputs}
rows = [{"x": torch.randn(4), "labels": torch.tensor(i % 2)} for i in range(40)]
arguments = TrainingArguments("out", num_train_epochs=2, per_device_train_batch_size=8, use_cpu=True, logging_steps=1,
                              eval_strategy="epoch", save_strategy="no", report_to=[], disable_tqdm=True)
Trainer(model=Net(), args=arguments, train_dataset=rows, eval_dataset=rows, callbacks=[DdptuiCallback()]).train()
"""


def lines_of(folder: Path, source: str) -> dict[str, list[Any]]:
    (folder / "train.py").write_text(source)
    files = json.dumps({"0": {"lines": str(folder / "lines")}})
    subprocess.run(
        [sys.executable, "-m", "ddptui.start", "--script", "train.py"],
        env={**os.environ, "DDPTUI_RANK_FILES": files, "HF_HUB_OFFLINE": "1"},
        cwd=folder,
        capture_output=True,
        check=True,
    )
    lines: dict[str, list[Any]] = {}
    for line in map(json.loads, (folder / "lines").read_text().splitlines()):
        lines.setdefault(line["kind"], []).append(line)
    return lines


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="lightning is not installed")
def test_lightning_says_every_batch_and_its_validation(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, LIGHTNING)
    assert [(line["epoch"], line["samples"], line["num_steps"]) for line in lines["epoch_stop"]] == [
        (0, 40, 5), (1, 40, 5),
    ]  # fmt: skip
    assert all(line["loss"] > 0 for line in lines["epoch_stop"])
    assert [(line["split"], line["epoch"]) for line in lines["eval"]] == [("validation", 0), ("validation", 1)]
    assert [line["of_fabric"] for line in lines["metric"]] == [3.5]
    assert len(lines["run_stop"]) == 1


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
def test_the_hugging_face_trainer_says_every_step_and_its_evaluation(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, TRANSFORMERS)
    assert [(line["epoch"], line["samples"], line["num_steps"]) for line in lines["epoch_stop"]] == [
        (0, 40, 5), (1, 40, 5),
    ]  # fmt: skip
    assert all(line["loss"] > 0 for line in lines["step"])
    assert [(line["split"], line["epoch"]) for line in lines["eval"]] == [("validation", 0), ("validation", 1)]
    assert any("learning_rate" in line for line in lines["metric"])
