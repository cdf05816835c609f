"""What ends a run by its own policy: a loss that is no number, files for which there is no room.

Ranks see different losses and write to different disks. What each has met is added up over all of them where they
agree anyway, so that every rank raises the same error after the same step and none is left alone in a collective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.core.causes import describe_no_room
from engine.core.errors import DdptuiError, DiskFullError, NonFiniteLossError
from engine.core.spec import RunConfig
from engine.worker.emit import NonFinite

__all__ = ["Policies"]

_NUMBERS = 3
_WHATS = ("NaN", "infinite")


class Policies:
    """Looks whether the run must end. Every rank calls ``check`` at the same steps.

    Args:
        config: with the policies.
        rank, world_size: this rank's place.
        sum_over_ranks: of the strategy.
        find_nonfinite: what this rank knows of its losses.
        write_down: writes the lines of all steps so far; afterwards ``find_nonfinite`` knows all losses. A collective.
        find_no_room: the error number of the last file that this rank could not write for want of room; 0 for none.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        rank: int,
        world_size: int,
        sum_over_ranks: Callable[[list[float]], list[float]],
        find_nonfinite: Callable[[], NonFinite | None],
        find_no_room: Callable[[], int],
        write_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._stops_on_nonfinite = config.on_nonfinite == "stop"
        self._stops_on_disk_full = config.on_disk_full == "stop"
        self._first, self._count = rank * _NUMBERS, world_size * _NUMBERS
        self._sum_over_ranks = sum_over_ranks
        self._find_nonfinite = find_nonfinite
        self._find_no_room = find_no_room
        self._write_down = write_down

    def check(self) -> None:
        """Look; costs nothing where no policy is to stop, else it is a collective.

        Raises:
            NonFiniteLossError, DiskFullError: on every rank.
        """
        if not (self._stops_on_nonfinite or self._stops_on_disk_full):
            return
        sums = self._exchange()
        if _nonfinite_error(sums):  # one rank knows of one: which was the first may be in lines not yet written
            self._write_down()
            sums = self._exchange()
        error = _nonfinite_error(sums) or _disk_error(sums)
        if error is not None:
            raise error

    def _exchange(self) -> list[float]:
        numbers = [0.0] * self._count
        numbers[self._first : self._first + _NUMBERS] = self._own_numbers()
        return self._sum_over_ranks(numbers)

    def _own_numbers(self) -> list[float]:
        found = self._find_nonfinite() if self._stops_on_nonfinite else None
        no_room = self._find_no_room() if self._stops_on_disk_full else 0
        return [found.step + 1.0, float(_WHATS.index(found.what)), no_room] if found else [0.0, 0.0, float(no_room)]


def _nonfinite_error(sums: Sequence[float]) -> DdptuiError | None:
    steps = [(step, int(what)) for step, what in zip(sums[::_NUMBERS], sums[1::_NUMBERS], strict=True) if step]
    if not steps:
        return None
    step, what = min(steps)
    return NonFiniteLossError(f"loss is {_WHATS[what]} at step {int(step) - 1}")


def _disk_error(sums: Sequence[float]) -> DdptuiError | None:
    number = next((int(number) for number in sums[2::_NUMBERS] if number), 0)
    if not number:
        return None
    what = f'{describe_no_room(number)} (on_disk_full = "stop")'
    return DiskFullError(f"{what}: once there is room, `ddptui retry` goes on from the newest snapshot")
