from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import InputError
from engine.core.snapshot_rule import SnapshotRule, differing_keys, parse_rule
from engine.snapshots import (
    SHARED_PART,
    choose_snapshot,
    list_snapshots,
    part_of,
    prune_snapshots,
    verify,
    write_manifest,
    write_part,
)
from engine.store import RunPaths

CONFIG = {"model": "mlp", "optimizer": {"lr": 0.1}}


def write(paths: RunPaths, num_steps: int, *, world_size: int = 2, has_manifest: bool = True) -> Path:
    folder = paths.snapshot(num_steps)
    names = [SHARED_PART, *(part_of(rank) for rank in range(world_size))]
    parts = {name: write_part(folder, name, lambda file, name=name: file.write(name.encode() * 10)) for name in names}
    if has_manifest:
        write_manifest(folder, {"num_steps": num_steps, "world_size": world_size, "config": CONFIG, "parts": parts})
    return folder


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    run = RunPaths(tmp_path / "run")
    run.root.mkdir()  # the parts of a snapshot never bring back a run's folder that was deleted
    return run


def test_the_newest_whole_snapshot_is_chosen(paths: RunPaths) -> None:
    write(paths, 10)
    write(paths, 9)
    write(paths, 20, has_manifest=False)
    assert [info.num_steps for info in list_snapshots(paths)] == [10, 9]
    choice = choose_snapshot(paths, CONFIG)
    assert choice.info is not None
    assert (choice.info.num_steps, choice.info.world_size, choice.messages) == (10, 2, ())


def test_without_a_snapshot_one_begins_anew(paths: RunPaths) -> None:
    assert choose_snapshot(paths, CONFIG).info is None


def test_one_flipped_bit_is_found_and_the_one_before_is_taken(paths: RunPaths) -> None:
    write(paths, 10)
    part = write(paths, 20) / part_of(1)
    content = bytearray(part.read_bytes())
    content[7] ^= 1
    part.write_bytes(content)
    choice = choose_snapshot(paths, CONFIG)
    assert choice.info is not None
    assert choice.info.num_steps == 10
    assert choice.messages == ("the snapshot of step 20 is skipped: rank1.pt is not what was written",)


@pytest.mark.parametrize("name", [SHARED_PART, part_of(0), part_of(1)])
@pytest.mark.parametrize("fault", ["gone", "shorter", "longer"])
def test_a_part_that_is_gone_or_has_another_size_does_not_count(paths: RunPaths, name: str, fault: str) -> None:
    part = write(paths, 10) / name
    content = part.read_bytes()
    part.unlink() if fault == "gone" else part.write_bytes(content[:-1] if fault == "shorter" else content + b"x")
    assert list_snapshots(paths) == []


