"""The filter language of runs: ``ddp world_size>=2 state:failed -note:"slow net" loss<0.5 pinned``.

====================  ===========================================================================================
``words``             the text of id, experiment, point, state, reason or note has the word
``pinned``            the run is pinned
``key:text``          the text has it, or matches it as a regular expression: ``name:^ddp``
``key=value``         is that number, or that word; ``!=`` is another
``key<value``         numbers: ``< <= > >=``; a value may end in ``%``, ``k`` or ``M``
``-term``, ``!term``  not
``"two words"``       quotes keep together
====================  ===========================================================================================

All terms must hold. Case does not matter. What is not known matches no comparison. What cannot be understood (a broken
expression, a key that no run has) is looked for as plain text and a notice says so; half a term (``loss<``) hides
nothing yet. Nothing raises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tui.view.run_row import RunRow

__all__ = ["FILTER_KEYS", "RunFilter", "parse"]

_FIELDS = (
    "experiment", "id", "point", "repeat", "state", "reason", "attempt", "strategy", "world_size", "num_devices",
    "progress", "epoch", "num_epochs", "step", "num_steps", "loss", "samples_per_s", "test_accuracy", "elapsed_s",
    "eta_s", "queued_s", "started_s", "ended_s", "folder", "last_event_s", "nonfinite_step", "is_pinned", "note", "tag",
)  # fmt: skip

_SHORT = {
    "name": "id", "run": "id", "exp": "experiment", "w": "world_size", "ranks": "world_size", "devices": "num_devices",
    "acc": "test_accuracy", "accuracy": "test_accuracy", "sps": "samples_per_s", "throughput": "samples_per_s",
    "samples": "samples_per_s", "elapsed": "elapsed_s", "eta": "eta_s", "pinned": "is_pinned", "seed": "repeat",
    "nan": "nonfinite_step",
}  # fmt: skip

FILTER_KEYS = (*_FIELDS, *_SHORT)
"""What may stand before an operator; axes of the matrix may too."""

_SEEN = ("id", "experiment", "point", "state", "reason", "note")
_TERM = re.compile(r"(?P<key>[A-Za-z_][\w.]*)(?P<operator>!=|>=|<=|:|=|>|<)(?P<value>.*)", re.DOTALL)
_NUMBER = re.compile(r"(?P<number>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?P<unit>[%kM]?)", re.IGNORECASE)
_COSTLY = re.compile(r"\([^)]*[+*{|][^)]*\)[+*{]|(?:[+*}].*){4}", re.DOTALL)
_UNITS = {"": 1.0, "%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6}
_LONGEST = 500

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


@dataclass(frozen=True, kw_only=True)
class _Term:
    """One condition; ``key`` is "" for a word of the text."""

    key: str
    operator: str
    value: str
    is_negated: bool = False
    pattern: re.Pattern[str] | None = None
    number: float | None = None

    def matches(self, row: RunRow) -> bool:
        return self._holds(row) is not self.is_negated

    def _holds(self, row: RunRow) -> bool:
        if not self.key:
            return any(self._is_in(getattr(row, name)) for name in _SEEN)
        value = _value_of(row, self.key)
        if self.operator == ":":
            return self._is_in(value)
        if value is None:
            return False
        if self.operator in _COMPARE:
            number = _number_of(value)
            return number is not None and self.number is not None and _COMPARE[self.operator](number, self.number)
        return self._is_equal(value) is (self.operator == "=")

    def _is_in(self, value: object) -> bool:
        if value is None:
            return False
        text = _text_of(value)[:_LONGEST]
        return self.value in text or (self.pattern is not None and self.pattern.search(text) is not None)

    def _is_equal(self, value: object) -> bool:
        number = _number_of(value)
        if number is not None and self.number is not None:
            return math.isclose(number, self.number, rel_tol=1e-9)
        return _text_of(value) == self.value

    def __str__(self) -> str:
        words = {":": "has", "=": "is", "!=": "is not"}
        if not self.key:
            said = "pinned" if self.operator == "pinned" else f'"{self.value}"'
        else:
            said = f"{self.key} {words.get(self.operator, self.operator)} {self.value}"
        return f"not {said}" if self.is_negated else said


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What was typed, understood.

    Attributes:
        text: as typed.
        terms: all must hold.
        notices: one line for each part that was taken as plain text, and why.
    """

    text: str = ""
    terms: tuple[_Term, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether every run matches."""
        return not self.terms

    def matches(self, row: RunRow) -> bool:
        """Whether all conditions hold of the run."""
        return all(term.matches(row) for term in self.terms)

    def select(self, rows: Sequence[RunRow]) -> list[RunRow]:
        """The runs that match, in their order."""
        return [row for row in rows if self.matches(row)]

    def describe(self) -> str:
        """The conditions in words."""
        return ", ".join(str(term) for term in self.terms)


def parse(text: str, axes: Collection[str] = ()) -> RunFilter:
    """Understand a filter.

    Args:
        text: as typed; may be half a filter.
        axes: names of the axes that runs have, such as ``optimizer.lr``; their last part will do as a key.

    Returns:
        The filter; of an empty text one that all runs match.
    """
    terms: list[_Term] = []
    notices: list[str] = []
    for word, is_quoted in _words(text):
        term, notice = _term(word, axes, is_quoted=is_quoted)
        if term is not None:
            terms.append(term)
        if notice:
            notices.append(notice)
    return RunFilter(text=text, terms=tuple(terms), notices=tuple(notices))


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """The words, without their quotes; and whether they began with one, so that no operator is looked for in them."""
    word, quote, is_quoted, has_begun = "", "", False, False
    for letter in text:
        if quote:
            quote, word = ("", word) if letter == quote else (quote, word + letter)
        elif letter in "\"'" and (not word or not word[-1].isalnum()):
            quote, is_quoted, has_begun = letter, is_quoted or not word.strip("-!"), True
        elif letter.isspace():
            if has_begun:
                yield word, is_quoted
            word, is_quoted, has_begun = "", False, False
        else:
            word, has_begun = word + letter, True
    if has_begun:
        yield word, is_quoted


def _term(word: str, axes: Collection[str], *, is_quoted: bool) -> tuple[_Term | None, str]:
    is_negated = len(word) > 1 and word[0] in "-!"
    body = word[1:] if is_negated else word
    if not body or (body in "-!" and not is_quoted):
        return None, ""
    if body.lower() == "pinned" and not is_quoted:
        return _Term(key="is_pinned", operator="=", value="yes", is_negated=is_negated), ""
    found = None if is_quoted else _TERM.fullmatch(body)
    if found is None:
        return _word(body, is_negated), ""
    key, operator, value = found["key"], found["operator"], found["value"]
    name = _known(key, axes)
    if name is None:
        return _word(body, is_negated), f'no run has "{key}": looked for as text'
    if not value:
        return None, f"{key}{operator} wants a value"
    return _condition(name, operator, value, body, is_negated=is_negated)


def _condition(name: str, operator: str, value: str, body: str, *, is_negated: bool) -> tuple[_Term, str]:
    number = _number(value)
    if operator in _COMPARE and number is None:
        return _word(body, is_negated), f'"{value}" is no number: looked for as text'
    pattern, notice = (None, "") if operator != ":" else _pattern(value)
    term = _Term(
        key=name, operator=operator, value=value.lower(), is_negated=is_negated, pattern=pattern, number=number
    )
    return term, notice


def _word(text: str, is_negated: bool) -> _Term:
    return _Term(key="", operator=":", value=text.lower(), is_negated=is_negated)


def _pattern(value: str) -> tuple[re.Pattern[str] | None, str]:
    if re.escape(value) == value:
        return None, ""
    if _COSTLY.search(value):
        return None, f'"{value}" takes too long as an expression: taken as text'
    try:
        return re.compile(value, re.IGNORECASE), ""
    except (re.error, OverflowError, RecursionError):
        return None, f'"{value}" is no valid expression: taken as text'


def _known(key: str, axes: Collection[str]) -> str | None:
    key = key.lower()
    if key in _FIELDS or key in _SHORT:
        return _SHORT.get(key, key)
    for axis in axes:
        if key in (axis.lower(), axis.lower().rpartition(".")[2]):
            return f"axes {axis}"
    return None


def _value_of(row: RunRow, key: str) -> Any:
    if key.startswith("axes "):
        return row.axes.get(key.removeprefix("axes "))
    return getattr(row, key)


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).lower()


def _number_of(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    return _number(value) if isinstance(value, str) else None


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    try:
        number = float(found["number"]) * _UNITS[found["unit"]]
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
