"""The queue of a results folder and who owns it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.run_queue import RunQueue
from engine.core.wording import count
from engine.store import ResultsPaths, read_json
from tui.view.run_row import RunRow

__all__ = ["Health", "describe_orphans", "describe_unreadable"]

_NO_QUEUE = RunQueue()


class Health:
    """Looks at the supervisor's files.

    Args:
        results: may not exist.

    Attributes:
        queue: as it is stored.
        has_supervisor: None where that cannot be known from here.
    """

    def __init__(self, results: ResultsPaths) -> None:
        self._results = results
        self.queue = _NO_QUEUE
        self.has_supervisor: bool | None = False

    def look(self) -> set[str]:
        """Read both; return the tags of the runs that moved in the queue, into it or out of it."""
        value = read_json(self._results.queue)
        queue = _NO_QUEUE if value is None else RunQueue.from_json(value)
        before, self.queue = self.queue, queue
        self.has_supervisor = self._ask()
        return {tag for tag, _ in _places(before) ^ _places(queue)}

    def _ask(self) -> bool | None:
        if not read_json(self._results.lock):
            return False
        from engine.wake import is_supervisor_alive  # loads psutil: only where there is somebody to ask for

        return is_supervisor_alive(self._results.root)


def describe_orphans(num_waiting: int, num_active: int, *, has_supervisor: bool | None) -> str:
    """Say that nobody looks after the runs, or ""."""
    if has_supervisor is not False or not num_waiting + num_active:
        return ""
    parts = [f"{count(num_waiting, 'run')} wait{'s' if num_waiting == 1 else ''}"] if num_waiting else []
    if num_active:
        parts.append(f"{count(num_active, 'run')} unattended")
    return f"its supervisor is gone: {', '.join(parts)}; `ddptui retry` takes them up"


def describe_unreadable(rows: Sequence[RunRow]) -> str:
    """Name the file that is torn, or ""."""
    if not rows:
        return ""
    more = f" (and {count(len(rows) - 1, 'run')} more)" if len(rows) > 1 else ""
    return f"{rows[0].tag}: {rows[0].reason}{more}"


def _places(queue: RunQueue) -> set[tuple[str, bool]]:
    """Per run whether it is active or waits."""
    return {(entry.tag, True) for entry in queue.active} | {(entry.tag, False) for entry in queue.waiting}
