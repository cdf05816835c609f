"""What the keys of the table do that are the app's: they ask where it is due, then act through the supervisor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import App

__all__ = ["RunActions"]


class RunActions(App[Any]):
    """Mixed into the app: one ``action_<id>`` per key of the app that is about runs, files or leaving."""

    def carry_out(self, what: str, tags: Sequence[str]) -> None:
        """Begin an action on runs, as if its key was pressed."""

    def action_ask_quit(self) -> None:
        """Leave."""
        self.exit()
