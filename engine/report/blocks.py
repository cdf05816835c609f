"""What a report page is built of; the pages (HTML, Markdown) only write these down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "Bullets", "Code", "Figures", "Paragraph", "Picture", "Section", "Table"]


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list of lines."""

    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Text cells; columns whose index is in ``numeric`` are set to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    strong_rows: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text as it is, in a fixed-width font."""

    text: str
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Pictures beside one another where there is room."""

    pictures: Sequence[Picture]


Block = Paragraph | Bullets | Table | Code | Figures


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]
