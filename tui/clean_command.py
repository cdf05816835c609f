"""What ``clean`` does: list what dead supervisors left, ask, end the processes, remove the files, say what stayed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from engine.core.wording import count
from engine.leftovers import find_leftovers, remove_leftover
from engine.store import ResultsPaths
from engine.strays import StrayProcess, StrayRun, describe_lock, end_strays, find_strays
from tui.output import print_json, say, write_line

__all__ = ["CleanOptions", "clean_up"]

GRACE_S = 10.0
_MAX_ROUNDS = 3
"""A process may have started another one between the look and its end."""


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """What was asked for.

    Attributes:
        is_confirmed: end and remove without asking.
        is_dry_run: only list.
        with_adoptable: end runs too that the next supervisor would adopt.
        as_json: one JSON document on stdout.
    """

    is_confirmed: bool = False
    is_dry_run: bool = False
    with_adoptable: bool = False
    as_json: bool = False


@dataclass(frozen=True, kw_only=True)
class _Found:
    strays: list[StrayRun]
    adoptable: list[StrayRun]
    files: list[Path]
    lock: str

    @property
    def num_processes(self) -> int:
        return sum(len(run.processes) for run in self.strays)


@dataclass(frozen=True, kw_only=True)
class _Done:
    num_ended: int
    survivors: list[StrayProcess]
    removed: list[Path]
    kept: list[str]


def clean_up(results: ResultsPaths, options: CleanOptions) -> int:
    """List, and after a yes end and remove; return 1 where something survived or could not be removed, else 0."""
    found = _look(results, with_adoptable=options.with_adoptable)
    if not options.as_json:
        _print(found)
    done = _carry_out(results, found, options) if _is_wanted(found, options) else None
    if options.as_json:
        print_json(_to_json(found, done))
    if done is None:
        if found.strays or found.files:
            say("nothing was touched; `ddptui clean --yes` ends these processes and removes these files")
        return 0
    _say_done(done)
    return 1 if done.survivors or done.kept else 0


def _look(results: ResultsPaths, *, with_adoptable: bool) -> _Found:
    runs = find_strays(results)
    return _Found(
        strays=[run for run in runs if with_adoptable or not run.is_adoptable],
        adoptable=[run for run in runs if run.is_adoptable and not with_adoptable],
        files=find_leftovers(results),
        lock=describe_lock(results),
    )


def _print(found: _Found) -> None:
    for run in found.strays:
        write_line(f"{run.name}: {run.reason}")
        for process in run.processes:
            write_line(f"  pid {process.pid}  {process.role}")
    for path in found.files:
        write_line(f"file  {path}")
    for run in found.adoptable:
        name = f"{run.name} ({count(len(run.processes), 'process', 'processes')})"
        say(f"{name}: {run.reason}; `ddptui attach` adopts it, `ddptui stop {run.name}` or --adoptable ends it")
    if found.lock:
        say(found.lock)
    if not found.strays and not found.files:
        say("nothing is left over")


def _is_wanted(found: _Found, options: CleanOptions) -> bool:
    if options.is_dry_run or not (found.strays or found.files):
        return False
    if options.is_confirmed:
        return True
    if options.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    what = [count(found.num_processes, "process", "processes")] if found.strays else []
    what += [count(len(found.files), "file or folder", "files and folders")] if found.files else []
    return typer.confirm(f"end and remove this ({', '.join(what)})?", err=True)


def _carry_out(results: ResultsPaths, found: _Found, options: CleanOptions) -> _Done:
    survivors: list[StrayProcess] = []
    runs, num_ended = found.strays, 0
    for number in range(_MAX_ROUNDS):
        if not runs:
            break
        survivors = end_strays(runs, grace_s=GRACE_S if number == 0 else 0.0)
        num_ended += sum(len(run.processes) for run in runs) - len(survivors)
        if survivors:
            break
        known = {run.name for run in found.strays}
        runs = [run for run in _look(results, with_adoptable=options.with_adoptable).strays if run.name in known]
    removed, kept = _remove(found.files)
    return _Done(num_ended=num_ended, survivors=survivors, removed=removed, kept=kept)


def _remove(files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    removed, kept = [], []
    for path in files:
        try:
            remove_leftover(path)
            removed.append(path)
        except OSError as error:
            kept.append(f"{path}: {error.strerror or error}")
    return removed, kept


def _say_done(done: _Done) -> None:
    ended = count(done.num_ended, "process", "processes")
    say(f"ended {ended}, removed {count(len(done.removed), 'file or folder', 'files and folders')}")
    for process in done.survivors:
        say(f"still alive after SIGKILL: pid {process.pid} ({process.role})")
    for line in done.kept:
        say(f"cannot be removed: {line}")


def _to_json(found: _Found, done: _Done | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "strays": [asdict(run) for run in found.strays],
        "adoptable": [asdict(run) for run in found.adoptable],
        "files": [str(path) for path in found.files],
        "lock": found.lock,
        "done": None,
    }
    if done is not None:
        value["done"] = {
            "num_ended": done.num_ended,
            "survivors": [asdict(process) for process in done.survivors],
            "removed": [str(path) for path in done.removed],
            "kept": done.kept,
        }
    return value
