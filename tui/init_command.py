"""What ``init`` does."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from engine.core.errors import InputError
from tui.output import say, write_line

__all__ = ["write_starter"]

NAME = "experiments.toml"


def write_starter(folder: Path, *, is_forced: bool) -> int:
    """Write the starter file into ``folder`` and print its path.

    Raises:
        InputError: it is there already, or cannot be written.
    """
    path = folder / NAME
    text = files("tui").joinpath("starter.toml").read_text(encoding="utf-8")
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
    write_line(str(path))
    say(f"next: ddptui run {path}")
    return 0
