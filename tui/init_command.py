"""What ``init`` does."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from engine.core.errors import InputError
from tui.output import say, write_line

__all__ = ["write_starter"]

NAME = "experiments.toml"
PROJECT = {
    NAME: "project_experiments.toml",
    "model.py": "project_model.txt",
    "data.py": "project_data.txt",
    "train.py": "project_train.txt",
    "README.md": "project_readme.txt",
}
"""Files of a small repository, and where their texts are."""


def write_starter(folder: Path, *, is_project: bool = False, is_forced: bool) -> int:
    """Write the starter file into ``folder`` and print its path.

    Args:
        folder: made where it is missing.
        is_project: write a small repository with a model, data and a program that run at once.
        is_forced: overwrite what is there.

    Raises:
        InputError: it is there already, or cannot be written.
    """
    sources = PROJECT if is_project else {NAME: "starter.toml"}
    existing = [name for name in sources if (folder / name).exists()]
    if is_project and existing and not is_forced:
        one = len(existing) == 1
        what = f"{', '.join(existing)} {'is' if one else 'are'} there already"
        raise InputError(f"{folder}: {what}; --force overwrites {'it' if one else 'them'}; nothing was written")
    for name, source in sources.items():
        _write(folder / name, files("tui").joinpath(source).read_text(encoding="utf-8"), is_forced=is_forced)
        write_line(str(folder / name))
    say(f"next: ddptui run {folder / NAME}")
    return 0


def _write(path: Path, text: str, *, is_forced: bool) -> None:
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w" if is_forced else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        is_file = path.exists()
        message = f"{path} is there already; --force overwrites it" if is_file else f"{folder} is not a folder"
        raise InputError(message) from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
