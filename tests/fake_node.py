"""A node runner without torchrun: what it does is in the ``env`` of the run's config.

FAKE_S seconds to live, FAKE_EXIT its exit code, FAKE_REASON, FAKE_DEAF ("1": goes on after SIGTERM), FAKE_SILENT ("1":
dies without a word).
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from ddptui.lines import LineWriter
from engine.launchers.local import HELD_SIGNALS
from engine.processes import this_process
from engine.store import RunPaths, read_json, write_json

STOPPED: list[int] = []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--node-rank", type=int, required=True)
    arguments, _ = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda number, frame: STOPPED.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
    paths = RunPaths(arguments.run_dir)
    attempt = paths.attempt(arguments.attempt)
    orders = read_json(paths.run)["config"]["env"]
    write_json(attempt.handle(arguments.node_rank), this_process().to_json())
    write_json(attempt.env(arguments.node_rank), {"host": "here", "cores": {str(arguments.node_rank): [0]}})
    lines = LineWriter(str(attempt.events(arguments.node_rank)), rank=arguments.node_rank, attempt=arguments.attempt)
    lines.write("run_start", world_size=1, host="here", pid=1)
    end = time.monotonic() + float(orders.get("FAKE_S", "0.1"))
    while time.monotonic() < end and (not STOPPED or orders.get("FAKE_DEAF")):
        time.sleep(0.02)
    if orders.get("FAKE_SILENT"):
        sys.exit(1)
    lines.write("run_stop", reason="stopped" if STOPPED else "steps", epoch=0, step=0, num_steps=1)
    exit_code = 1 if STOPPED else int(orders.get("FAKE_EXIT", "0"))
    record = {"exit_code": exit_code, "ended_s": time.time(), "stopped": bool(STOPPED), "timed_out": False}
    record |= {"ranks": {}, "reason": orders.get("FAKE_REASON", ""), "ranks_left": []}
    write_json(attempt.exit(arguments.node_rank), record)


if __name__ == "__main__":
    main()
