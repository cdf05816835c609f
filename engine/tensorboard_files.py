"""Read the scalars of TensorBoard event files as they grow; nothing of TensorBoard or protobuf is needed.

A file is a row of records (TFRecord): length (8 bytes, little endian), masked CRC-32C of these, data, masked CRC-32C of
the data. The data is an ``Event`` message of which only ``wall_time`` (1), ``step`` (2) and the scalars of ``summary``
(5) are read. Sources: tensorflow/core/lib/io/record_writer.h, tensorboard/compat/proto/{event,summary,tensor}.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["EventFile", "Scalar", "find_event_files"]

MAX_RECORD_BYTES = 1 << 26
"""A longer record is garbage."""

MAX_SCALAR_BYTES = 4096
"""A longer record is an image, a histogram, a graph: it is passed over unread."""

READ_BYTES = 1 << 20
"""Read at most so much of a file at once."""

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DT_FLOAT, _DT_DOUBLE = 1, 2


class Scalar(NamedTuple):
    """One value."""

    tag: str
    step: int
    time_s: float
    value: float


def find_event_files(folder: Path) -> list[Path]:
    """Every event file under ``folder``, in a fixed order; none where it cannot be read."""
    try:
        return sorted(path for path in folder.rglob("*tfevents*") if path.is_file())
    except OSError:
        return []


class EventFile:
    """Follows one file.

    Args:
        path: of the file.

    Attributes:
        num_garbage: records whose checksum is wrong or that hold no event. After a wrong length nothing more can be
            found in the file, and no more is read of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_garbage = 0
        self._offset = 0
        self._rest = b""
        self._is_lost = False

    def read(self) -> list[Scalar]:
        """Return the scalars that were written since the last call and are whole."""
        if self._is_lost:
            return []
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(READ_BYTES)
        except OSError:
            return []  # gone, or not to be read: there is nothing new
        self._offset += len(chunk)
        self._rest += chunk
        return [scalar for record in self._records() for scalar in self._scalars(record)]

    def _records(self) -> Iterator[bytes]:
        place, data = 0, self._rest
        while len(data) - place >= _HEADER.size + _FOOTER.size:
            length, check = _HEADER.unpack_from(data, place)
            if length > MAX_RECORD_BYTES or check != _masked_crc(data[place : place + 8]):
                self._is_lost = True
                self.num_garbage += 1
                self._rest = b""
                return
            begin = place + _HEADER.size
            if len(data) < begin + length + _FOOTER.size:
                break
            record = data[begin : begin + length]
            place = begin + length + _FOOTER.size
            if length > MAX_SCALAR_BYTES:
                continue
            if _FOOTER.unpack_from(data, begin + length)[0] == _masked_crc(record):
                yield record
            else:
                self.num_garbage += 1
        self._rest = data[place:]

    def _scalars(self, record: bytes) -> list[Scalar]:
        try:
            return _read_event(record)
        except (ValueError, IndexError, struct.error):
            self.num_garbage += 1
            return []


def _read_event(record: bytes) -> list[Scalar]:
    time_s, step, summary = math.nan, 0, b""
    for number, value in _fields(record):
        if number == 1 and isinstance(value, bytes):
            time_s = struct.unpack("<d", value)[0]
        elif number == 2 and isinstance(value, int):
            step = value
        elif number == 5 and isinstance(value, bytes):
            summary = value
    scalars = []
    for number, value in _fields(summary):
        if number == 1 and isinstance(value, bytes):
            tag, scalar = _read_value(value)
            if tag and scalar is not None:
                scalars.append(Scalar(tag, step, time_s, scalar))
    return scalars


def _read_value(message: bytes) -> tuple[str, float | None]:
    """The tag (1) and the scalar: ``simple_value`` (2), or a ``tensor`` (8) of one element."""
    tag, scalar = "", None
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode()
        elif number == 2:
            scalar = struct.unpack("<f", value)[0]
        elif number == 8:
            scalar = _read_tensor(value)
    return tag, scalar


def _read_tensor(message: bytes) -> float | None:
    """A tensor of one float or double: ``dtype`` (1), ``tensor_shape`` (2), ``tensor_content`` (4) or its values."""
    kind, content = 0, b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes) and any(number == 2 for number, _ in _fields(value)):
            return None  # it has dimensions: no scalar
        elif number in (4, 5, 6) and isinstance(value, bytes) and value:
            content = value
    form = {_DT_FLOAT: "<f", _DT_DOUBLE: "<d"}.get(kind)
    if form is None or len(content) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, content)[0])


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of every field: an int of a varint, else the bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown kind of field: {kind}")
        if place + size > len(message):
            raise ValueError("a field that is longer than its message")
        yield number, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and offset as TFRecord has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
