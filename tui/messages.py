"""What the feed tells the app. A burst of one kind collapses to its last."""

from __future__ import annotations

from textual.message import Message

from tui.view.snapshot import Snapshot

__all__ = ["ComparisonReady", "CurvesChanged", "SnapshotReady", "SourcesChanged"]


class _Latest(Message):
    """Of several that wait only the last counts."""

    def can_replace(self, message: Message) -> bool:
        """Whether this one makes ``message`` needless."""
        return type(message) is type(self)


class SnapshotReady(_Latest):
    """The results folder was read and something is different."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class CurvesChanged(_Latest):
    """Watched curves have grown."""


class SourcesChanged(_Latest):
    """Sources (logs) have grown."""


class ComparisonReady(_Latest):
    """The watched comparison is different."""
