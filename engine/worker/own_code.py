"""The user's own models, datasets, losses and metrics: found by name, and their errors told as theirs."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.core.errors import InputError, Problem

__all__ = ["accepted_arguments", "describe_error", "is_own", "load_own", "project_on_path"]

_OUR_NAMES = ("engine", "tui")


def is_own(name: str) -> bool:
    """Whether a name of the experiment file means the user's own code."""
    return ":" in name


@contextlib.contextmanager
def project_on_path(project_dir: str) -> Iterator[None]:
    """Let the user's folder come first while their code is imported or called (they may import there too)."""
    if not project_dir:
        yield
        return
    sys.path.insert(0, project_dir)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(project_dir)


def load_own(key: str, name: str, project_dir: str) -> Any:
    """Import what ``"package.module:attribute"`` names, with the folder of the experiment file first.

    Args:
        key: of the experiment file, for the message.
        name: as the user typed it.
        project_dir: the folder.

    Raises:
        InputError: it cannot be imported; says the user's file and line.
    """
    module_name, _, attribute = name.partition(":")
    try:
        with project_on_path(project_dir):
            value: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                value = getattr(value, part)
    except BaseException as error:
        if not isinstance(error, Exception | SystemExit):
            raise
        message = _name_clash(error, project_dir) or describe_error(error, project_dir)
        raise InputError([Problem(key=key, message=f"{name!r} cannot be imported: {message}")]) from error
    return value


def _name_clash(error: BaseException, project_dir: str) -> str:
    """Say so where their module wanted a module of theirs that has the name of one of ours."""
    if not isinstance(error, ImportError | AttributeError):
        return ""
    wanted = error.name if isinstance(error, ImportError) else str(error).partition("'")[2].partition("'")[0]
    for name in _OUR_NAMES:
        is_theirs = Path(project_dir, f"{name}.py").exists() or Path(project_dir, name).is_dir()
        if is_theirs and ((wanted or "").split(".")[0] == name or f"module '{name}'" in str(error)):
            return f"it needs your module {name!r}, and ddptui has one of that name: rename the module"
    return ""


def describe_error(error: BaseException, project_dir: str = "") -> str:
    """Return one line: the error and the file and line of the user's code that it came through, where it did."""
    text = str(error).strip().splitlines()
    message = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    if isinstance(error, SyntaxError):
        return message  # has its own file and line
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if project_dir and Path(frame.filename).is_relative_to(project_dir):
            return f"{message} ({Path(frame.filename).relative_to(project_dir)}:{frame.lineno})"
    return message


def accepted_arguments(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Return those of ``offered`` that the signature names; ``**kwargs`` is no promise to understand them."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return {}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: value for name, value in offered.items() if name in parameters and parameters[name].kind in by_name}
