"""The editor of the experiment file: TOML in our colours, lines with errors marked, its keys left to the screen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

import tree_sitter
import tree_sitter_toml
from rich.color import Color as RichColor
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

__all__ = ["PlanEditor"]

LONGEST_COLOURED = 2000
"""A line longer than this is a list that a program wrote; colouring it anew with each key would hold up typing."""

_SYNTAX = {
    "toml.type": ("secondary", True),
    "property": ("primary", False),
    "string": ("success", False),
    "number": ("accent", False),
    "float": ("accent", False),
    "boolean": ("accent", False),
    "toml.datetime": ("accent", False),
    "comment": ("text-muted", False),
    "punctuation": ("text-muted", False),
    "toml.error": ("error", False),
}

_QUERY = """
(table (bare_key) @toml.type)
(table (dotted_key (bare_key) @toml.type))
(table_array_element (bare_key) @toml.type)
(table_array_element (dotted_key (bare_key) @toml.type))
(pair (bare_key) @property)
(pair (dotted_key (bare_key) @property))
(pair (quoted_key) @property)
(pair (dotted_key (quoted_key) @property))
(boolean) @boolean
(string) @string
(integer) @number
(float) @float
(offset_date_time) @toml.datetime
(local_date_time) @toml.datetime
(local_date) @toml.datetime
(local_time) @toml.datetime
["." "," "=" "[" "]" "[[" "]]" "{" "}"] @punctuation
(comment) @comment
(ERROR) @toml.error
"""
"""Textual's own query gives a comment behind a value the colour of its key."""

_OF_THE_SCREEN = {"ctrl+e", "ctrl+c", "super+c"}
"""Keys that mean something else everywhere: $EDITOR, and copying, which the app does."""

_CONTROL = {code: 0x2400 + code for code in range(32) if code != 9} | {0x7F: 0x2421}
_CONTROL |= dict.fromkeys((*range(0x80, 0xA0), 0x2028, 0x2029, 0xFEFF), 0xFFFD)
"""A control character is shown as its picture: it must not steer the terminal, and it must not hide."""


def _own_bindings() -> Iterator[BindingType]:
    for binding in TextArea.BINDINGS:
        if not isinstance(binding, Binding):
            yield binding
            continue
        keys = [key for key in binding.key.split(",") if key not in _OF_THE_SCREEN]
        if keys:
            yield Binding(",".join(keys), binding.action, binding.description, show=False)


class PlanEditor(TextArea, inherit_bindings=False):
    """An editor for TOML that says where the errors are.

    Args:
        is_locked: nothing can be changed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *_own_bindings(),
        Binding("ctrl+home", "first_line", "first line", show=False),
        Binding("ctrl+end", "last_line", "last line", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"plan-editor--error"}
    DEFAULT_CSS = """
    PlanEditor {
        border: none; padding: 0; background: $background; scrollbar-background: $background; scrollbar-size: 0 1;
        &:focus { border: none; }
        & > .plan-editor--error { background: $error 22%; }
        & .text-area--cursor { background: $foreground; color: $background; text-style: none; }
        &:light .text-area--cursor { background: $foreground; color: $background; }
        &.-read-only .text-area--cursor { background: $panel; color: $foreground; }
        &:blur .text-area--cursor-line { background: $background; }
        &:blur .text-area--cursor-gutter { background: $background; color: $foreground 40%; text-style: none; }
    }
    """

    def __init__(self, *, is_locked: bool = False, **options: Any) -> None:
        super().__init__(show_line_numbers=True, soft_wrap=False, tab_behavior="focus", read_only=is_locked, **options)
        self.register_language("toml", tree_sitter.Language(tree_sitter_toml.language()), _QUERY)
        self.cursor_blink = False
        self._marked: frozenset[int] = frozenset()

    def on_mount(self) -> None:
        """Colours follow the theme."""
        self.watch(self.app, "theme", self._recolor)

    def show_text(self, text: str) -> bool:
        """Take another text; whether it would come out again as it went in.

        Mixed line ends, form feeds and their kin would be lost: what cannot be kept must not be edited here.
        """
        is_long = any(len(line) > LONGEST_COLOURED for line in text.splitlines())
        language = None if is_long else "toml"
        if self.language != language:
            self.language = language
        self.load_text(text)
        return self.text == text

    def mark_lines(self, lines: Collection[int]) -> None:
        """Mark these lines (1-based), and no others."""
        if frozenset(lines) != self._marked:
            self._marked = frozenset(lines)
            self.notify_style_update()
            self.refresh()

    def go_to(self, line: int, column: int) -> None:
        """Put the cursor there (1-based) and show it."""
        row = min(max(line - 1, 0), self.document.line_count - 1)
        place = min(max(column - 1, 0), len(self.document.get_line(row)))
        self.move_cursor((row, 0), center=True)
        self.move_cursor((row, place))

    def action_first_line(self) -> None:
        """To the beginning of the file."""
        self.move_cursor((0, 0))

    def action_last_line(self) -> None:
        """To the end of the file."""
        self.move_cursor(self.document.end)

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: marked, and without anything that steers the terminal."""
        text = Text(self.document.get_line(line_index).translate(_CONTROL), end="", no_wrap=True)
        if line_index + 1 in self._marked:
            # sixteen colours have no tint that every other colour can be read on
            tint = self.get_component_rich_style("plan-editor--error").bgcolor
            text.stylize(Style(underline=True) if self.app.current_theme.ansi else Style(bgcolor=tint))
        return text

    def _recolor(self) -> None:
        colors = _colors(self.app.theme_variables)
        styles = {name: Style(color=colors[token], bold=is_bold) for name, (token, is_bold) in _SYNTAX.items()}
        name = f"ddptui-{self.app.theme}"
        self.register_theme(TextAreaTheme(name=name, syntax_styles=styles))
        self.theme = name


def _colors(variables: Mapping[str, str]) -> dict[str, RichColor]:
    """The theme's colours; what stands back is between text and ground, or grey where the terminal mixes none."""
    found = {name: Color.parse(variables[name]) for name in {token for token, _ in _SYNTAX.values()} - {"text-muted"}}
    text, ground = Color.parse(variables["foreground"]), Color.parse(variables["background"])
    colors = {name: color.rich_color for name, color in found.items()}
    is_mixed = text.ansi is None and ground.ansi is None
    colors["text-muted"] = text.blend(ground, 0.45).rich_color if is_mixed else RichColor.parse("bright_black")
    return colors
