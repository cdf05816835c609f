"""What ``show`` prints: all that is known of one run."""

from __future__ import annotations

import json
from typing import Any

from engine.core.dossier import describe_dossier
from engine.core.fields import mapping, sequence
from engine.core.own_script import TRAINING_KEYS
from engine.store import ResultsPaths, read_json
from tui.failure_detail import describe_failure, failure_lines
from tui.output import (
    format_bytes,
    format_duration,
    format_number,
    format_ratio,
    format_when,
    print_json,
    strip_escapes,
    write_line,
)
from tui.run_names import NamedRun, find_run
from tui.run_row import RunReader
from tui.view.latency_words import latency_facts
from tui.view.run_row import RunRow

__all__ = ["show_run", "write_dossier"]


def show_run(results: ResultsPaths, name: str, *, as_json: bool) -> int:
    """Print all that is known of one run."""
    run = find_run(results, name)
    view = RunReader(run).read()
    spec = read_json(run.paths.run) or {}
    summary = read_json(run.paths.summary)
    dossier = _newest_dossier(run)
    if as_json:
        failure, files = describe_failure(run.paths), _files(run)
        print_json(
            {**view.to_json(), "spec": spec, "summary": summary, "failure": failure, "files": files, "dossier": dossier}
        )
        return 0
    for key, value in _facts(view, spec, summary):
        write_line(f"{key:<22}{strip_escapes(value)}")
    failure = describe_failure(run.paths)
    for line in ["", *failure_lines(failure)] if failure is not None else []:
        write_line(line)
    write_line()
    for key, value in _flat(_meant(mapping(spec, "config"))):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        write_line(f"  {key:<30}{strip_escapes(text)}")
    write_line()
    for key, value in _files(run).items():
        write_line(f"{key:<22}{value}")
    if dossier is not None:
        write_line()
        write_dossier(dossier)
    return 0


def write_dossier(dossier: dict[str, Any]) -> None:
    """Print what was seen of the ranks of a run that hung."""
    for line in describe_dossier(dossier):
        write_line(strip_escapes(line))


def _newest_dossier(run: NamedRun) -> dict[str, Any] | None:
    """Of the newest attempt that has hung."""
    found = (read_json(attempt.dossier) for attempt in reversed(run.paths.attempts()))
    return next((dossier for dossier in found if dossier is not None), None)


def _facts(view: RunRow, spec: dict[str, Any], summary: dict[str, Any] | None) -> list[tuple[str, str]]:
    done = "n/a" if view.progress is None else f"{100 * view.progress:.0f}%"
    facts = [
        ("run", view.tag),
        ("state", f"{view.state}{': ' + view.reason if view.reason else ''}"),
        ("attempt", format_number(view.attempt)),
        ("axes", ", ".join(f"{key} = {value}" for key, value in mapping(spec, "axes").items()) or "-"),
        ("baseline", f"{spec.get('baseline') or 'n/a'} ({spec.get('baseline_reason', '')})"),
        ("progress", f"{done}, epoch {_count(view.epoch, view.num_epochs)}, step {_count(view.step, view.num_steps)}"),
        ("loss", format_number(view.loss)),
        ("samples_per_s", format_number(view.samples_per_s)),
        ("test_accuracy", format_ratio(view.test_accuracy)),
        ("elapsed", format_duration(view.elapsed_s)),
        ("started", format_when(view.started_s)),
        ("ended", format_when(view.ended_s)),
    ]
    summary = summary or {}
    for rank in (item for item in sequence(summary, "ranks") if isinstance(item, dict)):
        peak = format_bytes(rank.get("peak_memory_bytes"))
        cores = rank.get("cores")
        facts.append((f"rank {rank.get('rank')}", f"host {rank.get('host')}, cores {cores}, peak memory {peak}"))
    if mapping(spec, "config").get("measure_latency") is True:
        facts += latency_facts(mapping(summary, "latency"))
    facts += [("confound", str(line)) for line in sequence(summary, "confounds")]
    return facts


def _count(done: int | None, total: int | None) -> str:
    return f"{'n/a' if done is None else done + 1}{'' if total is None else f'/{total}'}"


def _meant(config: dict[str, Any]) -> dict[str, Any]:
    """Of a script only what ddptui does with it: keys of ddptui's own training say nothing about it."""
    return {key: value for key, value in config.items() if key not in TRAINING_KEYS or not config.get("script")}


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat += _flat(item, f"{prefix}{key}.")
        elif item not in (None, {}, []):
            flat.append((f"{prefix}{key}", item))
    return flat


def _files(run: NamedRun) -> dict[str, str]:
    """The files of the run that are there, by what they are for."""
    attempts = run.paths.attempts()
    named = {"folder": run.paths.root, "command": run.paths.command, "model": run.paths.model_final}
    named["evaluations"] = run.paths.evaluations
    if attempts:
        named["logs"] = attempts[-1].out(0).parent
        named["node log"] = attempts[-1].node_log(0)
        named["dossier"] = next(
            (a.dossier_text for a in reversed(attempts) if a.dossier.exists()), attempts[-1].dossier
        )
    return {key: str(path) for key, path in named.items() if path.exists()}
