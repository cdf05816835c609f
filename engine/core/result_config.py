"""Which keys of a config alter the result: they make the run's id, and a snapshot belongs to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.core.spec import RunConfig

__all__ = ["result_of"]

_NOT_OF_THE_RESULT = frozenset({"python", "setup", "timeout", "data_root", "snapshot", "max_restarts"})
_NOT_OF_THE_RESULT |= {"hang_after", "on_hang", "on_nonfinite", "on_disk_full", "tensorboard"}
_NOT_OF_THE_RESULT |= {"measure_latency"}
"""The policies end a run early or not at all: what it computes until then is the same, as with ``timeout``."""


def result_of(config: RunConfig, keep: Iterable[str] = ()) -> dict[str, Any]:
    """Return what alters the result, without defaults: a key that a later version adds then alters no id.

    Args:
        config: of a run.
        keep: keys that count although they alter no result, since they are axes of the matrix.
    """
    return config.model_dump(mode="json", exclude_defaults=True, exclude=set(_NOT_OF_THE_RESULT - set(keep)))
