"""What two runs were told differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "diff_configs"]

_ABSENT = "-"


@dataclass(frozen=True)
class Difference:
    """Rows of (dotted key, left, right) as text, and how many keys are equal."""

    rows: tuple[tuple[str, str, str], ...]
    num_equal: int


def diff_configs(left: Mapping[str, Any], right: Mapping[str, Any]) -> Difference:
    """Compare the configs of two ``run.json``, key by dotted key; a key that one has not is ``-`` there."""
    ours, theirs = _flat(left.get("config")), _flat(right.get("config"))
    for name in ("repeat", "code_digest"):
        ours[name], theirs[name] = _written(left, name), _written(right, name)
    keys = list(dict.fromkeys([*ours, *theirs]))
    rows = [(key, ours.get(key, _ABSENT), theirs.get(key, _ABSENT)) for key in keys]
    different = tuple(row for row in rows if row[1] != row[2])
    return Difference(rows=different, num_equal=len(rows) - len(different))


def _written(spec: Mapping[str, Any], key: str) -> str:
    return json.dumps(spec[key], ensure_ascii=False) if spec.get(key) is not None else _ABSENT


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, dict) and item:
            flat.update(_flat(item, f"{prefix}{key}."))
        elif item is not None:
            flat[f"{prefix}{key}"] = json.dumps(item, ensure_ascii=False, default=str)
    return flat
