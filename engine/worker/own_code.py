"""The user's own models, datasets, losses and metrics: found by name, and their errors told as theirs."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.core.errors import InputError, Problem

__all__ = ["accepted_arguments", "describe_error", "in_project", "is_own", "load_own", "project_on_path"]

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


@contextlib.contextmanager
def in_project(project_dir: str) -> Iterator[None]:
    """Let the user's folder come first, and hide our modules whose names it has too, while only their code runs.

    A repository with its own ``engine.py`` then gets its own. Our modules are back afterwards; what theirs have
    imported by then they keep, and the next import of theirs finds it again.
    """
    hidden = [name for name in _OUR_NAMES if _has_module(project_dir, name)]
    ours = _take_out(hidden)
    sys.modules.update(_theirs.pop(project_dir, {}))
    try:
        with project_on_path(project_dir):
            yield
    finally:
        _theirs[project_dir] = _take_out(hidden)
        sys.modules.update(ours)


_theirs: dict[str, dict[str, ModuleType]] = {}
"""By folder: modules of the user's that have the names of ours."""


def _take_out(names: list[str]) -> dict[str, ModuleType]:
    """Remove packages with all that is below them from the loaded modules."""
    found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    for name in found:
        del sys.modules[name]
    return found


def _has_module(project_dir: str, name: str) -> bool:
    if not project_dir:
        return False
    return Path(project_dir, f"{name}.py").is_file() or Path(project_dir, name, "__init__.py").is_file()


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
        with in_project(project_dir):
            value: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                value = getattr(value, part)
    except BaseException as error:
        if not isinstance(error, Exception | SystemExit):
            raise
        message = describe_error(error, project_dir)
        raise InputError([Problem(key=key, message=f"{name!r} cannot be imported: {message}")]) from error
    return value


def _name_clash(error: BaseException, project_dir: str) -> str:
    """Say so where their module wanted a module of theirs that has the name of one of ours."""
    if not isinstance(error, ImportError | AttributeError):
        return ""
    wanted = error.name if isinstance(error, ImportError) else str(error).partition("'")[2].partition("'")[0]
    for name in _OUR_NAMES:
        is_theirs = _has_module(project_dir, name) or (project_dir and Path(project_dir, name).is_dir())
        if is_theirs and ((wanted or "").split(".")[0] == name or f"module '{name}'" in str(error)):
            return (
                f"it needs your module {name!r} while it runs, and ddptui has one of that name: import it at the top "
                f'of your module, or run your own program with script = "train.py"'
            )
    return ""


def describe_error(error: BaseException, project_dir: str = "") -> str:
    """Return one line: the error and the file and line of the user's code that it came through, where it did."""
    if clash := _name_clash(error, project_dir):
        return clash
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
