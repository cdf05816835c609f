"""Every key of the screen, once: bindings, key bar, help, palette and the README's section are made from this table.

The action of a key is the method ``action_<id>`` of its owner: the app, or the screen of each mode named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["GROUPS", "KEYS", "MODES", "Key", "Mode", "find_key", "keys_of", "markdown_table"]


class Mode(StrEnum):
    """The six modes, in the order of their digits."""

    RUNS = "runs"
    CHARTS = "charts"
    COMPARE = "compare"
    RANKS = "ranks"
    LOGS = "logs"
    PLAN = "plan"

    @property
    def name_shown(self) -> str:
        """As it stands in the top bar."""
        return self.value.capitalize()


MODES = tuple(Mode)

GROUPS = ("go", "see", "run", "take away")


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key and what it does.

    Attributes:
        id: the action: ``action_<id>`` of the owner.
        keys: Textual's names of the keys; the first is shown.
        label: one or two words, for the key bar and the palette.
        help: one sentence, for help and README.
        group: one of ``GROUPS``.
        modes: where it works; empty for everywhere.
        is_of_app: whether the app carries it out; else the screen of the mode.
        is_change: whether it changes runs or files of the results folder: refused with ``--readonly``.
        in_bar: whether the key bar shows it.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    group: str
    modes: tuple[Mode, ...] = ()
    is_of_app: bool = False
    is_change: bool = False
    in_bar: bool = False

    @property
    def shown(self) -> str:
        """The first key as people write it."""
        return _WRITTEN.get(self.keys[0], self.keys[0])

    @property
    def while_typing(self) -> str | None:
        """The key, as people write it, that works also where one types text; None where there is none."""
        found = next((key for key in self.keys if key in ("escape", "f1") or key.startswith("ctrl+")), None)
        return None if found is None else _WRITTEN.get(found, found)

    @property
    def all_shown(self) -> str:
        """All keys as people write them."""
        return " ".join(_WRITTEN.get(key, key) for key in self.keys)


_WRITTEN = {
    "question_mark": "?",
    "slash": "/",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "exclamation_mark": "!",
    "ampersand": "&",
    "escape": "esc",
    "left": "←",
    "right": "→",
}

_RUNS, _CHARTS, _COMPARE, _RANKS, _LOGS, _PLAN = MODES
_ON_RUNS = (_RUNS, _CHARTS, _RANKS, _LOGS)
_DRAWN = (_RUNS, _CHARTS, _COMPARE, _RANKS)

KEYS: tuple[Key, ...] = (
    *(
        Key(
            id=f"mode_{mode}",
            keys=(str(number),),
            label=mode.name_shown,
            help=what,
            group="go",
            is_of_app=True,
        )
        for number, (mode, what) in enumerate(
            (
                (_RUNS, "All runs, with loss and throughput of the marked ones."),
                (_CHARTS, "Every metric of the marked runs."),
                (_COMPARE, "Speedup, efficiency and throughput against world size."),
                (_RANKS, "What each rank did, when, and who was slowest."),
                (_LOGS, "What the ranks wrote."),
                (_PLAN, "The experiment file, its errors, and the runs it makes."),
            ),
            start=1,
        )
    ),
    Key(id="next_pane", keys=("tab",), label="pane", help="Go to the next pane.", group="go", is_of_app=True),
    Key(
        id="previous_pane",
        keys=("shift+tab",),
        label="pane back",
        help="Go to the previous pane.",
        group="go",
        is_of_app=True,
    ),
    Key(
        id="back",
        keys=("escape",),
        label="back",
        help="Leave what was opened last: a filter, a zoom, a panel.",
        group="go",
    ),
    Key(
        id="open",
        keys=("enter",),
        label="open",
        help="Open what is under the cursor: a run's charts, a chart, a rank's log, an event line, an error's place.",
        group="go",
        in_bar=True,
    ),
    Key(
        id="previous_one",
        keys=("left_square_bracket",),
        label="previous",
        help="Go to the previous page, experiment, run or rank.",
        group="go",
        modes=(_CHARTS, _COMPARE, _RANKS, _LOGS),
    ),
    Key(
        id="next_one",
        keys=("right_square_bracket",),
        label="next",
        help="Go to the next page, experiment, run or rank.",
        group="go",
        modes=(_CHARTS, _COMPARE, _RANKS, _LOGS),
        in_bar=True,
    ),
    Key(
        id="filter",
        keys=("slash",),
        label="filter",
        help="Filter runs, metrics or points; in Logs find. Enter keeps, esc restores.",
        group="see",
        modes=(_RUNS, _CHARTS, _COMPARE, _LOGS),
        in_bar=True,
    ),
    Key(
        id="mark",
        keys=("space",),
        label="mark",
        help="Mark a run: marked runs are drawn together and acted on together.",
        group="see",
        modes=(_RUNS,),
        in_bar=True,
    ),
    Key(
        id="mark_all", keys=("a",), label="mark all", help="Mark all shown runs, or none.", group="see", modes=(_RUNS,)
    ),
    Key(id="sort_next", keys=("o",), label="sort", help="Sort by the next column.", group="see", modes=(_RUNS,)),
    Key(
        id="sort_previous",
        keys=("O",),
        label="sort back",
        help="Sort by the column before.",
        group="see",
        modes=(_RUNS,),
    ),
    Key(id="invert", keys=("i",), label="invert", help="Turn the sort order around.", group="see", modes=(_RUNS,)),
    Key(id="zoom_pane", keys=("z",), label="zoom", help="Give the whole screen to one pane.", group="see"),
    Key(
        id="freeze",
        keys=("p",),
        label="pause",
        help="Pause the display; the reading goes on.",
        group="see",
        is_of_app=True,
    ),
    Key(
        id="x_axis",
        keys=("x",),
        label="x axis",
        help="Draw against step, time or samples; in Compare take throughput or total time.",
        group="see",
        modes=(_RUNS, _CHARTS, _COMPARE),
        in_bar=True,
    ),
    Key(
        id="log_axis",
        keys=("L",),
        label="log",
        help="Logarithmic y axis.",
        group="see",
        modes=(_RUNS, _CHARTS, _COMPARE),
    ),
    Key(
        id="smooth",
        keys=("S",),
        label="smooth",
        help="Smooth by an exponential moving average: off, 0.6, 0.9, 0.98.",
        group="see",
        modes=(_RUNS, _CHARTS),
        in_bar=True,
    ),
    Key(
        id="band",
        keys=("m",),
        label="mean",
        help="Repeats one by one, or their mean and range.",
        group="see",
        modes=(_RUNS, _CHARTS),
    ),
    Key(
        id="inspect",
        keys=("v",),
        label="inspect",
        help="Show values under a cursor that all charts share; the arrows move it.",
        group="see",
        modes=(_RUNS, _CHARTS, _RANKS),
        in_bar=True,
    ),
    Key(id="zoom_in", keys=("plus", "equals_sign"), label="closer", help="Zoom in on x.", group="see", modes=_DRAWN),
    Key(id="zoom_out", keys=("minus",), label="farther", help="Zoom out on x.", group="see", modes=_DRAWN),
    Key(
        id="pan_left",
        keys=("left",),
        label="pan left",
        help="Move the view, or the inspection cursor, to the left.",
        group="see",
        modes=(_CHARTS, _COMPARE, _RANKS),
    ),
    Key(
        id="pan_right",
        keys=("right",),
        label="pan right",
        help="Move the view, or the inspection cursor, to the right.",
        group="see",
        modes=(_CHARTS, _COMPARE, _RANKS),
    ),
    Key(id="reset_view", keys=("0",), label="reset", help="Show all of it again.", group="see", modes=_DRAWN),
    Key(
        id="cycle",
        keys=("c",),
        label="cycle",
        help="Charts: next grid, 1x1 to 3x3. Compare: next figure. Ranks: step time or a phase. Logs: next source.",
        group="see",
        modes=(_CHARTS, _COMPARE, _RANKS, _LOGS),
        in_bar=True,
    ),
    Key(
        id="follow",
        keys=("f",),
        label="follow",
        help="Follow the end of the log.",
        group="see",
        modes=(_LOGS,),
        in_bar=True,
    ),
    Key(id="next_match", keys=("n",), label="next match", help="Go to the next match.", group="see", modes=(_LOGS,)),
    Key(
        id="previous_match",
        keys=("N",),
        label="match back",
        help="Go to the match before.",
        group="see",
        modes=(_LOGS,),
    ),
    Key(
        id="only_matches",
        keys=("ampersand",),
        label="only matches",
        help="Show only the lines that match what was looked for.",
        group="see",
        modes=(_LOGS,),
    ),
    Key(
        id="only_errors",
        keys=("exclamation_mark",),
        label="errors",
        help="Show only errors and warnings.",
        group="see",
        modes=(_LOGS,),
        in_bar=True,
    ),
    Key(id="first_error", keys=("E",), label="first error", help="Go to the first error.", group="see", modes=(_LOGS,)),
    Key(id="all_ranks", keys=("a",), label="all ranks", help="All ranks merged by time.", group="see", modes=(_LOGS,)),
    Key(
        id="attempt",
        keys=("A",),
        label="attempt",
        help="The attempt before; after the first the newest again.",
        group="see",
        modes=(_LOGS,),
    ),
    Key(id="wrap", keys=("w",), label="wrap", help="Wrap long lines.", group="see", modes=(_LOGS,)),
    Key(id="times", keys=("t",), label="times", help="Show when each line was written.", group="see", modes=(_LOGS,)),
    Key(
        id="edit",
        keys=("i",),
        label="edit",
        help="Edit the file here; esc leaves the editor.",
        group="run",
        modes=(_PLAN,),
        in_bar=True,
    ),
    Key(
        id="edit_outside",
        keys=("ctrl+e",),
        label="$EDITOR",
        help="Edit the file in $EDITOR.",
        group="run",
        modes=(_PLAN,),
        in_bar=True,
    ),
    Key(id="save", keys=("ctrl+s",), label="save", help="Save the file.", group="run", modes=(_PLAN,), in_bar=True),
    Key(
        id="launch",
        keys=("l",),
        label="launch",
        help="Start the runs of the plan.",
        group="run",
        is_of_app=True,
        is_change=True,
        in_bar=True,
    ),
    Key(
        id="stop",
        keys=("s",),
        label="stop",
        help="Stop runs: they finish their step and leave. Asks first.",
        group="run",
        modes=_ON_RUNS,
        is_of_app=True,
        is_change=True,
        in_bar=True,
    ),
    Key(
        id="kill",
        keys=("K",),
        label="kill",
        help="End runs at once, without grace. Asks first.",
        group="run",
        modes=_ON_RUNS,
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="retry",
        keys=("r",),
        label="retry",
        help="Queue ended runs again.",
        group="run",
        modes=_ON_RUNS,
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="hold",
        keys=("H",),
        label="hold queue",
        help="Hold the queue, or let it go on: what runs is not touched.",
        group="run",
        modes=(_RUNS, _PLAN),
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="earlier",
        keys=("less_than_sign",),
        label="earlier",
        help="Move a queued run to the front by one.",
        group="run",
        modes=(_RUNS,),
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="later",
        keys=("greater_than_sign",),
        label="later",
        help="Move a queued run back by one.",
        group="run",
        modes=(_RUNS,),
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="pin",
        keys=("P",),
        label="pin",
        help="Keep runs at the top of the table.",
        group="run",
        modes=(_RUNS,),
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="note",
        keys=("n",),
        label="note",
        help="Write a note on a run.",
        group="run",
        modes=(_RUNS,),
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="delete",
        keys=("D", "delete"),
        label="delete",
        help="Delete ended runs and all their files. Asks first.",
        group="run",
        modes=(_RUNS,),
        is_of_app=True,
        is_change=True,
    ),
    Key(
        id="diff",
        keys=("d",),
        label="diff",
        help="Compare the configs of two marked runs.",
        group="take away",
        modes=(_RUNS,),
        is_of_app=True,
        in_bar=True,
    ),
    Key(
        id="report",
        keys=("R",),
        label="report",
        help="Read the report of the experiment.",
        group="take away",
        modes=(_RUNS, _COMPARE),
        is_of_app=True,
    ),
    Key(
        id="export",
        keys=("e",),
        label="export",
        help="Export what is shown: CSV, PNG, SVG or text.",
        group="take away",
        is_of_app=True,
    ),
    Key(
        id="copy",
        keys=("y",),
        label="copy",
        help="Copy the line or cell under the cursor (OSC 52, works over SSH).",
        group="take away",
        is_of_app=True,
    ),
    Key(
        id="copy_selection",
        keys=("ctrl+c",),
        label="copy selection",
        help="Copy the selected text; it never stops training.",
        group="take away",
        is_of_app=True,
    ),
    Key(
        id="next_theme",
        keys=("T",),
        label="theme",
        help="Next colours: dark, light, the terminal's own.",
        group="see",
        is_of_app=True,
    ),
    Key(
        id="help",
        keys=("question_mark", "f1"),
        label="help",
        help="These keys.",
        group="go",
        is_of_app=True,
        in_bar=True,
    ),
    Key(
        id="command_palette",
        keys=("ctrl+p",),
        label="palette",
        help="Every action by name.",
        group="go",
        is_of_app=True,
    ),
    Key(
        id="ask_quit",
        keys=("q", "ctrl+q"),
        label="quit",
        help="Leave: detach, and the runs go on, or stop them.",
        group="go",
        is_of_app=True,
        in_bar=True,
    ),
)


def keys_of(mode: Mode) -> list[Key]:
    """The keys that work in a mode, in the order of the table."""
    return [key for key in KEYS if not key.modes or mode in key.modes]


def find_key(action: str, mode: Mode | None = None) -> Key:
    """The key of an action.

    Raises:
        KeyError: there is none.
    """
    for key in KEYS:
        if key.id == action and (mode is None or not key.modes or mode in key.modes):
            return key
    raise KeyError(action)


def markdown_table(keys: Sequence[Key] = KEYS) -> str:
    """The keys as the table that stands in the README."""
    lines = ["| key | where | what it does |", "|---|---|---|"]
    for key in keys:
        where = ", ".join(mode.name_shown for mode in key.modes) or "everywhere"
        shown = " ".join(f"`{_WRITTEN.get(name, name)}`" for name in key.keys)
        lines.append(f"| {shown} | {where} | {key.help} |")
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown_table() + "\n")
