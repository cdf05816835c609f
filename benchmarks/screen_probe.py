"""The screen with a probe in its event loop: how late the loop is, and when a run's curves have been read.

``python -m benchmarks.screen_probe RESULTS OUT [MODE]``; OUT gets one JSON object when the screen is left.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from engine.store import ResultsPaths
from tui import app as app_module
from tui.open_screen import ScreenOptions, open_screen

_EVERY_S = 0.01


class ProbedApp(app_module.DdptuiApp):
    """Notes every few milliseconds how late the loop is."""

    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    lags_s: list[float]
    out: Path

    def on_mount(self) -> None:
        """Begin to probe beside everything else."""
        self.lags_s = []
        self.begun_s = time.perf_counter()
        self.read_s: dict[str, float] = {}
        self._sizes: dict[str, tuple[int, float]] = {}
        self._probe = asyncio.get_running_loop().create_task(self._measure())

    def on_unmount(self) -> None:
        """Say what was found."""
        self._probe.cancel()
        lags = sorted(self.lags_s[200:])
        found: dict[str, Any] = {"num": len(lags), "read_s": self.read_s}
        if lags:
            found |= {f"p{share}": lags[int(len(lags) * share / 100)] for share in (50, 95, 99)} | {"max": lags[-1]}
        self.out.write_text(json.dumps(found))

    async def _measure(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_EVERY_S)
            now = time.perf_counter()
            self.lags_s.append(now - before - _EVERY_S)
            for tag in self.session.drawn():
                curves = self.feed.curves(tag)
                num_points = len(curves.curve("loss") or ()) if curves is not None else 0
                if num_points != self._sizes.get(tag, (0, 0.0))[0]:
                    self._sizes[tag] = (num_points, now)
                    self.read_s[f"{tag}: {'first' if tag not in self.read_s else 'last'} points"] = now - self.begun_s
                    self.read_s[tag] = num_points


def main() -> int:
    """Open the screen with the probe."""
    ProbedApp.out = Path(sys.argv[2])
    app_module.DdptuiApp = ProbedApp  # type: ignore[misc]
    mode = sys.argv[3] if len(sys.argv) > 3 else "runs"
    return open_screen(ScreenOptions(results=ResultsPaths(Path(sys.argv[1])), mode=mode))


if __name__ == "__main__":
    sys.exit(main())
