"""``ddptui stop``: send the order, wait until the runs have ended, and look whether anything of them is left.

How a run ended is read from its files; that it has ended is believed only when no process with its tag lives.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine import control
from engine.core.errors import DdptuiError, InputError
from engine.core.lifecycle import STOPPED_BY_USER
from engine.core.state import is_terminal
from engine.core.wording import count
from engine.processes import list_tagged
from engine.rank_stacks import look_at
from engine.store import ResultsPaths, is_full
from engine.strays import SETTLE_S, StrayProcess, processes_of
from tui.headless import POLL_S, SUPERVISOR_EVERY_S, Interrupts
from tui.output import format_duration, say, strip_escapes, write_line
from tui.run_names import NamedRun, find_run, list_named_runs
from tui.run_row import effective_state
from tui.view.run_row import known_state

__all__ = ["LIMIT_S", "stop_runs"]

LIMIT_S = 45.0
"""20 s from SIGTERM to SIGKILL, 8 s for the node runner to say how its ranks ended, 5 s for the last SIGKILLs, and time
for the supervisor to write it down."""

LOOK_S = 1.0
"""A search by tag reads the environment of every process of the machine."""

_INTERRUPTED = 130


@dataclass
class _Target:
    """One run that is to end.

    Attributes:
        run: which.
        had_ended: before the order came: only what is left of it counts.
        state, reason: as its files say, the effective state.
        is_written: whether its supervisor has written down how it ended.
        left: its processes that lived when they were looked for last.
        is_over: whether there is nothing more to wait for.
        is_verified: whether it has ended and nothing of it is left.
    """

    run: NamedRun
    had_ended: bool
    state: str
    reason: str = ""
    is_written: bool = False
    left: tuple[StrayProcess, ...] = ()
    is_over: bool = False
    is_verified: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its files say so."""
        return _is_final(self.state)

    def read(self) -> None:
        """Read its files again."""
        self.state, status = effective_state(self.run.paths)
        self.is_written = self.had_ended or _is_final(str(status.get("state")))
        self.reason = strip_escapes(str(status.get("reason") or "")).replace("\n", " ")

    def look(self) -> None:
        """Search for its processes, and then read its files: a run writes its end before its last process leaves."""
        self.left = processes_of(self.run.paths, self.run.experiment)
        self.read()


