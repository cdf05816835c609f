"""The figures of ranks and machines as cells and words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tui.output import UNKNOWN, format_bytes, format_duration, format_number
from tui.view.machine_rows import MachineRow
from tui.view.rank_map import format_ms
from tui.view.rank_rows import RankRow
from tui.view.rank_view import RanksView
from tui.view.table import Cell, Column, Pieces, Row

__all__ = ["export_columns", "export_rows", "machine_pieces", "rank_columns", "rank_table_rows"]

_DROPPED = {"forward": 2, "backward": 3, "comm": 2, "bubble": 2, "data": 6, "optimizer": 7, "other": 8}
"""Which phases give way first on a narrow screen."""

SPARKS = "▁▂▃▄▅▆▇█"
ASCII_SPARKS = "_.-=+*#@"

END_S = 2.0
"""Ranks whose last lines are nearer than this ended together."""


def rank_columns(view: RanksView) -> list[Column]:
    """The columns of the table of ranks: only what this run can say."""
    rows = view.rows
    has_gpus = any(row.gpu_percent is not None or row.gpu_memory_bytes is not None for row in rows)
    num_hosts = len({(row.node_rank, row.host) for row in rows})
    host_width = min(max((len(_host(row)) for row in rows), default=4), 20)
    columns = [
        Column(key="rank", label="rank", width=4, is_right=True),
        Column(key="mark", label="", width=9),
        Column(key="host", label="host", width=max(host_width, 4), priority=5 if num_hosts > 1 else 9),
        Column(key="cores", label="cores", width=6, priority=8),
        Column(key="step", label="step", width=7, is_right=True, priority=4),
        Column(key="step_s", label="step ms", width=8, is_right=True, priority=1),
    ]
    columns += [
        Column(key=name, label=name, width=max(len(name[:9]), 6), is_right=True, priority=_DROPPED.get(name, 7))
        for name in view.names
    ]
    columns += [
        Column(key="waiting", label="wait", width=5, is_right=True, priority=2),
        Column(key="cpu", label="CPU", width=5, is_right=True, priority=3),
        Column(key="memory", label="memory", width=9, is_right=True, priority=5),
    ]
    if has_gpus:
        columns += [
            Column(key="gpu", label="GPU", width=5, is_right=True, priority=3),
            Column(key="gpu_memory", label="GPU mem", width=9, is_right=True, priority=4),
        ]
    return [*columns, Column(key="last", label="last line", width=9, is_right=True, priority=4)]


def rank_table_rows(
    view: RanksView, columns: Sequence[Column], *, now_s: float | None, is_ascii: bool = False
) -> list[Row]:
    """The rows for these columns.

    Args:
        view: what is shown.
        columns: of ``rank_columns``.
        now_s: Unix seconds while the run is active: then last lines have an age; None after its end.
        is_ascii: plain characters only.
    """
    rows = []
    for row in view.rows:
        known = {
            "rank": (str(row.rank), "warning bold") if row.is_slowest else str(row.rank),
            "mark": _mark(row, is_ascii=is_ascii),
            "host": (_host(row) or UNKNOWN, "text-muted"),
            "cores": (row.cores or UNKNOWN, "text-muted"),
            "step": format_number(row.step),
            "step_s": (format_ms(row.step_s), "bold"),
            "waiting": _percent(100 * row.waiting_s / row.step_s if row.waiting_s is not None and row.step_s else None),
            "cpu": _percent(row.cpu_percent),
            "memory": format_bytes(row.rss_bytes),
            "gpu": _percent(row.gpu_percent),
            "gpu_memory": format_bytes(row.gpu_memory_bytes),
            "last": _last(row, view.newest_s, now_s),
        }
        cells = tuple(known.get(column.key) or _phase(row, column.key) for column in columns)
        rows.append(Row(str(row.rank), cells))
    return rows


def _phase(row: RankRow, name: str) -> Cell:
    text = format_ms(row.phases.get(name))
    return (text, "text-muted") if text == UNKNOWN else text


def _mark(row: RankRow, *, is_ascii: bool) -> Cell:
    if row.ending == "error":
        return ("x error" if is_ascii else "✗ error", "error bold")
    if row.is_slowest:
        return ("< slowest" if is_ascii else "◀ slowest", "warning bold")
    return ("" if row.role == "rank" else row.role, "text-muted")


def _host(row: RankRow) -> str:
    return row.host or ("" if row.node_rank is None else f"node {row.node_rank}")


def _last(row: RankRow, newest_s: float | None, now_s: float | None) -> Cell:
    """How old a rank's last line is; after the end, how much earlier than the others' it came."""
    if row.last_s is None:
        return (UNKNOWN, "text-muted")
    if now_s is not None and not row.ending:
        age_s = max(now_s - row.last_s, 0.0)
        return "<1s" if age_s < 1 else (format_duration(int(age_s)), "warning" if age_s > 10 else "")
    early_s = (newest_s or row.last_s) - row.last_s
    return ("end", "text-muted") if early_s < END_S else (f"-{format_duration(int(early_s))}", "warning")


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}%"


def machine_pieces(machine: MachineRow, *, is_short: bool, is_ascii: bool = False) -> list[Pieces]:
    """What one machine does, as pieces that belong together and may be put on further lines."""
    out, into = ("out", "in") if is_ascii else ("↑", "↓")
    sparks = 6 if is_short else 12

    def gauge(name: str, words: str, history: Sequence[float]) -> Pieces:
        line = _sparkline(history[-sparks:], is_ascii=is_ascii)
        return ((f"{name} ", "text-muted"), (f"{words} ", ""), (line, "primary"))

    memory = _of(machine.memory_used_bytes, machine.memory_total_bytes)
    rates = f"{out} {_rate(machine.sent_bytes_per_s)} {into} {_rate(machine.received_bytes_per_s)}"
    pieces: list[Pieces] = [
        ((machine.name, "bold"),),
        gauge("CPU", f"{_percent(machine.cpu_percent):>4}", machine.cpu_history),
        gauge("mem" if is_short else "memory", memory, machine.memory_history),
        ((rates, ""),) if is_short else (("net ", "text-muted"), (rates, "")),
    ]
    for index, percent, history, used, total in machine.gpus:
        size = format_bytes(used) if is_short or not total else _of(used, total)
        pieces.append(gauge(f"GPU {index}", f"{_percent(percent):>4} {size}", history))
    return pieces


def _of(used: float | None, total: float | None) -> str:
    """``4.7 of 16.0 GiB``."""
    whole, part = format_bytes(total), format_bytes(used)
    unit = whole.rpartition(" ")[2]
    return f"{part.removesuffix(f' {unit}')} of {whole}"


def _sparkline(shares: Sequence[float], *, is_ascii: bool) -> str:
    marks = ASCII_SPARKS if is_ascii else SPARKS
    return "".join(
        marks[min(max(int(share * len(marks)), 0), len(marks) - 1)] if math.isfinite(share) else " " for share in shares
    )


def _rate(bytes_per_s: float | None) -> str:
    return UNKNOWN if bytes_per_s is None else f"{format_bytes(bytes_per_s)}/s"


def export_columns(view: RanksView) -> tuple[str, ...]:
    """Headers of the raw table."""
    return (
        *("rank", "role", "node_rank", "host", "cores", "step", "step_s"),
        *(f"{name}_s" for name in view.names),
        *("waiting_s", "cpu_percent", "rss_bytes", "gpu_util_percent", "gpu_memory_used_bytes", "is_slowest"),
    )


def export_rows(view: RanksView) -> tuple[tuple[object, ...], ...]:
    """The raw table."""
    return tuple(
        (
            *(row.rank, row.role, row.node_rank, row.host, row.cores, row.step, row.step_s),
            *(row.phases.get(name) for name in view.names),
            *(row.waiting_s, row.cpu_percent, row.rss_bytes, row.gpu_percent, row.gpu_memory_bytes, row.is_slowest),
        )
        for row in view.rows
    )
