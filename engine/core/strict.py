"""The kinds of values and tables that keys of the experiment file have."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

__all__ = ["STRICT", "NonNegative", "Positive", "PositiveFloat", "Ratio"]

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
"""Frozen, strict about types (an int may stand for a float), and closed to unknown keys."""
