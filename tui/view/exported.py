"""What a mode gives away when its view is exported or copied: plain values; ``tui.export_view`` writes the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tui.view.chart import ChartSpec

__all__ = ["Exported"]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The current view.

    Attributes:
        name: for the file names: letters, digits and hyphens.
        columns: headers of the table; empty where there is none.
        rows: raw values, not formatted; None is n/a (an empty CSV field). Many are made as they are asked
            for.
        charts: for PNG.
        text: the view as plain text; "" for the table as text.
    """

    name: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[object, ...]] = ()
    charts: tuple[ChartSpec, ...] = ()
    text: str = ""
