"""Run a user's own program in this process, as ``python train.py`` would. Standard library only."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
import types
from types import TracebackType

from ddptui import speaker

__all__ = ["LOCAL_RANK", "as_spelled", "run_script", "without_our_frames"]

LOCAL_RANK = "--local-rank"
"""How torch.distributed.launch tells a program its local rank, beside the variable ``LOCAL_RANK``."""


def as_spelled(argument: str, path: str) -> str:
    """Return ``--local-rank=N`` as the program spells it: before torch 2.0 the argument was ``--local_rank``.

    Args:
        argument: as torch gives it.
        path: of the program, whose text is looked at; nothing of it is run.
    """
    source = b""
    with contextlib.suppress(OSError), open(path, "rb") as file:  # no such program: said when it is run
        source = file.read()
    is_elder = b"--local_rank" in source and LOCAL_RANK.encode() not in source
    return argument.replace(LOCAL_RANK, "--local_rank", 1) if is_elder else argument


def run_script(path: str, arguments: list[str]) -> None:
    """Become the program: it is ``__main__``, and its own folder is first on the path.

    Whatever leaves the program leaves this function too; what it said by ``ddptui.log`` is written before.

    Args:
        path: of the program.
        arguments: without the program's name.
    """
    # Set by us so that nothing of the user's hides our modules on the way here; their program is to see its own first.
    os.environ.pop("PYTHONSAFEPATH", None)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.argv = [path, *arguments]
    is_done = False
    try:
        _execute(path)
        is_done = True
    except SystemExit as error:
        is_done = error.code in (None, 0)
        raise
    finally:
        speaker.finish(is_done=is_done)


def without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the program's own; None where nothing is (it cannot be compiled)."""
    frame = traceback
    while frame is not None and os.path.dirname(frame.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        frame = frame.tb_next
    return frame


def _execute(path: str) -> None:
    """A module of its own that stays: threads and exit functions of the program go on using its names."""
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    main.__spec__ = None  # as python itself has it, and as multiprocessing wants it
    sys.modules["__main__"] = main
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec"), main.__dict__)  # noqa: S102 (it is what was asked for)
