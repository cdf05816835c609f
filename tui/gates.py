"""``--fail-if "throughput_efficiency<0.8@ddp-w4"``: a condition over the summary table; exit 3 if it is true."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from engine.core.errors import InputError

__all__ = ["Breach", "Gate", "check_gates", "judge", "parse_gate"]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_GATE = re.compile(
    r"\s*(?P<column>[A-Za-z_][\w.]*)\s*(?P<compare><=|>=|==|!=|<|>)\s*"
    r"(?P<limit>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<percent>%?)\s*(?:@\s*(?P<point>\S+)\s*)?"
)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A condition that must not come true.

    Attributes:
        text: as it was given.
        column: of ``summary.csv``.
        compare: ``<``, ``<=``, ``>``, ``>=``, ``==`` or ``!=``.
        limit: a ratio where it was given in percent.
        point: a point, the beginning of some up to a dash, either with ``experiment/`` before it; "" for every point.
    """

    text: str
    column: str
    compare: str
    limit: float
    point: str

    def applies_to(self, experiment: str, point: str) -> bool:
        """Whether the gate is about this point: ``ddp-w1`` means ``ddp-w1-3fa9c1``, not ``ddp-w16-3fa9c1``."""
        wanted_experiment, _, wanted = self.point.rpartition("/")
        if wanted_experiment and wanted_experiment != experiment:
            return False
        return not wanted or point == wanted or point.startswith(f"{wanted}-")


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A gate that broke, or could not be judged, at one point; as a sentence."""

    gate: Gate
    experiment: str
    point: str
    value: float | None

    def __str__(self) -> str:
        where = f"{self.experiment}/{self.point}: {self.gate.column}"
        if self.value is None:
            return f"{where} is n/a, so --fail-if {self.gate.text!r} cannot be judged"
        return f"{where} = {self.value:.6g}, and --fail-if says {self.gate.compare} {self.gate.limit:g}"


def parse_gate(text: str) -> Gate:
    """Read one ``--fail-if``.

    Raises:
        InputError: it is no condition.
    """
    match = _GATE.fullmatch(text)
    if match is None:
        raise InputError(
            f"--fail-if {text!r}: not a condition; write COLUMN<NUMBER or COLUMN<NUMBER@POINT with one of "
            f"{' '.join(_COMPARE)}, for example throughput_efficiency<0.8@ddp-w4"
        )
    return Gate(
        text=text,
        column=match["column"],
        compare=match["compare"],
        limit=float(match["limit"]) / (100 if match["percent"] else 1),
        point=match["point"] or "",
    )


def check_gates(gates: Sequence[Gate], columns: Sequence[str], points: Sequence[tuple[str, str]]) -> None:
    """Refuse gates that could never be judged, before anything is started.

    Args:
        gates: as parsed.
        columns: those of the summary that hold numbers.
        points: (experiment, point) of everything that will run.

    Raises:
        InputError: unknown columns or points, all of them.
    """
    problems = []
    for gate in gates:
        if gate.column not in columns:
            close = get_close_matches(gate.column, columns, n=1)
            main = [column for column in columns if not column.endswith(("_low", "_high"))]
            hint = f"did you mean {close[0]}?" if close else f"columns: {', '.join(main)}"
            problems.append(f"--fail-if {gate.text!r}: no column {gate.column!r}; {hint}")
        elif not any(gate.applies_to(*point) for point in points):
            known = sorted({point for _, point in points})
            problems.append(f"--fail-if {gate.text!r}: no point {gate.point!r}; points: {', '.join(known)}")
    if problems:
        raise InputError("\n".join(problems))


def judge(gates: Sequence[Gate], rows: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[Breach]:
    """Return what broke. A gate whose values are all n/a, or that names its point, breaks where it cannot be judged.

    Args:
        gates: as parsed.
        rows: of the summary table, by (experiment, point).
    """
    breaches = []
    for gate in gates:
        values = {key: _number(row.get(gate.column)) for key, row in rows.items() if gate.applies_to(*key)}
        are_all_unknown = all(value is None for value in values.values())
        for (experiment, point), value in values.items():
            if value is None:
                is_broken = bool(gate.point) or are_all_unknown
            else:
                is_broken = _COMPARE[gate.compare](value, gate.limit)
            if is_broken:
                breaches.append(Breach(gate=gate, experiment=experiment, point=point, value=value))
    return breaches


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(value)
