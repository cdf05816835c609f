"""torchvision, imported only where something of it is needed, and its failure to import said in words."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

from engine.core.errors import InputError

__all__ = ["import_torchvision"]


def import_torchvision(module: str, wanted_for: str) -> ModuleType:
    """Return ``torchvision.<module>``.

    Args:
        module: ``datasets``, ``models``, ``transforms``.
        wanted_for: what needs it, as the user named it.

    Raises:
        InputError: torchvision is not there, or was built for another torch (then an operator is missing).
    """
    try:
        return importlib.import_module(f"torchvision.{module}")
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        why = (
            "is not installed"
            if isinstance(error, ModuleNotFoundError) and error.name == "torchvision"
            else f"does not work beside torch {torch.__version__} ({type(error).__name__}: {said})"
        )
        raise InputError(
            f"{wanted_for} needs torchvision, which {why}: install the torchvision that was built for this torch"
        ) from error
