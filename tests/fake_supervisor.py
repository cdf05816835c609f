"""The real supervisor, with fake node runners: ``python -m fake_supervisor --results DIR``."""

import dataclasses
import sys
from pathlib import Path

from engine import catalog
from engine.launchers.local import LocalLauncher
from engine.supervisor import active
from engine.supervisor.__main__ import main


class FakeNodeLauncher(LocalLauncher):
    def plan(self, spec, paths, *, attempt, node_rank):
        launch = super().plan(spec, paths, attempt=attempt, node_rank=node_rank)
        argv = [sys.executable, str(Path(__file__).with_name("fake_node.py")), *launch.argv[3:]]
        return dataclasses.replace(launch, argv=argv)


if __name__ == "__main__":
    active.RUNNER_GRACE_S = 0.3
    catalog.LAUNCHERS["local"] = ("fake_supervisor:FakeNodeLauncher", "for tests")
    sys.exit(main())
