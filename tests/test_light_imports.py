from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("engine.catalog", ("pydantic", "tree_sitter", "torch")),
        ("engine.tail", ("pydantic", "tree_sitter", "torch")),
        ("tui.catalog_list", ("pydantic", "tree_sitter", "torch")),
        ("tui.listing", ("pydantic", "tree_sitter", "torch", "pandas", "rich")),
        ("tui.headless", ("pydantic", "tree_sitter", "torch", "pandas", "rich")),
        ("engine.worker.task", ("tree_sitter", "pandas", "rich")),
    ],
)
def test_what_every_listing_and_every_rank_loads_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted(set({forbidden!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