def stop_runs(
    results: ResultsPaths,
    names: Sequence[str],
    *,
    every: bool,
    is_waiting: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Stop the named runs, or all that are queued or going on.

    Args:
        results: the folder.
        names: of the runs.
        every: all instead.
        is_waiting: until they have ended, ``LIMIT_S`` at most.
        clock: monotonic seconds.
        sleep: waits.

    Returns:
        0 where every run has ended and nothing of it is left (or nobody waited for that), 1 where not, 130 where
        Ctrl-C ended the waiting: the order stands.

    Raises:
        InputError: no such run, or no run was named.
        DdptuiError: the order was refused, or nobody answers.
    """
    if every == bool(names):
        raise InputError("name the runs to stop, or give --all (not both)")
    targets = _all_targets(results) if every else _named_targets(results, names)
    going = [target for target in targets if not target.had_ended]
    if not going:
        say("nothing to stop")
    if not targets:
        return 0
    with Interrupts() as interrupts:
        began_s = clock()
        if going:
            _order(results, going)
        if not is_waiting:
            for target in going:
                write_line(target.run.tag)
            return 0
        return _Waiting(results, targets, interrupts, began_s, clock=clock, sleep=sleep).wait()


def _named_targets(results: ResultsPaths, names: Sequence[str]) -> list[_Target]:
    runs = {run.tag: run for run in (find_run(results, name) for name in names)}
    return [_target(run) for run in runs.values()]


def _all_targets(results: ResultsPaths) -> list[_Target]:
    """Those that have not ended, and those that have and of which something lives all the same."""
    tagged = {environment.get("DDPTUI_RUN_DIR") for _, environment in list_tagged()}
    targets = [_target(run) for run in list_named_runs(results)]
    return [t for t in targets if not t.had_ended or str(t.run.paths.root.resolve()) in tagged]


def _target(run: NamedRun) -> _Target:
    state, _ = effective_state(run.paths)
    return _Target(run=run, had_ended=_is_final(state), state=state)


def _is_final(state: str) -> bool:
    known = known_state(state)
    return known is not None and is_terminal(known)


def _order(results: ResultsPaths, targets: Sequence[_Target]) -> None:
    """Send the order; runs that the supervisor does not know are over.

    Raises:
        DdptuiError: it was refused, or nobody answers.
    """
    keys = {(target.run.experiment, target.run.paths.run_id): target for target in targets}
    reply = control.stop(results.root, list(keys))
    unknown = [tuple(key) for key in reply.data.get("unknown") or []]
    if not reply.ok and not unknown:
        raise DdptuiError(reply.message)
    say(reply.message)
    for key in unknown:
        say(f"{'/'.join(key)} was never queued, or its status is gone: there is nothing to stop")
        keys[key].is_over = True


class _Waiting:
    """The wait for the end, with a line of progress on a terminal.

    Args:
        results: the folder.
        targets: the runs.
        interrupts: entered already.
        began_s: when the order was sent, by ``clock``.
        clock: monotonic seconds.
        sleep: waits.
    """

    def __init__(
        self,
        results: ResultsPaths,
        targets: Sequence[_Target],
        interrupts: Interrupts,
        began_s: float,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._results = results
        self._targets = targets
        self._interrupts = interrupts
        self._began_s = began_s
        self._clock = clock
        self._sleep = sleep
        self._line = _ProgressLine()

    def wait(self) -> int:
        """Wait; return the exit code."""
        looked_s = ensured_s = float("-inf")
        while True:
            passed_s = self._clock() - self._began_s
            if self._interrupts.count:
                return self._leave()
            if not self._open():
                break
            for target in self._open():
                target.read()
            if passed_s - looked_s >= LOOK_S or any(target.is_written for target in self._open()):
                looked_s = passed_s
                self._look(passed_s)
            if passed_s - ensured_s >= SUPERVISOR_EVERY_S and any(not t.had_ended for t in self._open()):
                ensured_s = passed_s
                control.ensure_supervisor(self._results.root)  # whoever dies now has left the order in the queue
            if self._open():
                self._line.show(self._describe(passed_s))
                self._sleep(POLL_S)
        return 0 if all(target.is_verified for target in self._targets) else 1

    def _open(self) -> list[_Target]:
        return [target for target in self._targets if not target.is_over]

    def _look(self, passed_s: float) -> None:
        is_disk_full = is_full(self._results.root)
        for target in self._open():
            target.look()
            is_late = passed_s >= (SETTLE_S if target.had_ended else LIMIT_S)
            is_unwritten = is_disk_full and passed_s >= SETTLE_S  # its end is known by its processes alone
            has_ended = target.is_written or is_unwritten or (is_late and target.has_ended)
            target.is_verified = has_ended and not target.left
            target.is_over = target.is_verified or is_late
            if target.is_over:
                self._line.clear()
                write_line(_describe_end(target, passed_s))
                sys.stdout.flush()

    def _describe(self, passed_s: float) -> str:
        waiting = self._open()
        first = waiting[0]
        lives = count(len(first.left), "process", "processes")
        rest = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        times = f"{passed_s:.0f} s of {LIMIT_S:.0f} s at most"
        return f"stopping {first.run.paths.run_id}{rest}: {times}, {lives} left (Ctrl-C leaves)"

    def _leave(self) -> int:
        self._line.clear()
        tags = ", ".join(target.run.tag for target in self._open())
        say(f"not waiting any longer; the order stands, these runs end by themselves: {tags} (`ddptui ls` shows it)")
        return _INTERRUPTED


def _describe_end(target: _Target, passed_s: float) -> str:
    left = "; ".join(_describe_process(process) for process in target.left)
    when = f"after {format_duration(passed_s)}"
    why = "" if target.reason in ("", STOPPED_BY_USER) else f" ({target.reason})"
    if target.had_ended:
        end = f"had ended before: {target.state}"
    elif target.is_verified and not target.is_written:
        end = f"ended {when}"
    elif target.has_ended:
        end = f"{target.state} {when}{why}"
    else:
        end = f"still {target.state} {when}{why}"
    if left:
        hint = "`ddptui clean` ends what has stayed" if target.has_ended else "`ddptui stacks` shows where it is"
        return f"{target.run.tag}: {end}; still alive: {left}; {hint}"
    aside = (
        "" if target.is_written else "; how it ended is not written yet: the disk is full, or its supervisor is gone"
    )
    return f"{target.run.tag}: {end}, nothing of it is left{aside}"


def _describe_process(process: StrayProcess) -> str:
    return f"pid {process.pid} ({process.role}, {look_at(process.pid).state})"


class _ProgressLine:
    """One line of a terminal that is written over; nothing where stderr is none."""

    def __init__(self) -> None:
        self._is_shown = False

    def show(self, text: str) -> None:
        """Show ``text``, cut at the width of the terminal."""
        if sys.stderr.isatty():
            width = max(shutil.get_terminal_size().columns - 1, 1)
            sys.stderr.write(f"\r\x1b[K{strip_escapes(text)[:width]}")
            sys.stderr.flush()
            self._is_shown = True

    def clear(self) -> None:
        """Take it away."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_shown = False
