"""Ask this machine whether a detached process would outlive the logout; nothing is changed or waited for long."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from engine.core.logind import LogoutRule, describe_logout, find_place, parse_answer, parse_config

__all__ = ["warn_of_logout"]

_TIMEOUT_S = 2.0
_FOLDERS = ("usr/lib/systemd", "run/systemd", "etc/systemd")
"""The later wins over the earlier: a file of the same name stands in for it."""
_ASK_MANAGER = (
    "busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
    "KillUserProcesses",
)  # fmt: skip


def warn_of_logout(root: Path = Path("/")) -> str:
    """Return one line about what would end a detached process at logout, or "".

    Args:
        root: where ``/proc`` and ``/etc`` are looked for.
    """
    if sys.platform != "linux":
        return ""
    place = find_place(_read(root / "proc/self/cgroup"))
    if not (place.is_in_session or place.is_in_manager):
        return ""
    user = _user()
    return describe_logout(place, _read_rule(root), user=user, is_lingering=_is_lingering(root, user))


def _read_rule(root: Path) -> LogoutRule:
    """The files say who is spared; whether at all, the running logind knows best."""
    rule = parse_config([_read(path) for path in _config_files(root)])
    answer = parse_answer(_output(*_ASK_MANAGER))
    return rule if answer is None else replace(rule, is_killing=answer)


def _config_files(root: Path) -> list[Path]:
    main = [path for folder in _FOLDERS if (path := root / folder / "logind.conf").is_file()]
    extra = {path.name: path for folder in _FOLDERS for path in (root / folder / "logind.conf.d").glob("*.conf")}
    return main[-1:] + [extra[name] for name in sorted(extra)]


def _is_lingering(root: Path, user: str) -> bool | None:
    if (root / "var/lib/systemd/linger" / user).exists():  # what enable-linger makes
        return True
    return parse_answer(_output("loginctl", "show-user", user, "--property=Linger"))


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
