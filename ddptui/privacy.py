"""Who may read what a run writes: its owner alone, unless ``DDPTUI_SHARE`` says ``group`` or ``all``.

Nobody but the owner may ever write: whoever can write into a results folder can have programs started. Standard library
only: every process of a run applies this, ranks too.
"""

from __future__ import annotations

import os

__all__ = ["FILE_MODE", "FOLDER_MODE", "SHARE_VARIABLE", "SHARE_WORDS", "UMASK"]

SHARE_VARIABLE = "DDPTUI_SHARE"

_UMASKS = {"": 0o077, "group": 0o027, "all": 0o022}

SHARE_WORDS = tuple(word for word in _UMASKS if word)
"""What the variable may hold; any other word counts as none."""

UMASK = _UMASKS.get(os.environ.get(SHARE_VARIABLE, ""), 0o077)
FILE_MODE = 0o666 & ~UMASK
FOLDER_MODE = 0o777 & ~UMASK
