"""Which editor a person wants for a file, and running it in the terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping

from engine.core.errors import InputError

__all__ = ["edit_with", "editor_command"]

_USUAL = ("nano", "vim", "vi")


def editor_command(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the argv of the editor, without the file: $VISUAL, $EDITOR, or one that is usually there.

    Raises:
        InputError: there is none, or what is named cannot be run.
    """
    for name in ("VISUAL", "EDITOR"):
        said = environment.get(name, "").strip()
        if not said:
            continue
        try:
            argv = shlex.split(said)
        except ValueError as error:
            raise InputError(f"${name} cannot be read: {said}: {error}") from None
        if argv and shutil.which(argv[0]):
            return argv
        raise InputError(f"${name} names {said}, which is not found; set it to an editor that is there")
    found = next((editor for editor in _USUAL if shutil.which(editor)), None)
    if found is None:
        raise InputError("no editor: set EDITOR to one, or press i and edit here")
    return [found]


def edit_with(command: list[str], file: str) -> str:
    """Run the editor until it ends; return "" or why it failed. The terminal is its own meanwhile."""
    # ctrl+c is the editor's; a handler (unlike "ignore") is not inherited by it
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run([*command, file], check=False).returncode
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}"
    finally:
        signal.signal(signal.SIGINT, before)
    return f"{command[0]} ended with exit code {code}" if code else ""
