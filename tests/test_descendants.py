"""Whatever a descendant does to get away, the process that adopts orphans still has it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PARENT = """
import subprocess, time
import psutil
from engine.descendants import adopt_orphans, list_descendants, reap_orphans
adopt_orphans()
own = subprocess.Popen(["sh", "-c", "(setsid env -i sleep 600 & setsid env -i sleep 0.01 &); exec sleep 600"])
def names():
    return sorted(" ".join(process.cmdline()) for process in list_descendants())
def zombies():
    return [p for p in psutil.Process().children() if p.status() == psutil.STATUS_ZOMBIE]
deadline = time.monotonic() + 60
while not (zombies() and names() == ["sleep 600", "sleep 600"]) and time.monotonic() < deadline:
    time.sleep(0.01)
assert names() == ["sleep 600", "sleep 600"], names()
assert len(zombies()) == 1
reap_orphans(own.pid)
assert zombies() == []
own.kill()
while len(zombies()) < 1:
    time.sleep(0.01)
reap_orphans(own.pid)
assert [process.pid for process in zombies()] == [own.pid], "whoever started it waits for it"
own.wait()
for process in list_descendants():
    process.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a process the orphans of its descendants")
def test_a_descendant_that_detached_itself_is_found_and_reaped() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], cwd=ROOT, timeout=100, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
