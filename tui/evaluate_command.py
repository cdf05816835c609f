"""``ddptui evaluate``: test the model that a run has saved, beside what the run itself said of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.codedigest import make_code_digest
from engine.core.errors import InputError
from engine.core.fields import mapping, number, sequence, whole
from engine.core.lifecycle import stored_state
from engine.core.plan import own_targets
from engine.core.spec import RunSpec
from engine.core.state import is_active
from engine.evaluations import MODELS, add_evaluation, find_reported, read_evaluations
from engine.store import ResultsPaths, RunPaths, read_json
from engine.supervisor.launch import read_spec
from tui.check import ask_worker
from tui.output import format_duration, format_number, format_ratio, print_json, print_table, say, write_line
from tui.run_names import find_run

__all__ = ["evaluate_run"]

Split = Mapping[str, Any]

_HEADERS = ("split", "figure", "now", "in the run", "difference")


def evaluate_run(results: ResultsPaths, name: str, model: str, *, device: str | None, as_json: bool) -> int:
    """Evaluate a saved model, print what was found, and keep it in the run's folder.

    Args:
        results: where the run is.
        name: of the run.
        model: "final" or "best".
        device: "auto", "cpu" or "cuda"; None for the run's own.
        as_json: print what is kept.

    Raises:
        InputError: there is no such run or model, the model does not fit, or its data are not there.
        DdptuiError: the worker broke, or what was found cannot be kept.
    """
    run = find_run(results, name)
    spec = _read_trained(run.paths)
    path = _model_path(run.paths, model)
    read_evaluations(run.paths)  # a damaged file is told before the work, not after it
    say(f"evaluating {path.name} of {run.tag}")
    summary = read_json(run.paths.summary)
    saved = path.stat()
    answer = ask_worker(
        spec.config,
        "--evaluate",
        {
            "run": spec.model_dump(mode="json"),
            "model": str(path.absolute()),
            "device": device,
            "num_threads": _num_threads(summary),
        },
        answered_by="problem",
        timeout_s=None,  # nobody knows how long the data and the model take; Ctrl-C ends it
    )
    if answer["problem"]:
        raise InputError(f"{run.paths.run_id}: {answer['problem']}")
    record = {
        "time_s": time.time(),
        "model": model,
        "model_bytes": saved.st_size,
        "model_saved_s": saved.st_mtime,
        **{key: value for key, value in answer.items() if key != "problem"},
        "reported": find_reported(summary, model),
        "has_same_code": _has_same_code(spec),
    }
    if as_json:
        print_json({"run": run.paths.run_id, "experiment": run.experiment, **record})
    else:
        _print_record(run.tag, path, record)
    add_evaluation(run.paths, record)
    return 0


def _read_trained(paths: RunPaths) -> RunSpec:
    """What the run was. It names the interpreter that is started now: what is not ours is refused."""
    spec = read_spec(paths)
    if spec.config.script is not None:
        raise InputError(
            f"{paths.run_id} ran your program {spec.config.script}: its model is the program's own, "
            "and only the program can evaluate it"
        )
    return spec


def _model_path(paths: RunPaths, model: str) -> Path:
    files = {"final": paths.model_final, "best": paths.model_best}
    if files[model].is_file():
        return files[model]
    state = stored_state(read_json(paths.status))
    others = [other for other in MODELS if files[other].is_file()]
    if others:
        hint = f"; there is {files[others[0]].name}: --model {others[0]}"
    elif state is None or is_active(state):
        hint = " yet: the best is saved at its first evaluation, the last one at its end"
    else:
        hint = ": it ended before it saved one; `ddptui retry` runs it again"
    word = state.value if state is not None else "not begun"
    raise InputError(f"{paths.run_id} ({word}) has no {files[model].name}{hint}")


def _num_threads(summary: Mapping[str, Any] | None) -> int | None:
    """As many as the run's first rank had: sums over other numbers of threads differ in their last digits."""
    ranks = (rank for rank in sequence(summary or {}, "ranks") if isinstance(rank, dict))
    return next((number for rank in ranks if (number := whole(rank, "num_threads"))), None)


def _has_same_code(spec: RunSpec) -> bool | None:
    """Whether the user's own code is as it was when the run was planned; None where the run has none."""
    targets = own_targets(spec.config)
    if not targets or not spec.code_digest:
        return None
    try:
        return make_code_digest(spec.project_dir)(targets) == spec.code_digest
    except InputError:
        return False


def _print_record(tag: str, path: Path, record: Mapping[str, Any]) -> None:
    reported = mapping(record, "reported")
    splits = mapping(record, "splits")
    epoch = whole(reported, "epoch")
    saved_in = f" of epoch {epoch + 1}" if epoch is not None else ""
    threads = record["num_threads"]
    place = record["device"] if record["device"] != "cpu" else f"cpu, {threads} thread{'s' if threads != 1 else ''}"
    write_line(f"{tag}: {path.name}{saved_in}, on {place}, torch {record['torch']}")
    if record["note"]:
        write_line(str(record["note"]))
    for split, found in splits.items():
        write_line(f"{split}: {found['samples']:,} samples in {format_duration(found['eval_s'])}")
    write_line()
    rows = [row for split, found in splits.items() for row in _rows(split, found, reported)]
    print_table(_HEADERS, rows, right=(2, 3, 4))
    if not splits:
        say("no samples are held out: there was nothing to evaluate on")
    elif not reported:
        say("n/a: the run has not evaluated this model, or is not over")
    if record["has_same_code"] is False:
        say("your code is not what it was when the run was planned")
    sys.stdout.flush()


def _rows(split: str, found: Split, reported: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    said = mapping(mapping(reported, "splits"), split)
    pairs = {name: (number(found, name), number(said, name)) for name in ("loss", "accuracy")}
    metrics, said_metrics = mapping(found, "metrics"), mapping(said, "metrics")
    pairs |= {name: (number(metrics, name), number(said_metrics, name)) for name in metrics}
    for name, (now, then) in pairs.items():
        if name == "accuracy" and now is None and then is None:
            continue  # the run's metrics leave it out
        difference = "n/a" if now is None or then is None else f"{now - then:+.2g}" if now != then else "0"
        yield split, name, _show(name, now), _show(name, then), difference


def _show(name: str, value: float | None) -> str:
    is_ratio = name == "accuracy" or (name.startswith("top") and name[3:].isdigit())
    return format_ratio(value) if is_ratio else format_number(value, 6)
