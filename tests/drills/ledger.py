"""What came of every fault, a JSON line each, and the tables made of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.drills.kinds import KINDS, PHASES, missing_needs

__all__ = ["NOBODY", "Ledger", "format_report"]

NOBODY = "nobody was there"


class Ledger:
    """The ledger of one seed.

    Args:
        folder: of the drill.
        seed: whose faults it holds.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / f"ledger-{seed}.jsonl"

    def read(self) -> list[dict[str, Any]]:
        """Return the entries, of a fault that was done again the last one only, by index."""
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        entries = {entry["index"]: entry for entry in map(json.loads, lines)}
        return [entries[index] for index in sorted(entries)]

    def add(self, entry: dict[str, Any]) -> None:
        """Append an entry."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def put_away(self) -> None:
        """Begin anew; the old one stays beside."""
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".old.jsonl"))


def format_report(entries: Sequence[dict[str, Any]]) -> str:
    """Return the tables: kinds by outcome, phases by hits, strategies by outcome, and every failure."""
    parts = [_table("fault kind", "kind", list(KINDS), entries), _phase_table(entries)]
    parts.append(_table("strategy", "strategy", sorted({entry["strategy"] for entry in entries}), entries))
    parts += [f"left out: {why}" for why in missing_needs().values()]
    failed = [entry for entry in entries if entry["problems"]]
    parts += [f"{entry['seed']}-{entry['index']} {entry['kind']}: {'; '.join(entry['problems'])}" for entry in failed]
    slowest = max((entry["strays_s"] for entry in entries), default=0.0)
    passed = sum(not entry["problems"] for entry in entries)
    equal = sum(bool(entry["is_equal"]) for entry in entries)
    parts.append(
        f"{len(entries)} faults, {passed} passed, {len(failed)} failed; final weights equal bit for bit in {equal}; "
        f"all processes gone {slowest:.1f} s after the end at the latest"
    )
    return "\n\n".join(parts)


def _table(title: str, key: str, names: Sequence[str], entries: Sequence[dict[str, Any]]) -> str:
    head = (
        f"{title:<28}{'faults':>8}{'missed':>8}{'passed':>8}{'failed':>8}{'by itself':>11}{'restarts':>10}{'helped':>8}"
    )
    return "\n".join([head, *_rows(key, names, entries)])


def _rows(key: str, names: Sequence[str], entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    for name in names:
        own = [entry for entry in entries if entry[key] == name]
        if not own:
            continue
        failed = sum(bool(entry["problems"]) for entry in own)
        alone = sum(not entry["help"] for entry in own)
        restarts = sum(entry["attempts"] - 1 for entry in own if entry["attempts"])
        missed = sum(_is_missed(entry) for entry in own)
        passed = len(own) - failed
        helped = len(own) - alone
        yield f"{name:<28}{len(own):>8}{missed:>8}{passed:>8}{failed:>8}{alone:>11}{restarts:>10}{helped:>8}"


def _is_missed(entry: dict[str, Any]) -> bool:
    """Whether there was nobody to do it to: its run went on undisturbed, and it hit no phase."""
    return bool(entry["done"] == NOBODY)


def _phase_table(entries: Sequence[dict[str, Any]]) -> str:
    hits = Counter(entry["hit"] for entry in entries if not _is_missed(entry))
    aimed = Counter(entry["phase"] for entry in entries)
    failed = Counter(entry["hit"] for entry in entries if entry["problems"])
    head = f"{'phase of life':<28}{'aimed at':>9}{'hit':>8}{'failed':>8}"
    rows = [f"{phase:<28}{aimed[phase]:>9}{hits[phase]:>8}{failed[phase]:>8}" for phase in PHASES]
    return "\n".join([head, *rows, f"{'(uniform over the whole life)':<28}{aimed['']:>8}"])
