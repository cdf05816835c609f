"""The report of an experiment for the screen: made by another process, since it loads what would slow the screen."""

from __future__ import annotations

import subprocess
import sys

from engine.core.errors import DdptuiError
from engine.store import ResultsPaths

__all__ = ["read_report"]

_TIMEOUT_S = 120.0


def read_report(results: ResultsPaths, experiment: str, *, may_make: bool) -> str:
    """Return ``report.md``.

    Args:
        results: the folder.
        experiment: its name.
        may_make: make it anew first; else what is there is read.

    Raises:
        DdptuiError: there is none, or it cannot be made.
    """
    if may_make:
        argv = [sys.executable, "-m", "tui.cli", "--results", str(results.root), "report", "--", experiment]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise DdptuiError(f"the report of {experiment} was not made within {_TIMEOUT_S:.0f} s") from None
        if done.returncode != 0:
            raise DdptuiError(f"no report: {done.stderr.strip().removeprefix('ddptui: ') or 'nothing to report yet'}")
    path = results.experiment(experiment).report_md
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DdptuiError(f"{path}: {error.strerror}; `ddptui report {experiment}` makes it") from None
