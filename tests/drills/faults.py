"""``python -m tests.drills.faults --seed S --count N``: random faults at random times, and what comes of each.

Every fault is decided by its seed and index. A run of seconds is started, disturbed, and brought to its end: by itself
where it can, else by ``ddptui retry`` or ``attach``. Then nothing may be left of it, no file torn, every state true,
and the final weights and losses those of the undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

from tests.drills.cases import STRATEGIES
from tests.drills.kinds import KINDS, is_usable, missing_needs
from tests.drills.ledger import Ledger, format_report
from tests.drills.one_fault import do_fault
from tests.drills.plans import FaultPlan, plan_faults
from tests.drills.reference import Reference, reference_of

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the faults that were asked for; return 1 where one of them failed."""
    options = _parse(arguments)
    ledger = Ledger(options.folder, options.seed)
    if options.report:
        print(format_report(ledger.read()))
        return 0
    if options.index is None and not options.resume:
        ledger.put_away()
    plans = list(_choose(options, ledger))
    for why in missing_needs().values():
        print(f"left out: {why}")
    begun_s = time.monotonic()
    failed = 0
    for entry in _do_all(plans, options):
        ledger.add(entry)
        failed += bool(entry["problems"])
        print(_line(entry, options.folder), flush=True)
    print(f"{len(plans)} faults in {time.monotonic() - begun_s:.0f} s\n")
    if options.index is None:
        print(format_report(ledger.read()))
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="faults in this invocation [100]")
    parser.add_argument("--resume", action="store_true", help="go on behind what the ledger of this seed holds")
    parser.add_argument("--index", type=int, default=None, help="this fault only, again; its folder is kept")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="only such faults of the plan; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time [1]")
    parser.add_argument("--report", action="store_true", help="print the tables of this seed's ledger")
    default = Path(tempfile.gettempdir()) / f"ddptui-drill-{os.getuid()}"
    parser.add_argument("--folder", type=Path, default=default, help=f"ledger, references, failed runs [{default}]")
    return parser.parse_args(arguments)


def _choose(options: argparse.Namespace, ledger: Ledger) -> Iterator[FaultPlan]:
    plans = plan_faults(options.seed)
    if options.index is not None:
        yield next(islice(plans, options.index, None))
        return
    done = {entry["index"] for entry in ledger.read()}
    kinds = [name for name in options.kind or KINDS if is_usable(name)]
    wanted = (plan for plan in plans if plan.index not in done and plan.kind in kinds)
    yield from islice(wanted, options.count)


def _do_all(plans: Sequence[FaultPlan], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Do the faults, so many at a time, each in a process of its own; yield the entries as they come."""
    left = list(reversed(plans))
    references: dict[str, Reference] = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for strategy in [name for name in STRATEGIES if any(plan.strategy == name for plan in plans)]:
            references[strategy] = pool.submit(reference_of, strategy, options.folder).result()
        running: set[Future[dict[str, Any]]] = set()
        while left or running:
            while left and len(running) < options.jobs:
                plan = left.pop()
                reference = references[plan.strategy]
                kept = options.index is not None
                running.add(pool.submit(do_fault, plan, reference, options.folder, is_kept=kept))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _line(entry: dict[str, Any], folder: Path) -> str:
    verdict = "FAILED" if entry["problems"] else "passed"
    help_ = f", helped: {' '.join(entry['help'])}" if entry["help"] else ""
    said = (
        f"{entry['seed']}-{entry['index']} {verdict} {entry['strategy']}: {entry['kind']} in {entry['hit']}: "
        f"{entry['done']}; {entry['attempts']} attempts from {entry['resumed_from']}{help_} ({entry['wall_s']} s)"
    )
    if not entry["problems"]:
        return said
    again = f"python -m tests.drills.faults --seed {entry['seed']} --index {entry['index']} --folder {folder}"
    where = folder / "work" / f"{entry['seed']}-{entry['index']}"
    return "\n  ".join([said, *entry["problems"], f"its folder: {where}", f"again: {again}"])


if __name__ == "__main__":
    sys.exit(main())