@given(st.binary(max_size=200))
def test_a_manifest_of_garbage_does_not_count(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(Path(folder))
        (write(paths, 10) / "manifest.json").write_bytes(content)
        assert list_snapshots(paths) == []


@pytest.mark.parametrize(
    "change",
    [
        {"num_steps": 11}, {"num_steps": -1}, {"world_size": 0}, {"world_size": 3}, {"world_size": "2"}, {"parts": {}},
        {"parts": []}, {"num_steps": None},
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_fit_its_folder_does_not_count(paths: RunPaths, change: dict[str, object]) -> None:
    manifest = write(paths, 10) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    assert list_snapshots(paths) == []


def test_a_part_that_leads_out_of_the_folder_does_not_count(paths: RunPaths) -> None:
    manifest = write(paths, 10) / "manifest.json"
    value = json.loads(manifest.read_text())
    value["parts"]["../../secret"] = {"sha256": "", "bytes": 0}
    manifest.write_text(json.dumps(value))
    assert list_snapshots(paths) == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("gone", "rank1.pt cannot be read: No such file or directory"),
        ("longer", "rank1.pt has 81 bytes, not the 80 that were written"),
        ("garbage", "manifest.json cannot be read"),
        ("another's", "manifest.json is not that of this snapshot"),
        ("link", "its folder is a link"),
        ("outside", "manifest.json leads out of the folder"),
        ("rank", "manifest.json does not name the part of every rank"),
    ],
)
def test_every_damaged_snapshot_is_named_and_the_one_before_is_taken(paths: RunPaths, fault: str, says: str) -> None:
    older, newer = write(paths, 10), write(paths, 20)
    manifest = json.loads((newer / "manifest.json").read_text())
    if fault == "gone":
        (newer / part_of(1)).unlink()
    elif fault == "longer":
        (newer / part_of(1)).write_bytes(b"x" * 81)
    elif fault == "garbage":
        (newer / "manifest.json").write_bytes(b"{")
    elif fault == "another's":
        (newer / "manifest.json").write_bytes((older / "manifest.json").read_bytes())
    elif fault == "link":
        newer.rename(paths.root / "elsewhere")
        newer.symlink_to(paths.root / "elsewhere")
    elif fault == "outside":
        write_manifest(newer, manifest | {"parts": manifest["parts"] | {"../rank1.pt": {}}})
    else:
        write_manifest(newer, manifest | {"world_size": 3})
    choice = choose_snapshot(paths, CONFIG)
    assert choice.info is not None
    assert choice.info.num_steps == 10
    assert choice.messages == (f"the snapshot of step 20 is skipped: {says}",)


def test_a_snapshot_of_another_config_is_refused_with_what_differs(paths: RunPaths) -> None:
    write(paths, 10)
    with pytest.raises(InputError, match=r"step 10 was made with optimizer.lr = 0.1, here 0.2: delete .*snapshots"):
        choose_snapshot(paths, {"model": "mlp", "optimizer": {"lr": 0.2}})


def test_only_the_newest_stay_and_beginnings_of_others_go(paths: RunPaths) -> None:
    for num_steps in (10, 20, 30):
        write(paths, num_steps)
    write(paths, 25, has_manifest=False)
    prune_snapshots(paths, 2)
    assert sorted(path.name for path in paths.snapshots.iterdir()) == ["000000000020", "000000000030"]
    prune_snapshots(paths, 0)
    assert not paths.snapshots.exists()


def test_a_part_that_cannot_be_written_leaves_nothing_of_itself(paths: RunPaths) -> None:
    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_part(paths.snapshot(10), SHARED_PART, fail)
    assert list(paths.snapshot(10).iterdir()) == []


def test_files_of_a_snapshot_are_private(paths: RunPaths) -> None:
    folder = write(paths, 10)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_whoever_compares_checksums_can_go_on_speaking(paths: RunPaths) -> None:
    write(paths, 10)
    spoken: list[None] = []
    (info,) = list_snapshots(paths)
    assert verify(info, on_chunk=lambda: spoken.append(None)) == ""
    assert len(spoken) == 3


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("never", SnapshotRule(is_never=True)),
        ("epoch", SnapshotRule(epochs=1)),
        ("5 epochs", SnapshotRule(epochs=5)),
        ("200 steps", SnapshotRule(steps=200)),
        ("1 step", SnapshotRule(steps=1)),
        ("30 s", SnapshotRule(seconds=30.0)),
        ("90seconds", SnapshotRule(seconds=90.0)),
        ("1.5 min", SnapshotRule(seconds=90.0)),
        ("2 h", SnapshotRule(seconds=7200.0)),
    ],
)
def test_an_interval_is_read(text: str, rule: SnapshotRule) -> None:
    assert parse_rule(text) == rule


@given(st.text(max_size=20))
def test_whatever_is_no_interval_raises_nothing_but_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        rule = parse_rule(text)
        assert rule.is_never or [rule.epochs, rule.steps, rule.seconds].count(None) == 2


def test_what_differs_is_named_by_its_dotted_key() -> None:
    ours, theirs = {"a": 1, "b": {"c": "x"}}, {"a": 1, "b": {"c": "y", "d": 2}}
    assert differing_keys(ours, theirs) == ['b.c = "y", here "x"', "b.d = 2, here the default"]
