"""Where the ticks of an axis stand and what they say. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui.output import format_bytes, format_duration, format_number, format_ratio

__all__ = ["Tick", "label_ticks", "linear_ticks", "log_ticks", "say_value", "snap", "tick_step"]

_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MOST_TICKS = 200
"""More cannot stand on any axis; where arithmetic yields more it has run out of digits."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in units of the data, and its words."""

    value: float
    label: str


def linear_ticks(low: float, high: float, most: int, kind: str = "number") -> list[Tick]:
    """Return at most ``most`` ticks (one more where both ends are hit) at round values between two limits.

    Args:
        low: finite.
        high: finite, not below ``low``.
        most: about how many there is room for.
        kind: a format of ``ChartSpec``.
    """
    step = tick_step(low, high, most, kind)
    if step <= 0:
        return label_ticks([low], kind)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > _MOST_TICKS:
        return label_ticks([low, high], kind)
    return label_ticks([number * step for number in range(first, last + 1)], kind, step)


def log_ticks(low: float, high: float, most: int, kind: str = "number") -> list[Tick]:
    """Return ticks at real values for an axis whose limits are logarithms to base 10.

    Decades where there are at least two of them in sight (every second, third, ... where there is no room), 1-2-5
    below that, and round values below that; ``Tick.value`` is the real value.
    """
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last - first >= 1:
        stride = max(math.ceil((last - first + 1) / max(most, 1)), 1)
        decades = [10.0**power for power in range(first, last + 1) if power % stride == 0 and abs(power) < 308]
        if len(decades) > 1 and (last - first) * 3 > most:
            return [Tick(value, _short(value, kind)) for value in decades]
    powers = range(max(math.floor(low), -307), min(math.ceil(high), 307) + 1)
    steps = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [value for value in steps if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    if len(inside) >= 2:
        thinned = inside if len(inside) <= most else inside[:: math.ceil(len(inside) / max(most, 1))]
        return [Tick(value, _short(value, kind)) for value in thinned]
    return [
        tick for tick in linear_ticks(10.0 ** max(low, -307.0), 10.0 ** min(high, 307.0), most, kind) if tick.value > 0
    ]


def tick_step(low: float, high: float, most: int, kind: str = "number") -> float:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten, on a clock's or a byte's scale where it is one.

    0 where the limits are too near to each other to be told apart.
    """
    rough = high / max(most, 1) - low / max(most, 1)
    if not math.isfinite(rough) or rough <= max(abs(low), abs(high)) * 1e-14 or rough < 1e-300:
        return 0.0
    if kind == "duration" and 1 <= rough <= _CLOCK_STEPS[-1]:
        return float(next(step for step in _CLOCK_STEPS if step >= rough))
    unit = {"duration": 86400.0 if rough > 86400 else 1.0, "bytes": _byte_unit(max(abs(low), abs(high)))[0]}.get(
        kind, 1.0
    )
    step = unit * _round_up(rough / unit)
    return max(step, 1.0) if kind in ("count", "bytes") else step


def snap(low: float, high: float, step: float) -> tuple[float, float]:
    """Return limits at quarters of ``step`` around both: they stand still while data grows a little."""
    quarter = step / 4
    if quarter <= 0 or not math.isfinite(low / quarter) or not math.isfinite(high / quarter):
        return low, high
    snapped = math.floor(low / quarter + 1e-9) * quarter, math.ceil(high / quarter - 1e-9) * quarter
    return snapped if all(map(math.isfinite, snapped)) else (low, high)


def label_ticks(values: Sequence[float], kind: str = "number", step: float | None = None) -> list[Tick]:
    """Return ticks with words of one unit and as many digits as ``step`` needs, or each as short as it goes."""
    if step is None:
        return [Tick(value, _short(value, kind)) for value in values]
    largest = max(map(abs, values), default=0.0)
    say = _LABELS.get(kind, _number_label)(largest, step)
    return [Tick(value, say(value)) for value in values]


def say_value(value: float | None, kind: str) -> str:
    """Return a value for the legend: n/a where there is none, NaN and inf by name."""
    if value is None:
        return format_number(None)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if kind == "count" or (kind == "number" and abs(value) >= 1e15):
        return format_number(round(value)) if abs(value) < 1e15 else f"{value:.4g}"
    if kind == "duration" and (value < 0 or 0 < value < 0.1):
        return _duration_label(abs(value), abs(value) / 1000)(value)
    if kind == "bytes" and value < 0:
        return f"-{format_bytes(-value)}"
    return {"duration": format_duration, "bytes": format_bytes, "ratio": format_ratio}.get(kind, format_number)(value)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= value * (1 - 1e-9)), 10.0 * power)


def _digits(step: float) -> int:
    if step >= 1:  # an infinite one too
        return 0
    return min(max(-math.floor(math.log10(step) + 1e-9), 0), 12)


def _number_label(largest: float, step: float) -> Callable[[float], str]:
    if largest >= 1e15 or 0 < largest < 1e-3:
        digits = max(math.floor(math.log10(largest)) - math.floor(math.log10(step)), 0)
        return lambda value: "0" if abs(value) < step / 2 else _exponent(value, digits)
    scale, suffix = next(((scale, suffix) for scale, suffix in _SUFFIXES if largest >= max(scale, 1e4)), (1.0, ""))
    digits = _digits(step / scale)
    return lambda value: "0" if abs(value) < step / 2 else f"{value / scale:.{digits}f}{suffix}"


def _exponent(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def _ratio_label(_largest: float, step: float) -> Callable[[float], str]:
    digits = _digits(100 * step)
    return lambda value: f"{100 * value:.{digits}f}%" if abs(value) >= step / 2 else "0%"


def _duration_label(largest: float, step: float) -> Callable[[float], str]:
    if largest < 0.1 or step < 0.01:
        scale, unit = next(
            ((scale, unit) for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")) if largest >= scale),
            (1e-9, "ns"),
        )
        digits = _digits(step / scale)
        return lambda value: f"{value / scale:.{digits}f}{unit}" if abs(value) >= step / 2 else "0"
    if largest < 60 or step < 1:
        return lambda value: f"{value:.{_digits(step)}f}s" if abs(value) >= step / 2 else "0"
    return lambda value: "0" if abs(value) < step / 2 else ("-" if value < 0 else "") + _clock(abs(value), step)


def _clock(seconds: float, step: float) -> str:
    total = round(seconds)
    if step >= 86400:
        return f"{total / 86400:.3g}d"
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{rest:02d}"
    if step < 60:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{hours}h" if step >= 3600 or not minutes else f"{hours}h{minutes:02d}"


def _byte_unit(largest: float) -> tuple[float, str]:
    place = min(int(math.log(largest, 1024) + 1e-9), len(_BYTE_UNITS) - 1) if largest >= 1 else 0
    return 1024.0**place, _BYTE_UNITS[place]


def _bytes_label(largest: float, step: float) -> Callable[[float], str]:
    scale, unit = _byte_unit(largest)
    digits = _digits(step / scale)
    return lambda value: f"{value / scale:.{digits}f} {unit}" if abs(value) >= step / 2 else "0"


_LABELS: dict[str, Callable[[float, float], Callable[[float], str]]] = {
    "ratio": _ratio_label,
    "duration": _duration_label,
    "bytes": _bytes_label,
}


def _short(value: float, kind: str) -> str:
    """One value alone: no more digits than it has."""
    if value == 0:
        return "0%" if kind == "ratio" else "0"
    size = abs(value)
    step = 10.0 ** math.floor(math.log10(size)) if size >= 1e-300 else size
    while step > size * 1e-3 and abs(round(value / step) * step - value) > size * 1e-9:
        step /= 10
    return _LABELS.get(kind, _number_label)(size, step)(value)
