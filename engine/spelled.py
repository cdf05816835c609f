"""Small JSON objects spelled in the names of empty files: a full disk has room for a name where it has none for a byte.

``<id>.<part>of<parts>.<letters>.spelled``: the letters of all parts in their order are the object as JSON, compressed,
in base64 for file names. It is there once all parts are; the order in which they come does not matter.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ddptui.privacy import FILE_MODE
from engine.ownership import check_own_file

__all__ = ["find_spelled", "is_spelled", "read_spelled", "remove_files", "spell"]

_LETTERS = 180
"""A name has 255 bytes on most file systems; the id takes up to 40."""
_MAX_PARTS = 64
_MAX_BYTES = 1 << 20

_NAME = re.compile(r"(?P<id>[A-Za-z0-9-]{1,60})\.(?P<part>\d{2})of(?P<parts>\d{2})\.(?P<letters>[\w-]{1,180})\.spelled")


def spell(folder: Path, message_id: str, value: dict[str, Any]) -> bool:
    """Spell ``value`` in the names of empty files.

    Args:
        folder: is there.
        message_id: letters, digits and hyphens.
        value: a JSON object.

    Returns:
        Whether it is there: False where it is too long for names, or where there is no room for names either.
    """
    letters = base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode(), 9)).decode().rstrip("=")
    chunks = [letters[i : i + _LETTERS] for i in range(0, len(letters), _LETTERS)]
    if len(chunks) > _MAX_PARTS:
        return False
    paths = [
        folder / f"{message_id}.{number:02d}of{len(chunks):02d}.{chunk}.spelled" for number, chunk in enumerate(chunks)
    ]
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        except OSError:
            remove_files(paths)
            return False
    return True


def is_spelled(name: str) -> bool:
    """Whether ``name`` is a part of something spelled."""
    return _NAME.fullmatch(name) is not None


def find_spelled(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of all parts, in their order, of every object that is there as a whole, by its id."""
    groups: dict[tuple[str, int], dict[int, str]] = {}
    for name in names:
        found = _NAME.fullmatch(name)
        if found is not None and int(found["part"]) < int(found["parts"]) <= _MAX_PARTS:
            groups.setdefault((found["id"], int(found["parts"])), {})[int(found["part"])] = name
    return {
        message_id: [parts[number] for number in range(num_parts)]
        for (message_id, num_parts), parts in groups.items()
        if len(parts) == num_parts
    }


def read_spelled(folder: Path, names: Sequence[str]) -> dict[str, Any] | None:
    """Return what the names say, or None where that is no JSON object.

    Args:
        folder: in which they are.
        names: of one object, of ``find_spelled``.

    Raises:
        RefusedFileError: one belongs to another user, is a link, or no regular file.
    """
    letters = ""
    for name in names:
        found = _NAME.fullmatch(name)
        check_own_file(folder / name)
        letters += found["letters"] if found is not None else ""
    try:
        packed = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
        value = json.loads(zlib.decompressobj().decompress(packed, _MAX_BYTES))
    except (ValueError, zlib.error, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def remove_files(paths: Iterable[Path]) -> int:
    """Remove files; return how many were there."""
    num_removed = 0
    for path in paths:
        with contextlib.suppress(OSError):  # gone: somebody else was faster
            path.unlink()
            num_removed += 1
    return num_removed
