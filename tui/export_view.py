"""Write what a mode shows into a file: CSV, PNG, or text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from engine.core.errors import DdptuiError, InputError
from engine.store import write_whole
from tui.output import table_lines
from tui.view.exported import Exported

__all__ = ["FORMATS", "write_view"]

FORMATS = ("csv", "png", "svg", "txt")


def write_view(exported: Exported, path: Path, *, svg: str = "") -> Path:
    """Write ``path`` in the format that its ending names; return its absolute form.

    Args:
        exported: what is shown.
        path: ends in one of ``FORMATS``; its folder exists.
        svg: the screen as SVG, for that format.

    Raises:
        InputError: this view has nothing for that format, or the name has another ending.
        DdptuiError: the file cannot be written.
    """
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise InputError(f"{path.name}: ends in none of {', '.join('.' + name for name in FORMATS)}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder")
    try:
        if ending == "png":
            _write_png(exported, path)
        else:
            content = {"csv": _csv, "txt": _text}[ending](exported) if ending != "svg" else svg
            write_whole(path, content.encode(), mode=0o644)
    except OSError as error:
        raise DdptuiError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path.absolute()


def _write_png(exported: Exported, path: Path) -> None:
    if not exported.charts:
        raise InputError("there is no chart here; export CSV, SVG or text")
    from tui.charts.png import write_png  # loads matplotlib

    write_png(exported.charts, path)


def _csv(exported: Exported) -> str:
    if not exported.columns:
        raise InputError("there is no table here; export PNG, SVG or text")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(exported.columns)
    for row in exported.rows:
        writer.writerow(["" if _is_unknown(value) else value for value in row])
    return out.getvalue()


def _text(exported: Exported) -> str:
    if exported.text:
        return exported.text.rstrip("\n") + "\n"
    if not exported.columns:
        raise InputError("there is no text here; export PNG or SVG")
    rows: Sequence[Sequence[str]] = [
        ["n/a" if _is_unknown(value) else str(value) for value in row] for row in exported.rows
    ]
    return "\n".join(table_lines(exported.columns, rows)) + "\n"


def _is_unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
