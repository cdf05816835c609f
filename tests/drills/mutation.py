"""Seeded mutation of bytes: what a failing disk, a torn write or an editor's slip makes of a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

__all__ = ["mutate_bytes"]

_ODD = (
    b"\x00",
    b"\xff",
    b"\xc3\x28",
    b"\r",
    b"\n",
    b"\t",
    b"\x1b[2J",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b'"',
    b"'",
    b"\\",
)


def mutate_bytes(content: bytes, random_: random.Random, others: Sequence[bytes], *, most: int = 4) -> bytes:
    """Return ``content`` after some mutations.

    Args:
        content: what is mutated.
        random_: decides everything.
        others: contents from which pieces are taken.
        most: mutations at most.
    """
    for _ in range(random_.randint(1, most)):
        content = random_.choice(_WAYS)(content, random_, others)
    return content


def _flip(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    place = random_.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << random_.randrange(8)]) + content[place + 1 :]


def _cut(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    return content[: random_.randint(0, len(content))]


def _remove(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    begin, end = _span(content, random_)
    return content[:begin] + content[end:]


def _repeat(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    begin, end = _span(content, random_)
    return content[:end] + content[begin:end] * random_.choice([1, 1, 2, 50]) + content[end:]


def _insert_odd(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    place = random_.randint(0, len(content))
    return content[:place] + random_.choice(_ODD) * random_.choice([1, 1, 3]) + content[place:]


def _insert_noise(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    place = random_.randint(0, len(content))
    return content[:place] + random_.randbytes(random_.randint(1, 12)) + content[place:]


def _splice(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    other = random_.choice(others)
    begin, end = _span(other, random_)
    place = random_.randint(0, len(content))
    return content[:place] + other[begin:end] + content[place:]


def _swap_lines(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    lines = content.split(b"\n")
    one, other = random_.randrange(len(lines)), random_.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _drop_line(content: bytes, random_: random.Random, others: Sequence[bytes]) -> bytes:
    lines = content.split(b"\n")
    del lines[random_.randrange(len(lines))]
    return b"\n".join(lines)


def _span(content: bytes, random_: random.Random) -> tuple[int, int]:
    begin = random_.randint(0, len(content))
    return begin, min(begin + random_.choice([1, 2, 5, 20, 100]), len(content))


_WAYS: Sequence[Callable[[bytes, random.Random, Sequence[bytes]], bytes]] = (
    _flip,
    _cut,
    _remove,
    _repeat,
    _insert_odd,
    _insert_noise,
    _splice,
    _swap_lines,
    _drop_line,
)
