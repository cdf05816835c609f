"""The whole of a failure: how every rank ended, the traceback of each that raised, the last lines of its stderr."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.core.fields import mapping, number, text, whole
from engine.core.lifecycle import stored_state
from engine.core.state import RunState
from engine.overview import num_nodes
from engine.store import AttemptPaths, RunPaths, read_json
from tui.output import format_when, strip_escapes, table_lines

__all__ = ["describe_failure", "failure_lines"]

_NUM_LAST_LINES = 12
_TAIL_BYTES = 16384
_MAX_TRACEBACKS = 3
_RANK = re.compile(r"\d{1,9}")


def describe_failure(paths: RunPaths) -> dict[str, Any] | None:
    """Return what the newest attempt says of its failure, None where the run has not failed.

    Returns:
        ``attempt``; ``ranks``: by rank ``exit_code``, ``signal``, ``error`` (as the rank wrote it) and ``last_lines``
        of its stderr.
    """
    attempts = paths.attempts()
    if not attempts or stored_state(read_json(paths.status)) not in (RunState.FAILED, RunState.LOST):
        return None
    attempt = attempts[-1]
    exits = _exits(attempt, num_nodes(read_json(paths.run) or {}))
    world_size = min(whole(read_json(attempt.attempt) or {}, "world_size") or len(exits), 4096)
    ranks = {
        str(rank): {
            "exit_code": whole(exits.get(rank, {}), "exit_code"),
            "signal": text(exits.get(rank, {}), "signal"),
            "error": read_json(attempt.error(rank)),
            "last_lines": _last_lines(attempt.err(rank)),
        }
        for rank in sorted({*range(world_size), *exits})
    }
    return {"attempt": attempt.number, "ranks": ranks}


def failure_lines(failure: Mapping[str, Any]) -> list[str]:
    """Return the lines that ``show`` prints: a table of all ranks, then the first who raised or died, in full."""
    ranks = mapping(failure, "ranks")
    cells = [_cells(rank, fields) for rank, fields in ranks.items()]
    lines = [f"how the ranks of attempt {failure.get('attempt')} ended"]
    lines += [f"  {line}" for line in table_lines(("rank", "exit", "error", "at", "where"), cells, right=(0,))]
    said = [words for rank, fields in sorted(ranks.items(), key=_blame) if (words := _whole(rank, fields))]
    for words in said[:_MAX_TRACEBACKS]:
        lines += words
    return [strip_escapes(line) for line in lines]


def _cells(rank: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    error = mapping(fields, "error")
    code, signal = whole(fields, "exit_code"), text(fields, "signal")
    how = signal or ("n/a" if code is None else str(code))
    kind = (text(error, "type") or "-") + (" (of a peer)" if error.get("is_peer_error") is True else "")
    line = whole(error, "line")
    where = f"{error.get('file')}:{line}" if line else "-"
    return rank, how, kind, format_when(number(error, "time_s")) if error else "-", where


def _blame(item: tuple[str, Mapping[str, Any]]) -> tuple[bool, bool, float]:
    """Those who died by a signal or raised of themselves first, in the order of time."""
    fields = item[1]
    error = mapping(fields, "error")
    is_peer = error.get("is_peer_error") is True
    return is_peer, not (error or text(fields, "signal")), number(error, "time_s") or 0.0


def _whole(rank: str, fields: Mapping[str, Any]) -> list[str]:
    trace = text(mapping(fields, "error"), "traceback")
    if trace:
        return ["", f"rank {rank}, its traceback", *(f"  {line}" for line in trace.splitlines())]
    last = fields.get("last_lines")
    if not isinstance(last, list) or not last:
        return []
    return ["", f"rank {rank}, the last lines of its stderr", *(f"  {line}" for line in last)]


def _exits(attempt: AttemptPaths, nodes: int) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for node_rank in range(nodes):
        ranks = mapping(read_json(attempt.exit(node_rank)) or {}, "ranks")
        found |= {
            int(rank): fields for rank, fields in ranks.items() if _RANK.fullmatch(rank) and isinstance(fields, dict)
        }
    return found


def _last_lines(path: Path) -> list[str]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a stranger may have put a pipe there
        with os.fdopen(fd, "rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            return file.read(_TAIL_BYTES).decode(errors="replace").splitlines()[-_NUM_LAST_LINES:]
    except OSError:
        return []
