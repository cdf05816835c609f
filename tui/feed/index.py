"""Rows of finished runs, kept between two starts of the screen so that a large folder opens at once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from engine.core.state import RunState
from engine.store import read_json, write_whole
from tui.view.run_row import RunRow

__all__ = ["RowIndex", "Signature"]

Signature = tuple[int, ...]
"""Times, sizes and inodes of what a row was read from: equal ones mean equal content."""

_FIELDS = tuple(f.name for f in fields(RunRow) if f.name != "folder")
_FORMAT = [3, *_FIELDS]


class RowIndex:
    """One file per results folder; without a folder for it, or where that cannot be used, nothing is kept.

    Args:
        results: the results folder.
        cache_dir: where the file is, or None.
    """

    def __init__(self, results: Path, cache_dir: Path | None) -> None:
        name = hashlib.sha256(str(results.absolute()).encode()).hexdigest()[:16]
        self._path = None if cache_dir is None else cache_dir / f"rows-{name}.json"
        self._kept: dict[str, Any] | None = None
        self._saved: dict[str, Signature] = {}

    def find(self, tag: str, signature: Signature, folder: str) -> RunRow | None:
        """Return the row that was made of files with this signature, or None."""
        if self._kept is None:
            self._kept = self._load()
        try:
            known, values = self._kept[tag]
            if tuple(known) != signature:
                return None
            row = RunRow(**dict(zip(_FIELDS, values, strict=True)), folder=folder)
        except (KeyError, TypeError, ValueError):
            return None
        self._saved[tag] = signature
        return row if row.tag == tag and row.state in set(RunState) else None

    def save(self, rows: Mapping[str, tuple[Signature, RunRow]]) -> None:
        """Keep these instead of what was kept. A cache that cannot be written is none: nobody needs to hear of it."""
        self._kept = {}
        signatures = {tag: signature for tag, (signature, _) in rows.items()}
        if self._path is None or signatures == self._saved:
            return
        self._saved = signatures
        kept = {tag: [signature, [getattr(row, name) for name in _FIELDS]] for tag, (signature, row) in rows.items()}
        with contextlib.suppress(OSError, ValueError, TypeError):
            content = json.dumps({"format": _FORMAT, "rows": kept}, default=str, separators=(",", ":"))
            write_whole(self._path, content.encode())

    def _load(self) -> dict[str, Any]:
        value = {} if self._path is None else read_json(self._path) or {}
        rows = value.get("rows") if value.get("format") == _FORMAT else None
        return rows if isinstance(rows, dict) else {}
