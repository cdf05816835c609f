"""``ddptui stacks``: where every rank of a run is now."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine import control
from engine.core.errors import DdptuiError, InputError
from engine.core.fields import whole
from engine.core.lifecycle import stored_state
from engine.core.state import is_active
from engine.store import ResultsPaths, read_json
from tui.output import print_json
from tui.run_detail import write_dossier
from tui.run_names import find_run

__all__ = ["show_stacks"]

ANSWER_S = 30.0
_POLL_S = 0.1


def show_stacks(
    results: ResultsPaths,
    name: str,
    *,
    as_json: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Have the ranks looked at, and print what was seen.

    Raises:
        InputError: the run is not active.
        DdptuiError: nobody has answered.
    """
    run = find_run(results, name)
    state = stored_state(read_json(run.paths.status))
    is_going = state is not None and is_active(state)
    asked = control.ask_for_stacks(results.root, (run.experiment, run.paths.run_id)) if is_going else None
    if asked is None:
        word = f"is {state}" if state is not None else "has not begun"
        hint = "what was seen of one that hung is in `ddptui show`"
        raise InputError(f"{run.paths.run_id} {word}: only a run that is going on has stacks; {hint}")
    number, order = asked
    path = run.paths.attempt(number).stacks
    deadline_s = clock() + ANSWER_S
    while whole(dossier := read_json(path) or {}, "order") != order:
        if clock() >= deadline_s:
            raise DdptuiError(f"{run.paths.run_id}: its node runners have not answered for {ANSWER_S:.0f} s")
        sleep(_POLL_S)
    if as_json:
        print_json(dossier)
    else:
        write_dossier(dossier)
    return 0
