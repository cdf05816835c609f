"""``report.html``: one self-contained file, no script, no link to anywhere; prints well."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from engine.report.blocks import Block, Bullets, Code, Figures, Paragraph, Picture, Section, Table
from engine.report.wording import plain_text

__all__ = ["render_html"]

_STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6573; --line: #dfe3e8; --tint: #f5f7f9; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 15px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
header { border-bottom: 3px solid var(--accent); padding-bottom: 1rem; margin-bottom: 1.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
.lead { font-size: 1.08rem; margin: 0; }
.lead + .lead { color: var(--soft); font-size: .92rem; margin-top: .4rem; }
p, ul { max-width: 78ch; }
.note, ul { color: var(--soft); font-size: .92rem; }
.wide { overflow-x: auto; }
.wide + .wide { margin-top: 1.4rem; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th { text-align: left; vertical-align: bottom; color: var(--soft); font-weight: 600;
  border-bottom: 2px solid var(--line); }
th, td { padding: .38rem .7rem; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:nth-child(even) { background: var(--tint); }
tr.strong td { font-weight: 650; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
td .interval { display: block; color: var(--soft); font-size: .8rem; font-weight: 400; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 1.2rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .7rem; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .85rem; padding-top: .5rem; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto;
  font: .84rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
@media print {
  main { max-width: none; padding: 0; }
  body { font-size: 10pt; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .35rem; }
  .figures { grid-template-columns: 1fr 1fr; gap: .5rem; }
  pre { white-space: pre-wrap; }
  h2 { break-after: avoid; }
  @page { size: A4 landscape; margin: 14mm; }
}
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render_html(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page with its figures inside.

    Raises:
        OSError: a figure cannot be read.
    """
    body = "\n".join(_section(section) for section in sections)
    leads = "\n".join(f'<p class="lead">{_text(line)}</p>' for line in lead)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="generator" content="ddptui">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{_text(title)}</h1>
{leads}
</header>
{body}
</main>
</body>
</html>
"""


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f"<section>\n<h2>{_text(section.title)}</h2>\n{blocks}\n</section>"


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return f'<p class="note">{_text(block.text)}</p>'
        case Bullets():
            return "<ul>\n" + "\n".join(f"<li>{_text(line)}</li>" for line in block.lines) + "\n</ul>"
        case Table():
            return _table(block)
        case Code():
            return f"<pre><code>{_text(block.text, max_length=100_000)}</code></pre>"
        case Figures():
            return '<div class="figures">\n' + "\n".join(_figure(picture) for picture in block.pictures) + "\n</div>"


def _table(table: Table) -> str:
    def cell(tag: str, index: int, value: str) -> str:
        kind = ' class="number"' if index in table.numeric else ""
        return f"<{tag}{kind}>{_cell_text(value) if index in table.numeric else _text(value)}</{tag}>"

    head = "".join(cell("th", index, name) for index, name in enumerate(table.header))
    lines = []
    for place, row in enumerate(table.rows):
        kind = ' class="strong"' if place in table.strong_rows else ""
        lines.append(f"<tr{kind}>" + "".join(cell("td", index, value) for index, value in enumerate(row)) + "</tr>")
    thead = f"<thead><tr>{head}</tr></thead>\n" if any(table.header) else ""
    return f'<div class="wide"><table>\n{thead}<tbody>\n' + "\n".join(lines) + "\n</tbody></table></div>"


def _cell_text(value: str) -> str:
    """A figure with its interval on a line of its own."""
    figure, bracket, interval = value.partition(" (")
    return f'{_text(figure)} <span class="interval">({_text(interval)}</span>' if bracket else _text(value)


def _figure(picture: Picture) -> str:
    image = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = _text(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{image}"><figcaption>{caption}</figcaption></figure>'
    )


def _text(value: str, *, max_length: int = 2000) -> str:
    return escape(plain_text(value, max_length=max_length), quote=True)
