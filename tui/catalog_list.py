"""What ``ls models|datasets|strategies|launchers|partitions`` prints."""

from __future__ import annotations

from engine.catalog import DATASETS, LAUNCHERS, MODELS, STRATEGIES
from engine.core.partition_names import PARTITIONS
from tui.output import print_json, print_table

__all__ = ["list_catalog"]

_CATALOGS = {"models": MODELS, "datasets": DATASETS, "strategies": STRATEGIES, "launchers": LAUNCHERS}


def list_catalog(what: str, *, as_json: bool) -> int:
    """Print the names of one table of the catalog with a line about each."""
    entries = PARTITIONS if what == "partitions" else {name: line for name, (_, line) in _CATALOGS[what].items()}
    if as_json:
        print_json([{"name": name, "about": line} for name, line in entries.items()])
    else:
        print_table(("name", "about"), list(entries.items()))
    return 0
