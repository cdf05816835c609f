"""What the ranks saw of the training data: coverage, overlap, classes and order of every epoch, from their own lists.

Each rank says which samples its shares loaded, as bits; here they are put together. Without numpy: listings fold lines
too. The words: *seen* is seen by any share; *overlap* is the part of the seen samples that more than one share saw;
*class skew* is the largest distance of a share's classes from those of all training samples (total variation: 0 for the
same mixture, 1 for no class in common).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.core.fields import number, sequence, text, whole

__all__ = ["COVERAGE_NOTE", "CoverageFold", "coverage_words", "total_coverage"]

COVERAGE_NOTE = (
    "Seen: by any rank, in one epoch and in all so far. Overlap: of the samples seen, those that more than one rank "
    "saw in the same epoch. Class skew: how far the classes of the most uneven rank are from those of all training "
    "samples (0 %: the same mixture, 100 %: no class in common). Order: whether every rank's order differs from the "
    "epoch before."
)


@dataclass(kw_only=True)
class _Epoch:
    """The shares of an epoch that were heard of, and then the row that came of them."""

    shares: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    row: dict[str, Any] | None = None
    orders: dict[int, str | None] = field(default_factory=dict)


@dataclass(kw_only=True)
class CoverageFold:
    """Puts ``coverage`` lines together; an epoch has a row as soon as all its shares were heard of."""

    _epochs: dict[int, _Epoch] = field(default_factory=dict)
    _seen_so_far: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Take a line; one that makes no sense is left out, one of an epoch that was done is the newer word."""
        epoch, num_shares = whole(event, "epoch"), whole(event, "num_shares")
        num_samples, every = whole(event, "num_samples"), whole(event, "every")
        if epoch is None or epoch < 0 or not num_shares or not num_samples or not every or every < 1:
            return
        known = self._epochs.setdefault(epoch, _Epoch())
        if known.row is not None:
            known = self._epochs[epoch] = _Epoch()
        for share in sequence(event, "shares"):
            index = whole(share, "index") if isinstance(share, dict) else None
            if index is not None and 0 <= index < num_shares:
                known.shares[index] = share
        if len(known.shares) >= num_shares:
            self._finish(epoch, known, event, num_samples=num_samples, every=every)

    def rows(self) -> list[dict[str, Any]]:
        """A row per epoch of which every share is known, in order; see ``coverage_words`` for its keys."""
        done = (self._epochs[epoch].row for epoch in sorted(self._epochs))
        return [dict(row) for row in done if row is not None]

    def _finish(self, epoch: int, known: _Epoch, event: Mapping[str, Any], *, num_samples: int, every: int) -> None:
        shares = [known.shares[index] for index in sorted(known.shares)]
        once = twice = 0
        for share in shares:
            seen = _bits(share)
            twice |= once & seen
            once |= seen
        self._seen_so_far |= once
        known.orders = {index: text(share, "order") for index, share in known.shares.items()}
        num_counted = -(-num_samples // every)
        known.row = {
            "epoch": epoch,
            "num_samples": num_samples,
            "every": every,
            "seen_ratio": once.bit_count() / num_counted,
            "seen_so_far_ratio": self._seen_so_far.bit_count() / num_counted,
            "overlap_ratio": twice.bit_count() / once.bit_count() if once else None,
            "class_skew_ratio": _class_skew(shares, event),
            "order_changed": self._is_order_new(epoch, known),
            "per_share": [whole(share, "samples") for share in shares],
            "unique_per_share": [whole(share, "unique") for share in shares],
            "classes_per_share": [sequence(share, "classes") or None for share in shares],
        }
        known.shares = {}  # the bits are not needed any more

    def _is_order_new(self, epoch: int, known: _Epoch) -> bool | None:
        """Whether every share's order is another than in the epoch before; None where that is not known."""
        before = self._epochs.get(epoch - 1)
        if before is None or before.row is None or before.orders.keys() != known.orders.keys():
            return None
        return all(order != before.orders[index] for index, order in known.orders.items())


def _bits(share: Mapping[str, Any]) -> int:
    try:
        return int.from_bytes(base64.b64decode(text(share, "seen") or "", validate=True), "little")
    except (binascii.Error, ValueError):  # half a line, or somebody else's
        return 0


def _class_skew(shares: Sequence[Mapping[str, Any]], event: Mapping[str, Any]) -> float | None:
    whole_data = _ratios(sequence(event, "class_counts"))
    distances = []
    for share in shares:
        own = _ratios(sequence(share, "classes"))
        if not whole_data or len(own) != len(whole_data):
            return None
        distances.append(sum(abs(a - b) for a, b in zip(own, whole_data, strict=True)) / 2)
    return max(distances, default=None)


def _ratios(counts: Iterable[Any]) -> list[float]:
    known = [count for count in counts if isinstance(count, int) and count >= 0]
    total = sum(known)
    return [count / total for count in known] if total else []


def total_coverage(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row for all epochs: the worst of each figure, what was seen in the end, whether orders repeat."""

    def values(key: str) -> list[float]:
        return [value for row in rows if (value := number(row, key)) is not None]

    changed = [row["order_changed"] for row in rows if isinstance(row.get("order_changed"), bool)]
    return {
        "num_epochs": len(rows),
        "num_samples": whole(rows[-1], "num_samples") if rows else None,
        "every": max((whole(row, "every") or 1 for row in rows), default=None),
        "seen_ratio": min(values("seen_ratio"), default=None),
        "seen_so_far_ratio": max(values("seen_so_far_ratio"), default=None),
        "overlap_ratio": max(values("overlap_ratio"), default=None),
        "class_skew_ratio": max(values("class_skew_ratio"), default=None),
        "order_changed": all(changed) if changed else None,
        "per_share": sequence(rows[-1], "per_share") if rows else [],
    }


def coverage_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """``sees 99.1 % an epoch, 99.9 % in 2; overlap 0.0 %; class skew 2.1 %; order new each epoch``, or n/a."""
    if not rows:
        return "n/a"
    total = total_coverage(rows)
    order = {True: "order new each epoch", False: "the same order in each epoch", None: ""}[total["order_changed"]]
    so_far = f", {_percent(total, 'seen_so_far_ratio')} in {len(rows)}" if len(rows) > 1 else ""
    parts = [
        f"sees {_percent(total, 'seen_ratio')} an epoch{so_far}",
        f"overlap {_percent(total, 'overlap_ratio')}",
        f"class skew {_percent(total, 'class_skew_ratio')}",
        order,
    ]
    return "; ".join(part for part in parts if part)


def _percent(row: Mapping[str, Any], key: str) -> str:
    value = number(row, key)
    return "n/a" if value is None else f"{100 * value:.1f} %"
