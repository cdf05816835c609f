import json
import os
import signal
import time

import pytest
import torch
from worker_runs import write_run

from engine.worker.__main__ import main

LONG = {"epochs": 10_000, "evaluate_every": 0}


def wait_for_steps(run, world_size, count=20):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            if all(len(run.steps(rank)) >= count for rank in range(world_size)):
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("the ranks do not train")


def test_a_run_says_how_it_began_and_ended_and_leaves_its_model(tmp_path, train):
    run = write_run(tmp_path / "run", epochs=1)
    beats = tmp_path / "beats"
    beats.mkdir()
    train(run, DDPTUI_BEATS=str(beats))
    kinds = [event["kind"] for event in run.events()]
    assert (kinds[0], kinds[1], kinds[-2], kinds[-1]) == ("run_start", "epoch_start", "epoch_stop", "run_stop")
    assert [event["seq"] for event in run.events()] == list(range(len(kinds)))
    (start,) = run.events(kind="run_start")
    assert start["torch"] == torch.__version__
    assert 0 < start["startup_s"] < 300
    assert start["num_threads"] == 1
    assert start["train_samples"] == 512
    stop = run.stop()
    assert stop["reason"] == "epochs"
    assert stop["real_s"] >= start["startup_s"]
    assert stop["user_s"] > 0
    assert stop["peak_memory_bytes"] > 50 * 2**20
    assert stop["peak_device_memory_bytes"] is None
    state = torch.load(run.folder / "model_final.pt", weights_only=True)
    assert sum(value.numel() for value in state.values()) == start["num_parameters"]
    assert (beats / "rank0").read_bytes()[24:56].rstrip(b"\0") == b"done"


def test_what_the_user_got_wrong_is_told_in_events_error_file_and_exit_code(tmp_path, start):
    run = write_run(tmp_path / "run", global_batch_size=1024)
    (process,) = start(run)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (event,) = run.events(kind="error")
    assert event["type"] == "InputError"
    assert event["is_peer_error"] is False
    assert "1024" in event["message"]
    assert event["message"] in errors
    record = json.loads((run.folder / "attempts/manual/errors/rank0.json").read_text())
    assert record["message"] == event["message"]
    assert record["time_s"] == pytest.approx(time.time(), abs=120)
    assert not (run.folder / "model_final.pt").exists()


def test_the_rank_that_lost_its_peer_blames_the_peer(tmp_path, start):
    run = write_run(tmp_path / "run", strategy="ddp", world_size=2, **LONG)
    first, second = start(run, world_size=2)
    wait_for_steps(run, 2)
    second.kill()
    first.communicate(timeout=60)
    assert first.returncode == 1
    (event,) = run.events(0, "error")
    assert event["is_peer_error"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_ranks_asked_to_leave_do_so_together_after_a_whole_step(tmp_path, start, number):
    run = write_run(tmp_path / "run", strategy="ddp", world_size=2, **LONG)
    processes = start(run, world_size=2)
    wait_for_steps(run, 2)
    for process in processes:
        process.send_signal(number)
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 75, errors
    stops = [run.stop(rank) for rank in (0, 1)]
    assert [stop["reason"] for stop in stops] == ["stopped", "stopped"]
    assert stops[0]["num_steps"] == stops[1]["num_steps"]
    assert not (run.folder / "model_final.pt").exists(), "an unfinished model is not the final one"
    assert not (run.folder / "snapshots").exists(), "by hand there is no supervisor that would go on from them"


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="macOS has no real-time signals")
def test_a_model_that_cannot_be_saved_is_told_and_fails_nothing(tmp_path, train):
    run = write_run(tmp_path / "run", epochs=1)
    (run.folder / "model_final.pt").mkdir()
    train(run)
    (message,) = run.events(kind="message")
    assert message["level"] == "warning"
    assert message["text"] == "model_final.pt could not be saved: Is a directory"
    assert run.stop()["reason"] == "epochs"
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "attempts",
        "model_best.pt",
        "model_final.pt",
        "run.json",
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_training_goes_on_when_no_event_can_be_written(tmp_path, train):
    run = write_run(tmp_path / "run", epochs=1)
    events = run.folder / "attempts/manual/events"
    events.mkdir(parents=True)
    (events / "rank0.jsonl").symlink_to("/dev/full")
    train(run)
    assert (run.folder / "model_final.pt").exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_a_wrong_call_says_how_to_call(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: python -m engine.worker" in capsys.readouterr().err
