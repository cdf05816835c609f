"""What a program says by lines of its own or by TensorBoard; files only, no process."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from node_jobs import make_spec

from engine.core.curves import RunCurves
from engine.core.metrics import RunFold
from engine.relay import Relay
from engine.store import AttemptPaths
from engine.tail import read_events
from engine.tensorboard_files import EventFile, Scalar, _masked_crc


class Said:
    """An attempt whose program speaks by itself."""

    def __init__(self, folder: Path, world_size: int = 1, **config: Any) -> None:
        self.folder = folder
        self.files = AttemptPaths(folder / "run" / "attempts" / "1")
        (self.files.root / "said").mkdir(parents=True)
        self.started_s = time.time() - 100
        self.relay = Relay(
            make_spec(folder, script="train.py", **config),
            self.files,
            ranks=range(world_size),
            node_rank=0,
            world_size=world_size,
            started_s=self.started_s,
        )

    def say(self, rank: int, *lines: object) -> None:
        with self.files.said(rank).open("a") as file:
            file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)

    def events(self, rank: int = 0) -> list[Any]:
        return list(read_events(self.files.events(rank)))


def test_lines_with_times_give_the_throughput_of_all_ranks(tmp_path: Path) -> None:
    said = Said(tmp_path, world_size=2)
    for rank in range(2):
        said.say(rank, *({"loss": 1.0, "samples": 10, "time_s": said.started_s + step * 0.5} for step in range(60)))
    said.relay.finish(time.time(), is_done=True)
    run = RunFold({})
    for rank in range(2):
        run.extend(said.events(rank))
    assert run.summary({})["throughput"]["samples_per_s"] == pytest.approx(40)
    assert [event["kind"] for event in said.events()][-1] == "run_stop"


def test_lines_without_times_are_spread_over_the_time_since_the_last_look(tmp_path: Path) -> None:
    said = Said(tmp_path)
    for look in range(1, 11):
        said.say(0, *({"samples": 5} for _ in range(20)))
        said.relay.look(said.started_s + look)
    said.relay.finish(said.started_s + 11, is_done=False)
    run = RunFold({})
    run.extend(said.events())
    assert run.summary({})["throughput"]["samples_per_s"] == pytest.approx(100, rel=0.05)


def test_garbage_half_lines_and_strange_values_do_no_harm(tmp_path: Path) -> None:
    said = Said(tmp_path)
    said.say(0, "not json\n", "[1]\n", '{"loss": NaN, "samples": 1}\n', {"kind": "run_stop", "rank": 7}, '{"acc": 0.')
    said.relay.look(time.time())
    said.say(0, "5}\n")
    said.relay.look(time.time() + 1)
    assert [event["kind"] for event in said.events()] == ["run_start", "step", "metric"]
    assert said.events()[-1]["acc"] == 0.5


def test_a_program_that_also_uses_our_function_adds_figures_only(tmp_path: Path) -> None:
    said = Said(tmp_path)
    said.files.events(0).parent.mkdir()
    said.files.events(0).write_text("")
    said.say(0, {"samples": 5, "loss": 1.0, "step": 4})
    said.relay.finish(time.time(), is_done=True)
    assert [(event["kind"], event["loss"]) for event in said.events()] == [("metric", 1.0)]


def record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", _masked_crc(head)) + data + struct.pack("<I", _masked_crc(data))


def scalar(tag: str, step: int, value: float, time_s: float) -> bytes:
    """An event as TensorBoard's own writer encodes it: wall_time, step, summary { value { tag, simple_value } }."""
    inner = b"\x0a" + bytes([len(tag)]) + tag.encode() + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(inner)]) + inner
    return record(
        b"\x09" + struct.pack("<d", time_s) + b"\x10" + bytes([step]) + b"\x2a" + bytes([len(summary)]) + summary
    )


def test_records_are_read_as_they_grow_and_those_with_a_wrong_checksum_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    records = [scalar("train/loss", step, step / 2, 100.0 + step) for step in range(4)]
    spoiled = bytearray(records[1])
    spoiled[-6] ^= 1
    content = records[0] + bytes(spoiled) + record(b"\xff\xff\xff") + records[2] + records[3]
    file = EventFile(path)
    found: list[Scalar] = []
    for end in range(0, len(content) + 1, 7):
        path.write_bytes(content[:end])
        found += file.read()
    path.write_bytes(content)
    found += file.read()
    assert [(one.tag, one.step, one.value) for one in found] == [("train/loss", step, step / 2) for step in (0, 2, 3)]
    assert file.num_garbage == 2
    with path.open("ab") as more:
        more.write(b"x" * 40)
    assert file.read() == []
    assert file.num_garbage == 3


def test_a_folder_of_tensorboard_becomes_curves_and_what_was_there_before_does_not(tmp_path: Path) -> None:
    said = Said(tmp_path, tensorboard="runs")
    now, old = tmp_path / "runs" / "now", tmp_path / "runs" / "old"
    for folder in (now, old):
        folder.mkdir(parents=True)
    (old / "events.out.tfevents.0").write_bytes(scalar("loss", 0, 9.0, said.started_s))
    os.utime(old / "events.out.tfevents.0", (1, 1))
    with (now / "events.out.tfevents.1").open("wb") as file:
        for step in range(30):
            at_s = said.started_s + step
            file.write(scalar("train/loss", step, 1.0 + step, at_s) + scalar("lr", step, 0.5, at_s))
            file.write(scalar("samples", step, 64, at_s))
    said.relay.finish(time.time(), is_done=True)
    curves, run = RunCurves({}), RunFold({})
    for event in said.events():
        curves.add(event)
        run.add(event)
    loss, lr = curves.curve("loss"), curves.curve("lr")
    assert loss is not None
    assert lr is not None
    assert list(loss.value) == [1.0 + step for step in range(30)]
    assert set(lr.value) == {0.5}
    assert run.summary({})["throughput"]["samples_per_s"] == pytest.approx(64)
    assert run.progress().step == 29


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_files_of_the_real_writer_are_read_whole(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    for step in range(300):
        value = Summary.Value(tag="val/größe", simple_value=step / 4)
        writer.add_event(Event(wall_time=50.0 + step, step=step, summary=Summary(value=[value])))
    tensor = Summary.Value(tag="as_tensor", tensor=TensorProto(dtype=1, float_val=[2.5]))
    text = Summary.Value(tag="text", tensor=TensorProto(dtype=7, string_val=[b"words"]))
    large = Summary.Value(tag="image", image=Summary.Image(encoded_image_string=b"x" * 100_000))
    writer.add_event(Event(wall_time=1.0, step=2**40, summary=Summary(value=[tensor, text])))
    writer.add_event(Event(wall_time=1.0, step=1, summary=Summary(value=[large])))
    writer.close()
    (path,) = tmp_path.iterdir()
    file = EventFile(path)
    found = file.read()
    assert [(one.tag, one.step, one.value, one.time_s) for one in found[:-1]] == [
        ("val/größe", step, step / 4, 50.0 + step) for step in range(300)
    ]
    assert found[-1] == Scalar("as_tensor", 2**40, 1.0, 2.5)
    assert file.num_garbage == 0
