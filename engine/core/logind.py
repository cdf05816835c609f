"""Whether systemd-logind ends a user's processes at logout, read from what it and the kernel say; texts only.

Two things can end a detached process (logind.conf(5), loginctl(1), systemd-run(1)): ``KillUserProcesses=yes`` ends the
scope of the login session that it was started in; and the user's own service manager, with all that runs below it,
leaves with the last session unless the user lingers. So lingering alone saves nothing that stands in a session's scope.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["LogoutRule", "Place", "describe_logout", "find_place", "parse_answer", "parse_config"]

_SESSION = re.compile(r"/session-[^/]+\.scope(?:/|$)")
_MANAGER = re.compile(r"/user@\d+\.service(?:/|$)")
_TRUE = frozenset({"yes", "true", "1", "on"})
_FALSE = frozenset({"no", "false", "0", "off"})


@dataclass(frozen=True, kw_only=True)
class LogoutRule:
    """What logind does to the scope of a session that ends.

    Attributes:
        is_killing: None where it is not said.
        only: if any are named, users that it applies to.
        excluded: users that are spared.
    """

    is_killing: bool | None = None
    only: frozenset[str] = frozenset()
    excluded: frozenset[str] = field(default_factory=lambda: frozenset({"root"}))

    def applies_to(self, user: str) -> bool:
        """Whether the processes of this user's sessions are ended."""
        return bool(self.is_killing) and user not in self.excluded and (not self.only or user in self.only)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process stands: in the scope of a login session, below the user's own service manager, or in neither."""

    is_in_session: bool = False
    is_in_manager: bool = False


def find_place(cgroup: str) -> Place:
    """Return the place that a ``/proc/<pid>/cgroup`` tells, of either version of control groups."""
    paths = [line.split(":", 2)[2] for line in cgroup.splitlines() if line.count(":") >= 2]
    is_in_manager = any(_MANAGER.search(path) for path in paths)
    is_in_session = any(_SESSION.search(path) for path in paths) and not is_in_manager
    return Place(is_in_session=is_in_session, is_in_manager=is_in_manager)


def parse_answer(text: str) -> bool | None:
    """Read ``Linger=yes`` of ``loginctl show-user`` or ``b true`` of ``busctl get-property``; None for all else."""
    word = text.strip().lower().rpartition("=")[2].removeprefix("b ").strip()
    return True if word in _TRUE else False if word in _FALSE else None


def parse_config(texts: Sequence[str]) -> LogoutRule:
    """Read ``logind.conf`` and its drop-ins, in the order in which they count: what is said last holds.

    Args:
        texts: of the files.
    """
    values: dict[str, str] = {}
    for text in texts:
        section = ""
        for raw in text.splitlines():
            line = raw.strip()
            if line.startswith("["):
                section = line
            elif section == "[Login]" and "=" in line and line[0] not in "#;":
                key, _, value = line.partition("=")
                values[key.strip()] = value.strip()
    excluded = values.get("KillExcludeUsers", "root").split()
    return LogoutRule(
        is_killing=parse_answer(values.get("KillUserProcesses", "")),
        only=frozenset(values.get("KillOnlyUsers", "").split()),
        excluded=frozenset(excluded),
    )


def describe_logout(place: Place, rule: LogoutRule, *, user: str, is_lingering: bool | None) -> str:
    """Return one line that says what a logout would end and the way out of it; "" where it ends nothing, or unknown.

    Args:
        place: of the process that starts the supervisor.
        rule: of logind.
        user: who that is.
        is_lingering: None where it is unknown.
    """
    if place.is_in_session and rule.applies_to(user):
        first = "" if is_lingering else "run `loginctl enable-linger` once, then "
        return (
            "these runs end when you log out: this system ends the processes of a session (KillUserProcesses=yes); "
            f"{first}start with `systemd-run --user --scope ddptui ...`, or inside a Slurm job"
        )
    if place.is_in_manager and is_lingering is False:
        return (
            "these runs end with your last session: they stand below your own service manager, which leaves then; "
            "`loginctl enable-linger` keeps it"
        )
    return ""
