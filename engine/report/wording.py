"""How values are shown to people: numbers with their unit, n/a for the unknown, no control characters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.analysis.statistics import Estimate
from engine.core.fields import mapping, text

__all__ = [
    "NOT_AVAILABLE",
    "data_label",
    "plain_text",
    "show_bytes",
    "show_estimate",
    "show_figure",
    "show_number",
    "show_percent",
    "show_seconds",
]

NOT_AVAILABLE = "n/a"


def data_label(spec: Mapping[str, Any]) -> str | None:
    """The data set of a run, and where made-up data stands in for it, that: ``cifar10 (synthetic)``."""
    config = mapping(spec, "config")
    name = text(config, "dataset")
    return f"{name} (synthetic)" if name is not None and config.get("synthetic") is True else name


def plain_text(value: Any, *, max_length: int = 2000) -> str:
    """``value`` as text without control characters (line ends stay), bidirectional overrides or endless length."""
    kept = "".join(character if _is_harmless(character) else "\N{REPLACEMENT CHARACTER}" for character in str(value))
    return kept if len(kept) <= max_length else kept[: max_length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _is_harmless(character: str) -> bool:
    code = ord(character)
    if character in "\n\t":
        return True
    is_control = code < 32 or 127 <= code < 160
    is_direction = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    is_surrogate = 0xD800 <= code <= 0xDFFF
    return not (is_control or is_direction or is_surrogate)


def show_number(value: float | None, *, digits: int = 3) -> str:
    """Three significant digits, thousands separated."""
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{min(decimals, 10)}f}"


def show_percent(value: float | None) -> str:
    """A ratio in percent."""
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    return f"{round(100 * value, 1) + 0.0:.1f} %"  # no -0.0


def show_seconds(value: float | None) -> str:
    """Seconds as a person says them."""
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    if value < 120:
        return f"{show_number(value)} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def show_bytes(value: float | None) -> str:
    """Bytes in MiB or GiB."""
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def show_figure(figure: str, value: float) -> str:
    """The value of a figure of ``PUBLISHED_FIGURES``."""
    if figure.endswith(("_efficiency", "_accuracy")):
        return show_percent(value)
    return show_seconds(value) if figure.endswith("_s") and not figure.endswith("_per_s") else show_number(value)


def show_estimate(estimate: Estimate | None, *, percent: bool = False, suffix: str = "") -> str:
    """``1.82x (1.74 to 1.90)``: the median and its 95 % interval where there is one."""
    if estimate is None:
        return NOT_AVAILABLE

    def show(value: float) -> str:
        return f"{100 * value:.1f}" if percent else show_number(value)

    suffix = " %" if percent else suffix
    if estimate.low is None or estimate.high is None:
        return f"{show(estimate.value)}{suffix}"
    return f"{show(estimate.value)}{suffix} ({show(estimate.low)} to {show(estimate.high)})"
