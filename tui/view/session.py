"""What a person has chosen on the screen, shared by the modes: one object, changed only on the screen's own thread."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SMOOTHINGS", "X_AXES", "Session"]

X_AXES = ("step", "time", "samples")
SMOOTHINGS = (0.0, 0.6, 0.9, 0.98)


@dataclass(kw_only=True)
class Session:
    """The choices.

    Attributes:
        results: the results folder as the person named it.
        host: of this machine.
        file: the experiment file in Plan, or "".
        is_readonly: nothing may be changed.
        is_ascii: plain characters only.
        current: tag of the run under the cursor in Runs: what Ranks and Logs show; None where there is no run.
        marked: tags, in the order of marking.
        x_axis: one of ``X_AXES``.
        is_log: logarithmic y axes where values allow it.
        smoothing: one of ``SMOOTHINGS``.
        is_banded: repeats as mean and range.
        is_inspecting: the inspection cursor is on.
        cursor_x: where it stands, in units of the x axis; None until it was moved.
        x_range: what all charts show of x, or None for all and following new data.
        is_frozen: the display is paused.
    """

    results: str
    host: str
    file: str = ""
    is_readonly: bool = False
    is_ascii: bool = False
    current: str | None = None
    marked: list[str] = field(default_factory=list)
    x_axis: str = "step"
    is_log: bool = False
    smoothing: float = 0.0
    is_banded: bool = False
    is_inspecting: bool = False
    cursor_x: float | None = None
    x_range: tuple[float, float] | None = None
    is_frozen: bool = False

    def drawn(self) -> tuple[str, ...]:
        """The runs that charts show: the marked ones, else the current one."""
        if self.marked:
            return tuple(self.marked)
        return () if self.current is None else (self.current,)
