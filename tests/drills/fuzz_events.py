"""``python -m tests.drills.fuzz_events``: mutated event lines through everything that reads event lines.

The lines of a run of two ranks and two attempts are mutated, byte by byte and value by value, and written in pieces
while they are followed: by the tail and the fold of the supervisor, the replay of the screen and its cache, the
logbook, the tables and now and then the whole report. Nothing may raise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from engine import replay
from engine.logbook.book import Logbook
from engine.logbook.files import ALL_STREAMS
from engine.logbook.page import LogSelection
from engine.replay import RunReplay
from engine.report.collect import read_experiment
from engine.report.system_series import system_rows
from engine.report.tables import export_events, write_tables
from engine.report.write import write_report
from engine.store import ResultsPaths, RunPaths, write_json
from engine.tail import RunFollower, read_events
from tests.drills.alarm import alarm
from tests.drills.cases import EXPERIMENT, make_toml, plan_run
from tests.drills.mutation import mutate_bytes
from tui.run_row import figures_of_summary

__all__ = ["fuzz", "main"]

STEPS = 40
REPORT_EVERY = 200
"""A report with its pictures takes seconds; so many runs go by without one."""
SLOW_S = 120
_ODD: Sequence[Any] = (
    None, True, False, "", "x", 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, -1e308, float("nan"),
    float("inf"), float("-inf"), [], {}, [[]], [None], {"a": {"b": {"c": 1}}}, {"": ""}, "\x1b[31mred", "\u202e",
    "9" * 400, ["a", 1, None], {"0": 1}, {"forward": "x"}, [["F", 0, 1.0, 2.0]], "../../x", 1e-320, "nan", "step",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; return 1 where a reader met a line as it must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.fuzz_events", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200_000, help="mutated lines")
    options = parser.parse_args(arguments)
    begun_s = time.monotonic()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # every file is flushed: a disk would be the slow part
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        counts, failures = fuzz(options.seed, options.count, Path(folder), tell=print)
    print(f"{dict(counts)} in {time.monotonic() - begun_s:.0f} s; {len(failures)} failures")
    return 1 if failures else 0


def fuzz(
    seed: int,
    count: int,
    folder: Path,
    *,
    tell: Callable[[str], object] = lambda _: None,
    report_every: int = REPORT_EVERY,
    keep: Path | None = None,
) -> tuple[Counter[str], list[str]]:
    """Have so many mutated lines read.

    Args:
        seed: decides all.
        count: mutated lines, at least; those that are left as they were come on top.
        folder: where the runs are written.
        tell: is told of every failure at once.
        report_every: runs until one is reported on.
        keep: where the runs stay that went wrong.

    Returns:
        What was read; what went wrong, a text each.
    """
    counts: Counter[str] = Counter()
    failures: list[str] = []
    (folder / "experiments.toml").write_text(make_toml("ddp"))
    spec, plan = plan_run(folder / "experiments.toml")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    while counts["mutated lines"] < count:
        number = counts["runs"]
        made = _Made(folder / "results", f"{seed} {number}", spec.model_dump(mode="json"), plan)
        with alarm(SLOW_S):
            try:
                _read_all(made, has_report=number % report_every == 0)
            except Exception:  # noqa: BLE001 - this is what is looked for
                failures.append(f"seed {seed}, run {number}: {traceback.format_exc()}")
                tell(failures[-1])
                if keep is not None:
                    shutil.copytree(folder / "results", keep / f"{seed}-{number}")
        counts += Counter(
            {"runs": 1, "mutated lines": made.num_mutated, "other lines": made.num_lines - made.num_mutated}
        )
    return counts, failures


class _Made:
    """One run whose lines are written piece by piece."""

    def __init__(self, root: Path, name: str, spec: dict[str, Any], plan: dict[str, object]) -> None:
        shutil.rmtree(root, ignore_errors=True)
        self.random = random.Random(f"events {name}")
        self.results = ResultsPaths(root)
        self.paths: RunPaths = self.results.run(EXPERIMENT, spec["id"])
        self.spec = spec
        self.num_lines = self.num_mutated = 0
        write_json(self.results.experiment(EXPERIMENT).plan, dict(plan))
        write_json(self.paths.run, spec)
        write_json(self.paths.status, {"state": "stopped", "reason": "", "attempt": 2, "ended_s": 1.0})

    def pieces(self) -> Iterator[None]:
        """Write; stop after each piece for those who read."""
        resumed_at = self.random.choice([0, 10, 25])
        for attempt in (1, 2):
            files = self.paths.attempt(attempt)
            write_json(files.attempt, {"attempt": attempt, "resumed_from_step": resumed_at if attempt == 2 else 0})
            begun_at = resumed_at if attempt == 2 else 0
            streams = [(files.events(rank), _rank_lines(rank, attempt, begun_at)) for rank in (0, 1)]
            streams.append((files.node_events(0), _node_lines(attempt)))
            for piece in range(3):
                for path, lines in streams:
                    size = len(lines) // 3 + 1
                    self._write(path, lines[piece * size : (piece + 1) * size])
                self._disturb([path for path, _ in streams])
                yield

    def _write(self, path: Path, events: Sequence[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = [json.dumps(event, separators=(",", ":")).encode() for event in events]
        lines = [self._mutated(event, line, whole) for event, line in zip(events, whole, strict=True)]
        content = b"\n".join(lines) + b"\n"
        with path.open("ab") as file:
            file.write(content[: -self.random.randint(1, 40)] if self.random.random() < 0.1 else content)

    def _mutated(self, event: dict[str, Any], line: bytes, others: Sequence[bytes]) -> bytes:
        self.num_lines += 1
        if self.random.random() < 0.25:
            return line
        self.num_mutated += 1
        if self.random.random() < 0.35:
            return mutate_bytes(line, self.random, others)
        for _ in range(self.random.randint(1, 3)):
            _set_odd(event, self.random)
        return json.dumps(event, separators=(",", ":")).encode()

    def _disturb(self, paths: Sequence[Path]) -> None:
        """Now and then a file is cut or replaced while it is followed."""
        if self.random.random() < 0.1:
            path = self.random.choice(paths)
            os.truncate(path, self.random.randint(0, path.stat().st_size))
        if self.random.random() < 0.05:
            path = self.random.choice(paths)
            path.write_bytes(path.read_bytes()[::-1])


def _read_all(made: _Made, *, has_report: bool) -> None:
    cache = made.results.root / "cache"
    book = Logbook(made.paths, LogSelection(streams=ALL_STREAMS))
    with _small_cache():
        following = RunReplay(made.paths, made.spec, cache_dir=cache)
        follower = RunFollower(made.paths)
        for _ in made.pieces():
            _poll(following.poll, book.poll)
            follower.poll()
            _look_at(following)
            _look_at_page(book)
        following.close()
        again = RunReplay(made.paths, made.spec, cache_dir=cache)
        _poll(again.poll)
    _look_at(again)
    _read_tables(made, has_report=has_report)


def _read_tables(made: _Made, *, has_report: bool) -> None:
    summary = RunFollower(made.paths).summary({"state": "stopped", "reason": ""})
    write_json(made.paths.summary, summary)
    figures_of_summary(json.loads(made.paths.summary.read_bytes()), made.spec["config"])
    for attempt in made.paths.attempts():
        for path in (attempt.events(0), attempt.events(1), attempt.node_events(0)):
            for _ in read_events(path):
                pass
    data = read_experiment(made.results.root, EXPERIMENT)
    export_events(data, io.StringIO())
    for run in data.runs:
        list(system_rows(run))
    write_tables(data)
    if has_report:
        write_report(made.results.root, EXPERIMENT)


def _poll(*polls: Callable[[], bool]) -> None:
    for poll in polls:
        while poll():
            pass


def _look_at(following: RunReplay) -> None:
    for name in following.curves.names():
        following.curves.curve(name)
    following.curves.progress()


def _look_at_page(book: Logbook) -> None:
    for position in range(0, len(book.page), 7):
        book.page.line(position)


@contextmanager
def _small_cache() -> Iterator[None]:
    """Few lines are cached too."""
    before, replay.MIN_CACHED_LINES = replay.MIN_CACHED_LINES, 10
    try:
        yield
    finally:
        replay.MIN_CACHED_LINES = before


def _set_odd(event: dict[str, Any], random_: random.Random) -> None:
    """Give a key another value, take it out, or add one; in a nested map sometimes."""
    nested = [value for value in event.values() if isinstance(value, dict) and value]
    target = random_.choice(nested) if nested and random_.random() < 0.3 else event
    key = random_.choice([*target, "rank", "attempt", "step", "kind", "x"])
    if random_.random() < 0.2:
        target.pop(key, None)
    else:
        target[key] = deepcopy(random_.choice(_ODD))


def _rank_lines(rank: int, attempt: int, begun_at: int) -> list[dict[str, Any]]:
    """What a rank writes from ``begun_at`` on: steps, epochs, evaluations, snapshots, a user's figures."""
    lines: list[dict[str, Any]] = []

    def say(kind: str, **fields: Any) -> None:
        time_s = 1000.0 * attempt + len(lines)
        common = {"kind": kind, "time_s": time_s, "mono_s": time_s, "seq": len(lines), "rank": rank, "attempt": attempt}
        lines.append({**common, **fields})

    say(
        "run_start", world_size=2, local_rank=rank, node_rank=0, nodes=1, num_devices=2, host="here", pid=7,
        device="cpu", backend="gloo", torch="2", num_threads=1, cores=[rank], role="rank", strategy="ddp",
        description="two ranks", num_parameters=10, train_samples=320, validation_samples=0, test_samples=64,
        num_classes=10, input_shape=[1, 8, 8], global_batch_size=32, local_batch_size=16, steps_per_epoch=10,
        num_steps=STEPS, num_epochs=4, lr=0.1, seed=0, data_note="", startup_s=1.0, resumed_from_step=begun_at,
    )  # fmt: skip
    for step in range(begun_at, STEPS):
        epoch = step // 10
        if step % 10 == 0:
            say("epoch_start", epoch=epoch, step=step)
        phases = {"data": 0.1, "forward": 0.2, "backward": 0.1, "comm": 0.05, "optimizer": 0.05}
        say(
            "step", epoch=epoch, step_first=step, step=step, num_steps=1, samples=16, correct=9, loss=1.0, loss_min=0.9,
            loss_max=1.1, loss_last=1.0, lr=0.1, window_s=0.5, phases=phases,
            boundary={"step_s": 0.5, "phases": dict(phases), "spans": [["F", 0, 1.0, 2.0]]},
        )  # fmt: skip
        if step % 7 == 0:
            say("metric", samples=16, own=0.5, other="x")
            say("message", level="warning", text="something")
        if step % 10 == 9:
            say("snapshot", epoch=epoch, step=step, path="x", snapshot_s=0.1, is_kept=True)
            say(
                "eval",
                epoch=epoch,
                step=step,
                split="test",
                samples=64,
                loss=0.5,
                accuracy=0.5,
                eval_s=0.1,
                metrics={"f1": 1},
            )
            say(
                "epoch_stop",
                epoch=epoch,
                step=step,
                num_steps=10,
                train_s=5.0,
                epoch_s=5.2,
                samples=160,
                loss=1.0,
                correct=90,
            )
    say("error", type="ValueError", message="no", file="x.py", line=1, traceback="...", is_peer_error=False)
    say(
        "run_stop", reason="epochs", epoch=3, step=39, num_steps=STEPS, train_s=20.0, eval_s=0.4, snapshot_s=0.4,
        real_s=30.0, user_s=20.0, system_s=1.0, peak_memory_bytes=10**8, peak_device_memory_bytes=None,
    )  # fmt: skip
    return lines


def _node_lines(attempt: int) -> list[dict[str, Any]]:
    return [
        {
            "kind": "system", "time_s": 1000.0 * attempt + second, "mono_s": float(second), "seq": second, "rank": None,
            "attempt": attempt, "node_rank": 0, "cpu_percent": 50.0, "memory_used_bytes": 10**9,
            "memory_total_bytes": 2 * 10**9, "net_sent_bytes": second, "net_received_bytes": second, "load_1m": 0.5,
            "ranks": {"0": {"cpu_percent": 99.0, "rss_bytes": 10**8}, "1": {"cpu_percent": 98.0, "rss_bytes": 10**8}},
            "gpus": [{"index": 0, "util_percent": 1, "memory_used_bytes": 1, "memory_total_bytes": 2}],
            "log_bytes": {"0": [second, 0], "node": [second]},
        }
        for second in range(20)
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
