import errno

import pytest
from worker_runs import SMALL, write_run

from engine.core.errors import DiskFullError, NonFiniteLossError
from engine.core.result_config import result_of
from engine.core.spec import RunConfig
from engine.worker.emit import NonFinite
from engine.worker.policies import Policies

NAN_MODEL = """
import os, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.count = nn.Linear(64, 10), 0

    def forward(self, x):
        y = self.layer(x.flatten(1))
        if self.training and os.environ["RANK"] == "1":
            self.count += 1
            if self.count > 12:
                y = y + float("nan")
        return y

def build():
    return Net()
"""


def make_config(**more):
    return RunConfig.model_validate({**SMALL, **more})


def run_check(config, nonfinite=(None, None), no_room=(0, 0)):
    """Return what each of two ranks raises, given what each has met."""
    shares = []
    for is_second_round in (False, True):
        sums = [sum(column) for column in zip(*shares, strict=True)]
        raised = []
        for rank in range(2):
            policies = Policies(
                config,
                rank=rank,
                world_size=2,
                sum_over_ranks=(lambda _, sums=sums: sums) if is_second_round else _collector(shares),
                find_nonfinite=lambda rank=rank: nonfinite[rank],
                find_no_room=lambda rank=rank: no_room[rank],
            )
            try:
                policies.check()
            except (NonFiniteLossError, DiskFullError) as error:
                raised.append(str(error))
    return raised


def _collector(shares):
    def collect(numbers):
        shares.append(numbers)
        return [0.0] * len(numbers)

    return collect


def test_all_ranks_raise_the_same_first_step_whichever_of_them_met_it():
    found = (NonFinite(21, "infinite", 1), NonFinite(20, "NaN", 3))
    assert run_check(make_config(on_nonfinite="stop"), nonfinite=found) == ["loss is NaN at step 20"] * 2
    assert (
        run_check(make_config(on_nonfinite="stop"), nonfinite=(NonFinite(0, "infinite", 1), None))
        == ["loss is infinite at step 0"] * 2
    )


def test_the_first_step_is_told_also_where_its_line_was_not_written_yet():
    known = [NonFinite(20, "NaN", 1)]
    policies = Policies(
        make_config(on_nonfinite="stop"),
        rank=0,
        world_size=1,
        sum_over_ranks=lambda numbers: numbers,
        find_nonfinite=lambda: known[-1],
        find_no_room=lambda: 0,
        write_down=lambda: known.append(NonFinite(19, "NaN", 2)),
    )
    with pytest.raises(NonFiniteLossError, match="step 19"):
        policies.check()


def test_all_ranks_leave_a_disk_that_is_full_for_one_of_them():
    messages = run_check(make_config(on_disk_full="stop"), no_room=(0, errno.EDQUOT))
    assert len(messages) == 2
    assert all(message.startswith("disk quota exceeded") and "`ddptui retry`" in message for message in messages)


def test_a_policy_that_goes_on_asks_nobody():
    def refuse(numbers):
        raise AssertionError("a collective that nobody needs")

    policies = Policies(
        make_config(),
        rank=0,
        world_size=2,
        sum_over_ranks=refuse,
        find_nonfinite=lambda: NonFinite(1, "NaN", 1),
        find_no_room=lambda: errno.ENOSPC,
    )
    policies.check()


def test_the_policies_are_no_part_of_what_a_run_is():
    assert result_of(make_config(on_nonfinite="stop", on_disk_full="stop")) == result_of(make_config())


def test_a_loss_that_is_nan_on_one_rank_ends_both_after_the_same_step(tmp_path, start):
    (tmp_path / "nan_model.py").write_text(NAN_MODEL)
    run = write_run(
        tmp_path / "run",
        project_dir=str(tmp_path),
        model="nan_model:build",
        model_args={},
        strategy="ddp",
        world_size=2,
        on_nonfinite="stop",
        epochs=10_000,
        evaluate_every=0,
    )
    for process in start(run, world_size=2):
        process.communicate(timeout=120)
        assert process.returncode == 1
    errors = [run.events(rank, "error")[0] for rank in range(2)]
    assert {(error["type"], error["message"]) for error in errors} == {("NonFiniteLossError", "loss is NaN at step 12")}
    assert run.steps(0)[-1]["step"] == run.steps(1)[-1]["step"], "one went on alone"
    (warning,) = (event for event in run.events(1, "message") if event["level"] == "warning")
    assert warning["text"] == "loss is NaN at step 12"
    said = next(event["nonfinite"] for event in run.steps(1) if "nonfinite" in event)
    assert (said["step"], said["what"]) == (12, "NaN")
    assert not (run.folder / "model_final.pt").exists()
