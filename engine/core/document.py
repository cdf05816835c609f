"""A TOML text as values, with the exact place of every key and value.

``tomli`` gives the values and decides what is valid; ``tree-sitter-toml`` gives the places. A place that the tree does
not know (it lags behind TOML 1.1 in corners) falls back to the nearest one around it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tomli
import tree_sitter
import tree_sitter_toml

from engine.core.errors import InputError, Problem

__all__ = ["MAX_DEPTH", "Document", "Path", "decode_text", "nested_values", "parse_document", "unusable_value"]

Path = tuple[str | int, ...]
"""Keys of tables and indices of arrays, from the root: ``("experiment", 0, "matrix", "world_size", 1)``."""

Place = tuple[int, int]
"""Line (1-based) and column (1-based, in characters)."""

MAX_DEPTH = 40
"""Tables and arrays nested deeper than this are refused: recursion over the values is then safe everywhere."""

_LANGUAGE = tree_sitter.Language(tree_sitter_toml.language())
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_CLEARER = {
    "Invalid value": 'this is not a TOML value; text needs quotes, as in strategy = "ddp"',
    "Invalid statement": "this is neither `key = value` nor a [table] header",
    "Cannot overwrite a value": "this key is already given above",
    "Unterminated string": "a string is not closed before the end of the file",
    "Illegal character '\\n'": "the text has no closing quote on its line",
    "Expected '=' after a key in a key/value pair": "expected '=' after the key; a key with a space or a letter beyond "
    "a-z needs quotes",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A parsed TOML file.

    Attributes:
        file: as the user named it.
        text: the source.
        data: the values.
        key_points: of every key, in bytes; a table's own key is the first that mentions it.
        value_points: of every value written with ``=`` or in an array, in bytes.
        lines: of the source, in bytes.
    """

    file: str
    text: str
    data: dict[str, Any]
    key_points: dict[Path, tree_sitter.Point]
    value_points: dict[Path, tree_sitter.Point]
    lines: list[bytes]

    def knows(self, path: Path) -> bool:
        """Whether ``path`` is written in the file."""
        return path in self.key_points or path in self.value_points

    def position(self, path: Path) -> Place:
        """Line and column of the value at ``path``; of what is nearest around it where there is none.

        (1, 1) for the root of the file.
        """
        for length in range(len(path), 0, -1):
            part = path[:length]
            point = self.value_points.get(part) or self.key_points.get(part)
            if point is not None:
                return self._place(point)
        return (1, 1)

    def key_position(self, path: Path) -> Place:
        """Line and column of the key at ``path`` (of an element for an index); else as ``position``."""
        point = self.key_points.get(path)
        return self.position(path) if point is None else self._place(point)

    def _place(self, point: tree_sitter.Point) -> Place:
        """The tree counts from 0 and columns in bytes, people from 1 and in characters."""
        row, column = point
        return row + 1, len(self.lines[row][:column].decode(errors="replace")) + 1

    def problem(self, path: Path, message: str, *, key: str = "", at_key: bool = False) -> Problem:
        """Make the ``Problem`` that points at ``path``."""
        line, column = self.key_position(path) if at_key else self.position(path)
        return Problem(message=message, file=self.file, line=line, column=column, key=key)


def decode_text(content: bytes, file: str) -> str:
    """Decode the bytes of a file.

    Raises:
        InputError: not UTF-8; with line and column.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
        message = f"this byte (0x{content[error.start]:02x}) is not UTF-8 text; save the file as UTF-8"
        raise InputError([Problem(message=message, file=file, line=line, column=column)]) from None


def parse_document(text: str, file: str) -> Document:
    """Parse ``text``, the content of ``file`` (which is only named, never read).

    Raises:
        InputError: not TOML, or values that no experiment file can hold (dates, NaN, integers beyond 64 bits, nesting
            deeper than ``MAX_DEPTH``).
    """
    data = _load(text, file)
    content = text.encode()
    keys, values = _find_points(content)
    document = Document(
        file=file, text=text, data=data, key_points=keys, value_points=values, lines=content.split(b"\n")
    )
    problems = [
        document.problem(path, message, key=_name_of(path))
        for path, value in nested_values(data)
        if (message := unusable_value(path, value))
    ]
    if problems:
        raise InputError(problems)
    return document


def _name_of(path: Path) -> str:
    """The key as the user wrote it: of an experiment's key without the experiment, as in every other message."""
    own = path[2:] if path[0] == "experiment" and len(path) > 2 else path
    return ".".join(str(part) for part in own[:8])


