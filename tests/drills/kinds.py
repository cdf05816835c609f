"""What can go wrong, to whom, and in which part of a run's life it can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.spec import RunConfig

PHASES = (
    "supervisor start",
    "node runner start",
    "agent start",
    "rank import",
    "rendezvous",
    "first step",
    "training",
    "snapshot write",
    "evaluation",
    "final model write",
    "shutdown",
)
"""The life of a run, in order. How each is recognised stands in ``life``."""

_WITH_RUNNER = PHASES[1:]
_WITH_AGENT = PHASES[2:]
_WITH_RANKS = PHASES[3:]
_WITH_EVENTS = PHASES[5:]
_WITH_SNAPSHOTS = ("training", "snapshot write", "evaluation", "final model write")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: for the table.
        phases: in which it can be done.
        client: who started the run: "" our own process, or "headless" or "screen" in a terminal of its own.
        needs: what the machine must give, "" for nothing: "tmpfs", "hang detection".
        may_need_help: whether a person may have to say that it shall go on: who told it to stop, or took its supervisor
            or all its room away, left it to them.
        is_harmless: whether the run must go on as if nothing had been, in the same attempt.
    """

    name: str
    phases: Sequence[str] = PHASES
    client: str = ""
    needs: str = ""
    may_need_help: bool = False
    is_harmless: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="SIGKILL rank", phases=_WITH_RANKS),
        Kind(name="SIGKILL agent", phases=_WITH_AGENT),
        Kind(name="SIGKILL node runner", phases=_WITH_RUNNER),
        Kind(name="SIGKILL supervisor", is_harmless=True, may_need_help=True),
        Kind(name="SIGKILL headless client", is_harmless=True, client="headless"),
        Kind(name="SIGKILL screen", is_harmless=True, client="screen"),
        Kind(name="SIGHUP headless client", is_harmless=True, client="headless"),
        Kind(name="SIGHUP screen", is_harmless=True, client="screen"),
        Kind(name="SIGSTOP, SIGCONT rank", is_harmless=True, phases=_WITH_RANKS),
        Kind(name="SIGSTOP rank", phases=_WITH_EVENTS[1:3], needs="hang detection"),
        Kind(name="SIGTERM rank", may_need_help=True, phases=_WITH_RANKS),
        Kind(name="SIGTERM agent", may_need_help=True, phases=_WITH_AGENT),
        Kind(name="SIGTERM node runner", may_need_help=True, phases=_WITH_RUNNER),
        Kind(name="SIGTERM supervisor", is_harmless=True, may_need_help=True),
        Kind(name="SIGUSR2 rank", may_need_help=True, phases=_WITH_RANKS),
        Kind(name="SIGUSR2 agent", may_need_help=True, phases=_WITH_AGENT),
        Kind(name="full tmpfs", may_need_help=True, needs="tmpfs"),
        Kind(name="garbage event line", is_harmless=True, phases=_WITH_EVENTS),
        Kind(name="truncated event file", is_harmless=True, phases=_WITH_EVENTS),
        Kind(name="corrupt snapshot", phases=_WITH_SNAPSHOTS),
        Kind(name="clock jump", is_harmless=True),
        Kind(name="clock jump, SIGKILL rank", phases=_WITH_RANKS),
    )
}


def missing_needs() -> dict[str, str]:
    """Why kinds must be left out here, by what they need."""
    missing = {}
    if os.geteuid() != 0 or not shutil.which("mount"):
        missing["tmpfs"] = "a tmpfs can be mounted by root only"
    if "hang_after" not in RunConfig.model_fields:
        missing["hang detection"] = "the experiment file has no key hang_after"
    return missing


def is_usable(name: str) -> bool:
    """Whether a kind can be done here."""
    return KINDS[name].needs not in missing_needs()
