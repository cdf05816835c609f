"""Node runners on this machine."""

from __future__ import annotations

import os
import signal
import sys

from engine.core.errors import DdptuiError
from engine.core.spec import RunSpec
from engine.launchers.torchrun import WORKER_MODULE, Launch
from engine.processes import Handle, handle_of, run_marks, start_detached
from engine.store import RunPaths

__all__ = ["HELD_SIGNALS", "LocalLauncher"]

HELD_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""A node runner lets them in once it can act on them."""


class LocalLauncher:
    """Starts the node runner of each node as a detached process of this machine."""

    def plan(
        self, spec: RunSpec, paths: RunPaths, *, attempt: int, node_rank: int, worker: str = WORKER_MODULE
    ) -> Launch:
        """Say how the node runner of ``node_rank`` is started, without starting it.

        Args:
            spec: the run, as its ``run.json`` holds it.
            paths: its folder.
            attempt: which start of the run this is.
            node_rank: which node.
            worker: the module that each rank becomes.
        """
        run_dir = paths.root.resolve()
        arguments = [f"--run-dir={run_dir}", f"--attempt={attempt}", f"--node-rank={node_rank}", f"--worker={worker}"]
        return Launch(
            argv=[sys.executable, "-m", "engine.node", *arguments],
            env={**run_marks(paths, spec.experiment, node_rank), "PYTHONSAFEPATH": "1"},
            cwd=run_dir,
            log=RunPaths(run_dir).attempt(attempt).node_log(node_rank),
        )

    def start(self, launch: Launch) -> Handle:
        """Start what was planned; return who it is.

        Raises:
            DdptuiError: it cannot be started, or ended at once.
        """
        try:
            pid = start_detached(
                launch.argv, env={**os.environ, **launch.env}, cwd=launch.cwd, log=launch.log, held=HELD_SIGNALS
            )
        except OSError as error:
            raise DdptuiError(f"cannot start the node runner: {error}") from error
        handle = handle_of(pid)
        if handle is None:
            raise DdptuiError(f"the node runner ended at once; see {launch.log}")
        return handle
