"""How each kind of fault is done."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from engine.snapshots import MANIFEST, SHARED_PART, SnapshotInfo, list_snapshots, part_of
from engine.store import AttemptPaths
from tests.drills.life import Life, children, is_module, node_runner_pid, rank_pids
from tests.drills.scene import Scene

__all__ = ["inject"]

_SIGNALS = {name: getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGUSR2", "SIGSTOP")}
_GARBAGE = (
    b"\x00\xff\xfe garbage \x1b[31m\n",
    b'{"kind":"step","step":"x","loss":[],"phases":7,"time_s":{}}\n',
    b'{"kind":"step","step":-9223372036854775809,"num_steps":1e400,"loss":NaN}\n',
    b'{"kind":"step",\n',
    b"[" * 60_000 + b"\n",
    b'{"kind":"run_stop","step":null,"num_steps":"many"}\n',
    b'{"kind":"epoch_stop","epoch":1e308,"loss":Infinity,"train_s":-1}\n',
    b"\n\n\r\n  \n",
    b"7\nnull\ntrue\n[]\n" + b'"x"\n',
    b'{"kind":"eval","epoch":0,"accuracy":"\xc3\x28"}\n',
)


def inject(kind: str, scene: Scene, life: Life, draw: int) -> str:
    """Do a fault; return in words what was done, "" where there was nobody to do it to.

    Args:
        kind: name in ``KINDS``.
        scene: where.
        life: of the run.
        draw: seeds what is to be chosen.
    """
    random_ = random.Random(draw)
    name, _, target = kind.partition(" ")
    if kind in _OTHERS:
        return _OTHERS[kind](scene, life, random_)
    return _signal(_SIGNALS[name], target, scene, life, random_)


def _signal(number: signal.Signals, target: str, scene: Scene, life: Life, random_: random.Random) -> str:
    pid, who = _find(target, scene, life.attempt(), random_)
    if pid is None:
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return f"{number.name} to {who} ({pid})"
    return ""


def _find(target: str, scene: Scene, files: AttemptPaths | None, random_: random.Random) -> tuple[int | None, str]:
    if target == "supervisor":
        return scene.supervisor_pid(), target
    if target in ("screen", "headless client"):
        return (scene.screen.pid if scene.screen is not None else None), target
    if files is None:
        return None, target
    if target == "rank":
        pids = rank_pids(files)
        rank = random_.randrange(scene.world_size)
        return pids.get(rank), f"rank {rank}"
    runner = node_runner_pid(files) or _unnamed_runner(scene)
    if target == "node runner":
        return runner, target
    return next(iter(children(runner)), None) if runner else None, target


def _unnamed_runner(scene: Scene) -> int | None:
    """A node runner that has not written down who it is."""
    supervisor = scene.supervisor_pid()
    started = children(supervisor) if supervisor is not None else []
    return next((pid for pid in started if is_module(pid, "engine.node")), None)


def _hang_up(scene: Scene, life: Life, random_: random.Random) -> str:
    return f"closed the terminal of {scene.screen.pid}" if scene.hang_up() and scene.screen else ""


def _stop_for_a_while(scene: Scene, life: Life, random_: random.Random) -> str:
    pid, who = _find("rank", scene, life.attempt(), random_)
    if pid is None:
        return ""
    seconds = random_.uniform(0.2, 4.0)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)  # this is the fault itself: so long nothing comes of the rank
        os.kill(pid, signal.SIGCONT)
        return f"{who} ({pid}) stood still for {seconds:.1f} s"
    return ""


def _fill_disk(scene: Scene, life: Life, random_: random.Random) -> str:
    filler, seconds = scene.root / "filler", random_.uniform(0.2, 4.0)
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    deadline, size = time.monotonic() + seconds, 1 << 20
    try:
        while time.monotonic() < deadline:  # what is freed meanwhile is taken too
            try:
                os.write(fd, b"\0" * size)
                size = 1 << 20
            except OSError:
                size = max(size // 4, 1)
                time.sleep(0.002)
    finally:
        os.close(fd)
        filler.unlink()
    return f"no room for {seconds:.1f} s"


def _event_file(scene: Scene, life: Life, random_: random.Random) -> Path | None:
    files = life.attempt()
    if files is None:
        return None
    found = [files.events(rank) for rank in range(scene.world_size)] + [files.node_events(0)]
    found = [path for path in found if path.exists()]
    return random_.choice(found) if found else None


def _add_garbage(scene: Scene, life: Life, random_: random.Random) -> str:
    path = _event_file(scene, life, random_)
    if path is None:
        return ""
    garbage = random_.choice(_GARBAGE)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, garbage)
    finally:
        os.close(fd)
    return f"{garbage[:40]!r} into {path.name}"


def _truncate(scene: Scene, life: Life, random_: random.Random) -> str:
    path = _event_file(scene, life, random_)
    if path is None:
        return ""
    size = path.stat().st_size
    kept = max(size - random_.randrange(1, 400), 0)
    os.truncate(path, kept)
    return f"{path.name} cut from {size} to {kept} bytes"


def _corrupt(scene: Scene, life: Life, random_: random.Random) -> str:
    deadline = time.monotonic() + 20.0
    while not (found := list_snapshots(scene.paths)) and life.see() in ("training", "evaluation", "snapshot write"):
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    said = _damage(found[0], random_) if found else "there was no snapshot yet"
    killed = _signal(signal.SIGKILL, "rank", scene, life, random_)
    return f"{said}; {killed or 'no rank was left to be killed'}"


def _damage(info: SnapshotInfo, random_: random.Random) -> str:
    path = info.folder / random_.choice([SHARED_PART, part_of(0), MANIFEST])
    how = random_.choice(["flipped", "cut", "emptied", "removed", "garbage"])
    with contextlib.suppress(FileNotFoundError):  # the run itself has removed it: it was the oldest
        content = bytearray(path.read_bytes())
        if how == "removed":
            path.unlink()
        elif how == "flipped":
            content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
            path.write_bytes(content)
        elif how == "cut":
            os.truncate(path, random_.randrange(len(content)))
        else:
            path.write_bytes(b"" if how == "emptied" else random_.randbytes(len(content)))
        return f"snapshot {info.num_steps}: {path.name} {how}"
    return f"snapshot {info.num_steps}: {path.name} had gone"


def _jump(scene: Scene, life: Life, random_: random.Random) -> str:
    seconds = random_.choice([-1, 1]) * random_.choice([5.0, 3600.0, 86400.0, 3.15e8])
    scene.jump(seconds)
    return f"time.time() of all processes of the run moved by {seconds:+.0f} s"


def _jump_and_kill(scene: Scene, life: Life, random_: random.Random) -> str:
    said = _jump(scene, life, random_)
    killed = _signal(signal.SIGKILL, "rank", scene, life, random_)
    return f"{said}; {killed}" if killed else ""


_OTHERS: dict[str, Callable[[Scene, Life, random.Random], str]] = {
    "SIGHUP headless client": _hang_up,
    "SIGHUP screen": _hang_up,
    "SIGSTOP, SIGCONT rank": _stop_for_a_while,
    "full tmpfs": _fill_disk,
    "garbage event line": _add_garbage,
    "truncated event file": _truncate,
    "corrupt snapshot": _corrupt,
    "clock jump": _jump,
    "clock jump, SIGKILL rank": _jump_and_kill,
}
