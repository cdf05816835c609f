"""``report.md``: the report as Markdown, with the figures as files beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from engine.report.blocks import Block, Bullets, Code, Figures, Paragraph, Section, Table
from engine.report.wording import plain_text

__all__ = ["render_markdown"]

_SPECIAL = re.compile(r"([\\`*{}\[\]<>|~&$#]|(?<!\w)_|_(?!\w))")
_LINE_START = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
"""A list begins so."""


def render_markdown(title: str, lead: Sequence[str], sections: Sequence[Section], *, folder: Path) -> str:
    """Return the page; ``folder`` is where it will lie, for the links to its figures."""
    parts = [f"# {_escape(title)}", *(_escape(line) for line in lead)]
    for section in sections:
        parts.append(f"## {_escape(section.title)}")
        parts += [_block(block, folder) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, folder: Path) -> str:
    match block:
        case Paragraph():
            return _escape(block.text)
        case Bullets():
            return "\n".join(f"- {_escape(line)}" for line in block.lines)
        case Table():
            return _table(block)
        case Code():
            return _code(block)
        case Figures():
            return "\n\n".join(
                f"![{_escape(picture.caption)}]({os.path.relpath(picture.path, folder)})" for picture in block.pictures
            )


def _table(table: Table) -> str:
    rule = ["---:" if index in table.numeric else ":---" for index in range(len(table.header))]
    lines = ["| " + " | ".join(_escape(name) or " " for name in table.header) + " |", "| " + " | ".join(rule) + " |"]
    for index, row in enumerate(table.rows):
        cells = [_escape(cell) for cell in row]
        if index in table.strong_rows:
            cells = [f"**{cell}**" for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _code(code: Code) -> str:
    body = plain_text(code.text, max_length=100_000).rstrip()
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(longest + 1, 3)  # text with a fence in it cannot end the block
    return f"{fence}{code.language}\n{body}\n{fence}"


def _escape(value: str) -> str:
    """Every character that Markdown or HTML gives a meaning, taken literally; one line."""
    flat = " ".join(plain_text(value).split())
    return _LINE_START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", flat))
