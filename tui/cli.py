"""The entry point: carry out a command line, and turn errors into one clear line and an exit code.

0 all succeeded, 1 a run failed, 2 bad input, 3 a ``--fail-if`` gate broke, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from engine.core.errors import DdptuiError, InputError
from tui.given import Given, parse_given, usage
from tui.output import say, strip_escapes

__all__ = ["main"]

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; return the exit code. Errors become lines on stderr here and nowhere else."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    given, is_debug = _take_debug(given)
    try:
        _refuse_other_systems(sys.platform)
        code = _work_of(parse_given(given))()
        sys.stdout.flush()
    except DdptuiError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more as it ends
        return BROKEN_PIPE
    except Exception as error:  # the last line of defence: one clear line instead of a traceback
        if is_debug:
            raise
        return _complain(f"{_describe(error)}; run again with --debug for the traceback", 1)
    return code


def _work_of(given: Given) -> Callable[[], int]:
    """What is to be done; the library of the commands is loaded for a command and for the help only."""
    if given.is_asking_version:
        return _show_version
    if given.is_asking_help:
        return _show_help
    if not given.command:
        return lambda: _open_screen(given)
    from tui.command_line import parse_command

    return parse_command(given)


def _open_screen(given: Given) -> int:
    """The screen; without a terminal the help."""
    if given.is_headless or not sys.stdout.isatty():
        _show_help()
        say("the screen needs a terminal; here use `ddptui ls --watch` or `ddptui --headless run FILE`")
        return 0
    from tui.open_screen import ScreenOptions, open_screen

    return open_screen(ScreenOptions.of(given))


def _show_help() -> int:
    from tui.command_line import list_commands

    sys.stdout.write(usage(list_commands()))
    return 0


def _show_version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"ddptui {version('ddptui')}\n")
    return 0


def _open_closed_streams() -> None:
    """Python has no stream for a descriptor that is closed (``>&-``, some cron jobs): what is written goes nowhere."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """``--debug`` is understood everywhere on the line."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [argument for argument in arguments[:end] if argument != "--debug"] + arguments[end:]
    return rest, len(rest) < len(arguments) or bool(os.environ.get("DDPTUI_DEBUG"))


def _refuse_other_systems(platform: str) -> None:
    if not platform.startswith(("linux", "darwin")):
        raise InputError(f"Linux and macOS are supported, {platform} is not; on Windows use it inside WSL2")


def _complain(text: str, code: int) -> int:
    for line in strip_escapes(text).splitlines():
        say(f"ddptui: {line}")
    return code


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"


if __name__ == "__main__":
    sys.exit(main())
