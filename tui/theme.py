"""The colours of the screen: only Textual's tokens, so that every widget follows the theme."""

from __future__ import annotations

from textual.theme import Theme

__all__ = ["DARK", "LIGHT", "STATE_MARKS", "THEMES", "state_color"]

DARK = Theme(
    name="ddptui-dark",
    primary="#56B4E9",
    secondary="#CC79A7",
    accent="#E69F00",
    warning="#E69F00",
    error="#F2683C",
    success="#2FBF8F",
    foreground="#D8DEE6",
    background="#10141A",
    surface="#161B22",
    panel="#1E2530",
    boost="#243040",
    dark=True,
    variables={"border": "#2C3644", "border-blurred": "#2C3644", "block-cursor-text-style": "none"},
)

LIGHT = Theme(
    name="ddptui-light",
    primary="#0072B2",
    secondary="#A8527F",
    accent="#B86E00",
    warning="#B86E00",
    error="#C2410C",
    success="#00795A",
    foreground="#1D2733",
    background="#FAFBFC",
    surface="#F1F4F7",
    panel="#E4E9EF",
    boost="#D8E0E8",
    dark=False,
    variables={"border": "#C5CED8", "border-blurred": "#C5CED8", "block-cursor-text-style": "none"},
)

THEMES = ("ddptui-dark", "ddptui-light", "ansi-dark", "ansi-light")

STATE_MARKS = {
    "queued": "○",
    "starting": "◔",
    "running": "●",
    "stalled": "◌",
    "stopping": "◑",
    "succeeded": "✓",
    "failed": "✗",
    "stopped": "■",
    "lost": "?",
    "unreadable": "!",
}
"""Beside the word, never instead of it."""

_STATE_TOKENS = {
    "queued": "text-muted",
    "starting": "accent",
    "running": "primary",
    "stalled": "warning",
    "stopping": "warning",
    "succeeded": "success",
    "failed": "error",
    "stopped": "text-muted",
    "lost": "error",
    "unreadable": "warning",
}


def state_color(state: str) -> str:
    """The theme token of a state, for ``App.theme_variables``."""
    return _STATE_TOKENS.get(state, "text-muted")
