"""How a chart looks on this terminal and in this theme: colours and characters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from rich.color import Color
from rich.style import Style

__all__ = ["ASCII", "UNICODE", "Glyphs", "Look", "Rgb", "blend", "line_style"]

Rgb = tuple[int, int, int]

_LEAST_CONTRAST = 2.6
"""Of a line against a light background: the palette is made for dark ones."""


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """The characters.

    Attributes:
        marker: how lines are drawn, see ``backend.DOTS``; "" for a character of its own for each line.
        corners: top left, top right, bottom left, bottom right.
        horizontal, vertical: of the frame.
        grid, cursor: of the lines behind the data.
        markers, hollow: points of lines, one kind after the other.
        best, gap, gap_line, bullet, more: one character each.
        levels: from nothing to a full cell: sparklines and the edges of bands.
        shade: a band where colours cannot be mixed.
    """

    marker: str
    corners: str
    horizontal: str
    vertical: str
    grid: str
    cursor: str
    markers: str
    hollow: str
    best: str
    gap: str
    gap_line: str
    bullet: str
    more: str
    levels: str
    shade: str


UNICODE = Glyphs(
    marker="braille",
    corners="╭╮╰╯",
    horizontal="─",
    vertical="│",
    grid="┈",
    cursor="│",
    markers="●■▲◆▼",
    hollow="○□△◇▽",
    best="★",
    gap="\u00d7",
    gap_line="╌",
    bullet="●",
    more="…",
    levels=" ▁▂▃▄▅▆▇█",
    shade="░",
)

ASCII = Glyphs(
    marker="",
    corners="++++",
    horizontal="-",
    vertical="|",
    grid=".",
    cursor="|",
    markers="o#^%&",
    hollow="o#^%&",
    best="*",
    gap="x",
    gap_line="-",
    bullet="o",
    more="~",
    levels=" ._-~=+#@",
    shade=":",
)

ASCII_LINES = "+o#=~%&@"
"""One character a line, in their order."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the theme and the terminal say.

    Attributes:
        glyphs: the characters.
        base: foreground and background of the widget.
        frame, title, label, grid, cursor, value, warning: styles without a background.
        background: of the chart, to mix colours with; None where it is not known (a terminal's own colours).
        is_dark: of the background.
        has_frame: whether a frame is drawn; else the widget has a border of its own.
    """

    glyphs: Glyphs = UNICODE
    base: Style = field(default_factory=Style)
    frame: Style = field(default_factory=Style)
    title: Style = field(default_factory=Style)
    label: Style = field(default_factory=Style)
    grid: Style = field(default_factory=Style)
    cursor: Style = field(default_factory=Style)
    value: Style = field(default_factory=Style)
    warning: Style = field(default_factory=Style)
    background: Rgb | None = None
    is_dark: bool = True
    has_frame: bool = True

    def line_style(self, color: str) -> Style:
        """Of a line."""
        return line_style(color, None if self.is_dark else self.background or (255, 255, 255))

    def shade_color(self, color: str, share: float) -> str | None:
        """A dim shade of a line's colour; None where colours cannot be mixed."""
        return None if self.background is None else blend(color, self.background, share)


@lru_cache(maxsize=256)
def line_style(color: str, light: Rgb | None) -> Style:
    """Return the style of a line; on a light background it is darkened until it can be seen."""
    red, green, blue = rgb = _rgb(color)
    for _ in range(12):
        if light is None or _contrast(rgb, light) >= _LEAST_CONTRAST:
            break
        red, green, blue = rgb = (round(red * 0.9), round(green * 0.9), round(blue * 0.9))
    return Style(color=Color.from_rgb(*rgb))


@lru_cache(maxsize=256)
def blend(color: str, background: Rgb, share: float) -> str:
    """Return ``share`` of a colour on a background as ``#rrggbb``."""
    mixed = (round(share * own + (1 - share) * under) for own, under in zip(_rgb(color), background, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _rgb(color: str) -> Rgb:
    triplet = Color.parse(color).get_truecolor()
    return triplet.red, triplet.green, triplet.blue


def _contrast(rgb: Rgb, background: Rgb) -> float:
    """As WCAG 2 defines it (w3.org/TR/WCAG22, contrast ratio)."""
    low, high = sorted((_luminance(rgb), _luminance(background)))
    return (high + 0.05) / (low + 0.05)


def _luminance(rgb: Rgb) -> float:
    parts = (value / 255 for value in rgb)
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
