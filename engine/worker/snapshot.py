"""Saving what was trained."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["save_final"]


def save_final(path: Path, state: dict[str, Any]) -> None:
    """Replace ``path`` by a plain state_dict: written beside, flushed, renamed, so that a reader never sees half of it.

    Raises:
        OSError: as the file system raised it; ``path`` is then as it was and nothing is left beside it.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
