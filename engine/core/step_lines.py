"""Read ``step`` lines fast: nearly all lines of a run are one, and a chart wants every one of them.

Two ways to the same value: a typed decoder that skips what nobody draws, and, for a line that it does not like,
``decode_line`` and the lenient fields. What the first one takes, the second one takes too, with the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, cast

import msgspec

from engine.core.events import MAX_LINE_BYTES, Event, decode_line
from engine.core.fields import number, number_map, whole, whole_or

__all__ = ["StepLine", "read_block", "read_step", "step_from_event", "take_apart"]

MIN_HALVED_BYTES = 8192
"""A piece of lines that is not longer is read line by line where one of them is odd."""

_TOO_LARGE = 2**53
_Count = Annotated[int, msgspec.Meta(ge=0, lt=_TOO_LARGE)]
_Positive = Annotated[int, msgspec.Meta(ge=1, lt=_TOO_LARGE)]
_Seconds = Annotated[float, msgspec.Meta(ge=0.0)]


class StepLine(msgspec.Struct, gc=False, tag_field="kind", tag="step"):
    """What curves need of a ``step`` line; the units are those of the line.

    ``loss`` is None where the rank does not know it, and NaN or infinite where that is what it was.
    """

    rank: _Count
    attempt: _Count
    time_s: float
    epoch: _Count
    step_first: _Count
    step: _Count
    num_steps: _Positive
    window_s: _Seconds
    phases: dict[str, float]
    samples: _Count = 0
    loss: float | None = None
    correct: float | None = None
    lr: float | None = None
    resumed_from_step: Literal[0] = 0


_OTHER_KINDS = (
    "run_start", "epoch_start", "epoch_stop", "eval", "metric", "snapshot", "message", "error", "run_stop", "system",
)  # fmt: skip
_OTHERS = [msgspec.defstruct(f"_{kind}", [], tag_field="kind", tag=kind) for kind in _OTHER_KINDS]
_decode_line = msgspec.json.Decoder(StepLine).decode
_decode_lines = msgspec.json.Decoder(Union[StepLine, *_OTHERS]).decode_lines
_MARK = b'"kind":"step"'
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def read_step(line: bytes) -> StepLine | None:
    """Return the step of a line as ranks write them, or None: then the slow way must see it.

    Skipped text is not checked for what ``decode_line`` refuses, so only plain ASCII goes this way.
    """
    if _MARK not in line or len(line) > MAX_LINE_BYTES or not line.isascii():
        return None
    try:
        return _decode_line(line)
    except _UNREADABLE:
        return None


def read_block(block: bytes) -> list[StepLine | object] | None:
    """Return the step of each of many lines, anything else for one of another kind; None where one is not plain.

    A third of the time that they take one by one.
    """
    if len(block) > MAX_LINE_BYTES or not block.isascii():
        return None
    try:
        read = _decode_lines(block)
    except _UNREADABLE:
        return None
    # There are fewer where a line is blank, or a value is spread over two lines, which is none.
    return read if len(read) == block.count(b"\n") + 1 else None


def take_apart(block: bytes) -> Iterator[list[StepLine] | Event | None]:
    """Yield what whole lines hold, in their order: steps together, other events one by one, None for garbage."""
    read = read_block(block)
    if read is not None:
        yield from _between_steps(block, read)
    elif len(block) > MIN_HALVED_BYTES and (border := block.find(b"\n", len(block) // 2)) >= 0:
        # Odd lines are few: all but the pieces around them goes the fast way.
        yield from take_apart(block[:border])
        yield from take_apart(block[border + 1 :])
    else:
        for line in block.split(b"\n"):
            step = read_step(line)
            if step is not None:
                yield [step]
            elif line.strip():
                yield decode_line(line)


def _between_steps(block: bytes, read: list[StepLine | object]) -> Iterator[list[StepLine] | Event | None]:
    if set(map(type, read)) == {StepLine}:
        yield cast("list[StepLine]", read)
        return
    begin = 0
    for index, line in enumerate(block.split(b"\n")):
        if type(read[index]) is not StepLine:
            if begin < index:
                yield cast("list[StepLine]", read[begin:index])
            yield decode_line(line)
            begin = index + 1
    if begin < len(read):
        yield cast("list[StepLine]", read[begin:])


def step_from_event(event: Event, rank: int, attempt: int, last_epoch: int) -> StepLine | None:
    """Return the step of an event of kind ``step``, or None where it makes no sense (as ``RankRecord`` sees it)."""
    step, window_s = whole(event, "step"), number(event, "window_s")
    if step is None or step < 0 or window_s is None or window_s < 0:
        return None
    first = min(max(whole_or(event, "step_first", step), 0), step)
    num_steps = whole_or(event, "num_steps", step - first + 1)
    if num_steps <= 0:
        return None
    time_s = number(event, "time_s")
    return StepLine(
        rank=rank,
        attempt=attempt,
        time_s=math.nan if time_s is None else time_s,
        epoch=whole_or(event, "epoch", last_epoch),
        step_first=first,
        step=step,
        num_steps=num_steps,
        window_s=window_s,
        phases=number_map(event, "phases"),
        samples=max(whole_or(event, "samples", 0), 0),
        loss=_loss(event.get("loss")),
        correct=number(event, "correct"),
        lr=number(event, "lr"),
    )


def _loss(value: Any) -> float | None:
    if isinstance(value, float):
        return value
    return number({"loss": value}, "loss")