def nested_values(data: object) -> Iterator[tuple[Path, Any]]:
    """Every value below ``data`` with its path, tables and arrays included, down to one level beyond ``MAX_DEPTH``."""
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if path:
            yield path, value
        if len(path) > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            waiting.extend(((*path, key), child) for key, child in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(((*path, index), child) for index, child in reversed(list(enumerate(value))))


def unusable_value(path: Path, value: object) -> str:
    """Say why ``value`` at ``path`` cannot stand in an experiment file, or "" where it can."""
    if len(path) > MAX_DEPTH:
        return f"tables and arrays are nested more than {MAX_DEPTH} levels deep"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "this whole number does not fit 64 bits"
    if not isinstance(value, str | int | float | dict | list):
        return f"a {type(value).__name__} has no meaning here; put it in quotes to make it text"
    return ""


def _load(text: str, file: str) -> dict[str, Any]:
    def refuse(message: str, line: int = 1, column: int = 1) -> InputError:
        return InputError([Problem(message=message, file=file, line=line, column=column)])

    if text.startswith("\ufeff"):
        raise refuse("the file begins with a byte order mark; save it as UTF-8 without BOM")
    for index, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            line, column = _place_of(text, index)
            raise refuse("this is not text (a NUL or half a character); is it really a TOML file?", line, column)
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        message = _CLEARER.get(error.msg) or error.msg[:1].lower() + error.msg[1:]
        line, column = _place_of(text, min(error.pos, len(text.rstrip()))) if text.strip() else (1, 1)
        raise refuse(f"not valid TOML: {message}", line, column) from None
    except RecursionError:
        raise refuse(f"tables and arrays are nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:
        # Python's own limit on the digits of an integer; tomli lets it through without a place.
        found = re.search(r"\d[\d_]{4000,}", text)
        line, column = _place_of(text, found.start()) if found else (1, 1)
        raise refuse("this number has too many digits", line, column) from None


def _place_of(text: str, index: int) -> Place:
    start = text.rfind("\n", 0, index) + 1
    return text.count("\n", 0, start) + 1, index - start + 1


class _Points:
    """Collects where keys and values begin while the tree is walked."""

    def __init__(self, content: bytes) -> None:
        self.keys: dict[Path, tree_sitter.Point] = {}
        self.values: dict[Path, tree_sitter.Point] = {}
        self._content = content
        self._num_elements: dict[Path, int] = {}

    def header(self, node: tree_sitter.Node) -> Path:
        """Enter ``[a.b]`` or ``[[a.b]]``; returns the path of its table, with the index of array tables."""
        is_array = node.type == "table_array_element"
        path: Path = ()
        parts = self._key_parts(node.named_children[0]) if node.named_children else []
        for number, (name, part) in enumerate(parts):
            path = (*path, name)
            self.keys.setdefault(path, part.start_point)
            if is_array and number == len(parts) - 1:
                self._num_elements[path] = self._num_elements.get(path, 0) + 1
            if path in self._num_elements:
                path = (*path, self._num_elements[path] - 1)
                self.keys.setdefault(path, part.start_point)
        return path

    def pair(self, path: Path, node: tree_sitter.Node) -> None:
        """Enter ``key = value`` and all that is inside the value."""
        waiting = [(path, node)]
        while waiting:
            path, node = waiting.pop()
            if node.type != "pair":
                self.values.setdefault(path, node.start_point)
                waiting.extend(self._inside(path, node))
                continue
            children = [child for child in node.named_children if child.type not in ("comment", "ERROR")]
            if len(children) < 2:
                continue
            for name, part in self._key_parts(children[0]):
                path = (*path, name)
                self.keys.setdefault(path, part.start_point)
            waiting.append((path, children[-1]))

    def _inside(self, path: Path, node: tree_sitter.Node) -> Iterator[tuple[Path, tree_sitter.Node]]:
        if node.type == "inline_table":
            yield from ((path, child) for child in _flatten_errors(node) if child.type == "pair")
        elif node.type == "array":
            elements = [child for child in _flatten_errors(node) if child.is_named and child.type != "comment"]
            yield from (((*path, index), child) for index, child in enumerate(elements))

    def _key_parts(self, node: tree_sitter.Node) -> list[tuple[str, tree_sitter.Node]]:
        """``a."b c".d`` as its parts; the tree nests them to the left."""
        nodes = []
        while node.type == "dotted_key":
            *rest, last = node.named_children
            nodes.append(last)
            node = rest[0]
        nodes.append(node)
        return [(self._key_name(part), part) for part in reversed(nodes)]

    def _key_name(self, node: tree_sitter.Node) -> str:
        source = self._content[node.start_byte : node.end_byte].decode(errors="replace")
        if node.type != "quoted_key":
            return source
        try:
            return next(iter(tomli.loads(f"{source} = 0")))
        except tomli.TOMLDecodeError:
            return source


def _flatten_errors(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Children of ``node``, those of ERROR nodes in their place."""
    for child in node.children:
        if child.type == "ERROR":
            yield from _flatten_errors(child)
        else:
            yield child


def _find_points(content: bytes) -> tuple[dict[Path, tree_sitter.Point], dict[Path, tree_sitter.Point]]:
    parser = tree_sitter.Parser(_LANGUAGE)
    root = parser.parse(content).root_node
    if root.has_error:
        # The escapes \e and \x of TOML 1.1 are unknown to the grammar: same length, known to it.
        tamed = _ESCAPE.sub(lambda match: rb"\n" if match[1] in b"ex" else match[0], content)
        root = parser.parse(tamed).root_node
    points = _Points(content)
    for node in _flatten_errors(root):
        if node.type == "pair":
            points.pair((), node)
        elif node.type in ("table", "table_array_element"):
            path = points.header(node)
            for child in _flatten_errors(node):
                if child.type == "pair":
                    points.pair(path, child)
    return points.keys, points.values
