"""After a fault: wait until the run has come to its end, helping as a person would where it cannot by itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psutil

from engine.core.state import RunState, is_terminal
from engine.store import read_json
from tests.drills.scene import Scene, ddptui

__all__ = ["Settled", "find_strays", "settle"]

DEADLINE_S = 420.0
STRAY_S = 5.0
"""So long after the end nothing of a run may be left."""
_ALONE_S = 3.0
"""A run without any process is helped after this: whoever was about to take it up would have done so."""
_UNTRUE_S = 15.0
"""A status that is so long untrue is a lie: its heartbeat counts as old after ten seconds."""
_MAX_HELP = 4


@dataclass
class Settled:
    """How it came to its end.

    Attributes:
        help: what had to be done, in order; empty where it recovered by itself.
        problems: what was wrong meanwhile, one line each.
        strays_s: the longest time until all processes were gone after an end, in seconds.
    """

    help: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    strays_s: float = 0.0


def settle(scene: Scene, *, attaches: bool) -> Settled:
    """Return once the run has succeeded, or nothing more can be done for it.

    Args:
        scene: after the fault.
        attaches: start a missing supervisor by ``attach`` and at once; else by ``retry`` when nothing goes on any more.
    """
    settled = Settled()
    deadline = time.monotonic() + DEADLINE_S
    alone_s = untrue_s = None
    while time.monotonic() < deadline:
        now_s = time.monotonic()
        view = scene.view()
        if scene.is_supervised():
            alone_s = untrue_s = None
        elif is_terminal(view.state):
            _check_nothing_is_left(scene, settled)
            is_through = view.state is RunState.SUCCEEDED and scene.paths.model_final.exists()
            if is_through or not _help(scene, settled, ["retry", f"drill/{scene.spec.id}"]):
                return settled
        else:
            is_alone = not _working(scene)
            alone_s = (alone_s or now_s) if is_alone else None
            claims = is_alone and view.state in (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)
            untrue_s = (untrue_s or now_s) if claims else None
            if untrue_s is not None and now_s - untrue_s > _UNTRUE_S:
                settled.problems.append(f"it says {view.state} and nothing runs")
                return settled
            waited = alone_s is not None and now_s - alone_s > _ALONE_S and not claims
            if (waited or (attaches and view.status)) and not _take_up(scene, settled, attaches=attaches):
                return settled
        time.sleep(0.1)
    settled.problems.append(f"not at its end after {DEADLINE_S:.0f} s: {scene.view().state} {scene.view().reason}")
    return settled


def find_strays(scene: Scene) -> list[str]:
    """Return what lives of the scene, but for who only looks on, with the ports it listens at."""
    found = []
    for process in _working(scene):
        try:
            ports = [link.laddr.port for link in process.net_connections("inet") if link.status == psutil.CONN_LISTEN]
            found.append(f"{process.pid} {' '.join(process.cmdline())[-80:]}{f' listens at {ports}' if ports else ''}")
        except psutil.Error:
            continue
    return found


def _working(scene: Scene) -> list[psutil.Process]:
    """The processes of the scene without its terminal's program, and without commands of ours that look on."""
    own = {scene.screen.pid} if scene.screen is not None else set()
    return [process for process in scene.processes() if process.pid not in own and not _looks_on(process)]


def _looks_on(process: psutil.Process) -> bool:
    try:
        return "tui.cli" in process.cmdline()
    except psutil.Error:
        return True


def _check_nothing_is_left(scene: Scene, settled: Settled) -> None:
    begun_s = time.monotonic()
    while (left := find_strays(scene)) and time.monotonic() - begun_s < STRAY_S:
        time.sleep(0.05)
    settled.strays_s = max(settled.strays_s, time.monotonic() - begun_s)
    settled.problems += [f"still there after {STRAY_S:.0f} s: {who}" for who in left]


def _take_up(scene: Scene, settled: Settled, *, attaches: bool) -> bool:
    """Start a supervisor as a person does, or ask again where nothing has come of the first wish."""
    if read_json(scene.paths.run) is None and not any(scene.results.commands.glob("[!.]*")):
        return _help(scene, settled, ["run", str(scene.folder / "experiments.toml"), "--detach"])
    return _help(scene, settled, ["attach" if attaches else "retry"])


def _help(scene: Scene, settled: Settled, words: list[str]) -> bool:
    """Give a command; return False where it was given too often, or failed as it must not."""
    if len(settled.help) >= _MAX_HELP:
        settled.problems.append(f"helped {_MAX_HELP} times in vain: {scene.view().state} {scene.view().reason}")
        return False
    settled.help.append(words[0])
    done = ddptui(scene, words, timeout_s=DEADLINE_S)
    if "Traceback" in done.stderr or "unexpected" in done.stderr or done.returncode not in (0, 1):
        settled.problems.append(f"ddptui {' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        return False
    return True
