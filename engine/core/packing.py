"""Take objects of known classes apart into plain JSON and columns of numbers, and put them together again.

Nothing is executed that the data names: an object is made of a class from a given list, with the attributes that class
has. Columns and objects that were shared are shared again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import Any

__all__ = ["Packer", "Unpacker", "fingerprint"]

_OBJECT, _AGAIN, _COLUMN, _MAP = "object", "again", "column", "map"
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set}


def fingerprint(classes: Sequence[Any]) -> str:
    """Another text for classes with other attributes: what was packed with those cannot be unpacked with these."""
    words = [f"{cls.__name__} {_annotations(cls)} {cls.__init__.__code__.co_names}" for cls in classes]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _annotations(cls: type) -> list[tuple[str, str]]:
    annotations = (item for base in cls.__mro__ for item in vars(base).get("__annotations__", {}).items())
    return sorted((name, str(kind)) for name, kind in annotations)


class Packer:
    """Packs one value.

    Args:
        classes: whose objects may be in it.

    Attributes:
        columns: every ``array('d')`` of it, each once.

    Raises:
        TypeError: from ``pack``, for anything else.
    """

    def __init__(self, classes: Sequence[type]) -> None:
        self._names = {cls: cls.__name__ for cls in classes}
        self._places: dict[int, int] = {}
        self.columns: list[array[float]] = []
        self._num_objects = 0

    def pack(self, value: Any) -> Any:
        """Return ``value`` as JSON; NaN and Infinity may be in it."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if id(value) in self._places:
            return [_COLUMN if isinstance(value, array) else _AGAIN, self._places[id(value)]]
        if isinstance(value, array):
            self._places[id(value)] = len(self.columns)
            self.columns.append(value)
            return [_COLUMN, len(self.columns) - 1]
        if isinstance(value, dict):
            return [_MAP, [[self.pack(key), self.pack(item)] for key, item in value.items()]]
        for kind, cls in _SEQUENCES.items():
            if type(value) is cls:
                return [kind, [self.pack(item) for item in value]]
        if type(value) not in self._names:
            raise TypeError(f"{type(value).__name__} cannot be packed")
        self._places[id(value)] = self._num_objects
        self._num_objects += 1
        fields = [[name, self.pack(getattr(value, name))] for name in _names_of(value)]
        return [_OBJECT, self._names[type(value)], fields]


def _names_of(value: Any) -> list[str]:
    return list(vars(value)) if hasattr(value, "__dict__") else list(type(value).__slots__)


class Unpacker:
    """Puts together what a ``Packer`` took apart.

    Args:
        classes: whose objects may be in it.
        columns: the packer's.

    Raises:
        ValueError, TypeError, KeyError, IndexError, AttributeError: from ``unpack``, for what no packer wrote.
    """

    def __init__(self, classes: Sequence[type], columns: Sequence[array[float]]) -> None:
        self._classes = {cls.__name__: cls for cls in classes}
        self._columns = columns
        self._objects: list[Any] = []

    def unpack(self, packed: Any) -> Any:
        """Return the value."""
        if not isinstance(packed, list):
            return packed
        kind, *rest = packed
        if kind == _COLUMN:
            return self._columns[rest[0]]
        if kind == _AGAIN:
            return self._objects[rest[0]]
        if kind == _MAP:
            return {self.unpack(key): self.unpack(item) for key, item in rest[0]}
        if kind == _OBJECT:
            return self._unpack_object(*rest)
        return _SEQUENCES[kind](self.unpack(item) for item in rest[0])

    def _unpack_object(self, name: str, fields: list[list[Any]]) -> Any:
        cls = self._classes[name]
        value: Any = object.__new__(cls)
        self._objects.append(value)
        for key, item in fields:
            object.__setattr__(value, key, self.unpack(item))  # some classes are frozen
        return value
