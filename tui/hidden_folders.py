"""Folders that look like experiments or runs but have names that ddptui never gives, and are therefore left out."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.wording import count
from engine.store import ExperimentPaths, ResultsPaths, is_safe_name, list_experiments
from tui.output import strip_escapes

__all__ = ["describe_hidden", "find_hidden", "is_experiment", "is_hidden"]


def is_hidden(name: str) -> bool:
    """Whether a folder of this name is left out for its name; one that begins with a dot is nobody's."""
    return not name.startswith(".") and not is_safe_name(name)


def is_experiment(experiment: ExperimentPaths) -> bool:
    """Whether it has a plan or runs."""
    return experiment.plan.is_file() or experiment.runs.is_dir()


def find_hidden(results: ResultsPaths) -> tuple[str, ...]:
    """The experiments that the screen leaves out, by name."""
    return tuple(name for name in list_experiments(results) if is_hidden(name))


def describe_hidden(names: Sequence[str]) -> str:
    """Say what is not shown and what to do about it, or ""."""
    if not names:
        return ""
    more = f" and {count(len(names) - 1, 'other')}" if len(names) > 1 else ""
    name = strip_escapes(names[0])
    return f"not on the screen: {name!r}{more}: a folder name may have letters, digits and . _ + = - only; rename it"
