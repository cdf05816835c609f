"""The node runner: starts torchrun on one machine, watches it, ends it, and writes down how it ended.

``python -m engine.node --run-dir D --attempt A --node-rank K``. It loads no torch and lives as long as its torchrun;
the supervisor that started it may die. SIGTERM asks it to stop the run; SIGHUP does not reach it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from ddptui.lines import LineWriter
from ddptui.privacy import UMASK
from engine.core.errors import DdptuiError
from engine.core.fields import text, whole, whole_or
from engine.core.lifecycle import stored_state
from engine.core.rootcause import is_told_to_stop
from engine.core.spec import RunSpec
from engine.core.state import RunState, is_terminal
from engine.descendants import adopt_orphans, list_descendants, reap_orphans
from engine.launchers.agent import AgentPlan, Host, Start, plan_agent
from engine.launchers.local import HELD_SIGNALS
from engine.launchers.torchrun import WORKER_MODULE
from engine.life_signs import BeatSigns, ScriptSigns, Signs
from engine.machine import (
    allowed_cores,
    count_memory_kills,
    describe_git,
    describe_machine,
    find_other_runs,
)
from engine.monitor import Monitor
from engine.node_hang import NodeHang
from engine.node_record import NodeRecord, write_patiently
from engine.processes import MARKS, end_found, end_tree, find_tagged, kill, resume, run_marks, this_process
from engine.relay import Relay
from engine.store import SHARED_MEMORY, ResultsPaths, RunPaths, is_full, read_json
from engine.tail import read_beat
from engine.wake import ensure_supervisor, results_of

__all__ = ["Ladder", "NodeRunner", "Wakeup", "hand_over", "main"]

SAMPLE_S = 1.0
GRACE_S = 20.0
"""From SIGTERM to SIGKILL for a run that is told to stop; ``DDPTUI_GRACE_S`` makes it shorter."""
PEER_GRACE_S = 5.0
"""What the others get once a rank has failed: torchrun would wait 30 s for one that is stuck."""
AGENT_GRACE_S = 5.0
"""What torchrun gets to report once its ranks were killed."""
HAND_OVER_S = 3.0
"""How long to stay until a supervisor has taken note of the end: the one that lives now may be about to die."""


class Ladder:
    """When the ranks of a run that must end are killed, and when its agent is.

    Args:
        grace_s: for a run that is told to stop.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._kill_ranks_s: float | None = None
        self._kill_agent_s: float | None = None
        self.is_stopping = False
        self.is_timed_out = False
        self.refusal = ""

    def stop(self, now_s: float, *, is_timeout: bool = False, refusal: str = "") -> None:
        """The run was told to stop: by its user, by its time limit, or for what it has said (``refusal``)."""
        self.is_stopping = not is_timeout and not refusal
        self.is_timed_out = is_timeout
        self.refusal = refusal
        self._kill_ranks_s = now_s + self._grace_s

    def end_now(self, now_s: float) -> None:
        """Without a grace: ranks that hang could not act on a request; those without a folder have nothing to keep."""
        self._kill_ranks_s = now_s

    def rank_failed(self, now_s: float) -> None:
        """A rank has failed: the others get a moment to notice."""
        if self._kill_ranks_s is None:
            self._kill_ranks_s = now_s + PEER_GRACE_S

    @property
    def is_told(self) -> bool:
        """Whether the run was told to stop."""
        return self.is_stopping or self.is_timed_out or bool(self.refusal)

    def must_kill_ranks(self, now_s: float) -> bool:
        """Whether the time has come to kill the ranks; True once."""
        if self._kill_ranks_s is None or now_s < self._kill_ranks_s or self._kill_agent_s is not None:
            return False
        self._kill_agent_s = now_s + AGENT_GRACE_S
        return True

    def must_kill_agent(self, now_s: float) -> bool:
        """Whether torchrun itself hangs, its ranks being dead."""
        return self._kill_agent_s is not None and now_s >= self._kill_agent_s


class NodeRunner:
    """Runs one node of one attempt.

    Args:
        paths: the run's folder, absolute.
        attempt: which start of the run.
        node_rank: which node.
        worker: the module that each rank becomes.
        wakeup: knows whether a signal has come.
    """

    def __init__(self, paths: RunPaths, attempt: int, node_rank: int, worker: str, wakeup: Wakeup) -> None:
        self._spec = RunSpec.model_validate_json(paths.run.read_bytes())
        self._files = paths.attempt(attempt)
        self._node_rank = node_rank
        told = read_json(self._files.attempt) or {}
        world_size = whole(told, "world_size") or self._spec.config.world_size
        if not isinstance(world_size, int):
            raise ValueError('world_size = "gpu": attempt.json does not say how many ranks that is')
        self._world_size = world_size
        self._marks = run_marks(paths, self._spec.experiment, node_rank)
        self._beats = Path(text(told, "beats") or self._files.beats)
        self._record = NodeRecord(
            self._files, node_rank=node_rank, nodes=self._spec.config.nodes, world_size=world_size
        )
        self._monitor = Monitor(node_rank, self._files)
        self._host = Host(
            platform=sys.platform,
            python=sys.executable,
            pid=os.getpid(),
            environment=os.environ,
            allowed_cores=allowed_cores(),
            num_gpus=len(self._monitor.describe_gpus()),
        )
        self._plan = plan_agent(
            self._spec,
            paths,
            self._host,
            Start(
                attempt=attempt,
                node_rank=node_rank,
                world_size=world_size,
                beats=self._beats,
                started_s=time.time(),
                marks=self._marks,
                worker=worker,
            ),
        )
        self._ladder = Ladder(min(float(os.environ.get("DDPTUI_GRACE_S", GRACE_S)), GRACE_S))
        self._signs = self._make_signs()
        self._hang = NodeHang(
            self._files,
            node_rank,
            signs=self._signs,
            ranks=self._plan.ranks,
            rule=self._spec.config.hang_rule,
            first_step=whole_or(told, "resumed_from_step", 0),
        )
        self._paths = paths
        self._is_shared_memory_full = False
        self._relay = self._make_relay()
        self._killed: set[int] = set()
        self._memory_kills = count_memory_kills()
        self._wakeup = wakeup

    def run(self) -> int | None:
        """Run torchrun to its end; return its exit code, None where it could not be started."""
        try:
            self._make_beats_folder()
            agent = self._start()
        except OSError as error:
            self._end(None, _describe_start_error(error, self._plan))
            return None
        with contextlib.suppress(OSError):  # a full disk: the run goes on without this file
            self._record.write_env(self._describe())
        self._watch(agent)
        self._record.read_ranks(self._killed)
        left = end_found(lambda: [*find_tagged(self._marks), *list_descendants()], grace_s=0)
        self._end(agent.returncode, self._find_reason(agent.returncode), left)
        return agent.returncode

    def _make_relay(self) -> Relay | None:
        """What a user's own program writes by itself is copied into the ranks' events."""
        if self._spec.config.script is None:
            return None
        return Relay(
            self._spec,
            self._files,
            ranks=self._plan.ranks,
            node_rank=self._node_rank,
            world_size=self._world_size,
            started_s=time.time(),
        )

    def _make_signs(self) -> Signs:
        if self._spec.config.script is None:
            return BeatSigns(self._files, self._beats, self._plan.ranks)
        return ScriptSigns(self._files, self._plan.ranks)

    def _make_beats_folder(self) -> None:
        """Make the folder; one that somebody else has put there is not used.

        Raises:
            OSError: it cannot be made, or belongs to another user.
        """
        self._beats.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = self._beats.lstat()  # a link of somebody else may lead to a folder of ours
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise PermissionError(errno.EPERM, "belongs to another user", str(self._beats))

    def _start(self) -> subprocess.Popen[bytes]:
        launch = self._plan.launch
        cwd = launch.cwd if launch.cwd.is_dir() else self._files.root
        agent = subprocess.Popen(launch.argv, env=launch.env, cwd=cwd, stdin=subprocess.DEVNULL)
        self._started_s = time.monotonic()
        return agent

    def _describe(self) -> dict[str, object]:
        machine = describe_machine()
        if self._spec.config.python:
            machine["python"] = None  # another interpreter than this one
        return {
            **machine,
            "interpreter": self._spec.config.python or sys.executable,
            "allowed_cores": sorted(self._host.allowed_cores),
            "cores": self._plan.cores,
            "num_threads": self._plan.num_threads,
            "world_size": self._world_size,
            "gpus": self._monitor.describe_gpus(),
            "beats": str(self._beats),
            "other_runs": find_other_runs(self._marks["DDPTUI_RUN_DIR"]),
            **describe_git(self._plan.launch.cwd),
        }

    def _watch(self, agent: subprocess.Popen[bytes]) -> None:
        events = LineWriter(str(self._files.node_events(self._node_rank)), rank=None, attempt=self._files.number)
        next_s = time.monotonic() + SAMPLE_S
        while agent.poll() is None:
            self._wakeup.wait(next_s - time.monotonic())
            now_s = time.monotonic()
            self._look(agent, now_s)
            if now_s >= next_s:
                next_s = now_s + SAMPLE_S
                self._hang.look(now_s, self._record, agent.pid)
                events.write("system", **self._monitor.sample(self._record.running))
                reap_orphans(agent.pid)
                if self._relay is not None:
                    self._relay.look(time.time())
        if self._relay is not None:
            self._relay.finish(time.time(), is_done=agent.returncode == 0)
        events.close()

    def _look(self, agent: subprocess.Popen[bytes], now_s: float) -> None:
        """See whether the run must end, and take the next step of ending it."""
        had_failed = self._record.has_failed_rank
        self._record.read_ranks(self._killed)
        if self._record.has_failed_rank and not had_failed:
            self._is_shared_memory_full = is_full(SHARED_MEMORY)
        limit_s = self._spec.config.timeout
        is_late = limit_s is not None and now_s - self._started_s >= limit_s
        if not self._ladder.is_told and (self._wakeup.is_told_to_stop or is_late):
            self._ladder.stop(now_s, is_timeout=not self._wakeup.is_told_to_stop)
            resume(find_tagged(self._marks))
            agent.terminate()
        elif not self._ladder.is_told and (refusal := self._refuse()):
            self._ladder.stop(now_s, refusal=refusal)
            agent.terminate()
        elif self._hang.end_reason and not self._ladder.is_told:
            self._ladder.end_now(now_s)
        elif not (self._files.root.is_dir() and self._paths.run.exists()):
            self._ladder.end_now(now_s)  # nobody could find or stop it any more
        elif self._record.has_failed_rank or self._record.has_failed_sibling():
            self._ladder.rank_failed(now_s)
        if self._ladder.must_kill_ranks(now_s):
            ranks = [process for process in find_tagged(self._marks) if process.pid != agent.pid]
            self._killed.update(process.pid for process in ranks)
            kill(ranks)
        if self._ladder.must_kill_agent(now_s):
            agent.kill()

    def _refuse(self) -> str:
        """Why what a program has logged must not go on, or ""."""
        found = self._signs.nonfinite
        if found is None or self._spec.config.on_nonfinite != "stop":
            return ""
        reason = f"loss is {found.what} at step {found.step}"
        self._record.note_error(found.rank, "NonFiniteLossError", reason, self._beats)
        return reason

    def _find_reason(self, exit_code: int) -> str:
        if exit_code == 0:
            return self._find_early_leaver()
        if self._ladder.is_timed_out:
            return f"timeout: not finished after {self._spec.config.timeout:g} s"
        if self._ladder.is_stopping:
            return ""  # who wanted it is not known here
        if self._ladder.refusal or self._hang.end_reason:
            return self._ladder.refusal or self._hang.end_reason
        kills = count_memory_kills()
        is_out_of_memory = kills is not None and self._memory_kills is not None and kills > self._memory_kills
        return self._record.find_reason(
            exit_code,
            beats=self._beats,
            is_out_of_memory=is_out_of_memory,
            is_shared_memory_full=self._is_shared_memory_full,
        )

    def _find_early_leaver(self) -> str:
        """A rank may have left with exit code 0 in the middle of its work: its beat knows."""
        for rank in self._plan.ranks:
            beat = read_beat(self._beats / f"rank{rank}")
            if beat is not None and beat.phase != "done":
                where = f"in phase {beat.phase} of step {beat.step}" if beat.step >= 0 else f"in its {beat.phase}"
                return f"rank {rank}: left early with exit code 0, {where}"
        return ""

    def _end(self, exit_code: int | None, reason: str, left: list[int] | None = None) -> None:
        self._record.write_exit(
            exit_code,
            reason=reason,
            stopped=exit_code != 0 and (self._ladder.is_stopping or is_told_to_stop(reason)),
            timed_out=self._ladder.is_timed_out and exit_code != 0,
            ranks_left=left or [],
        )
        for rank in self._plan.ranks:
            (self._beats / f"rank{rank}").unlink(missing_ok=True)
        self._record.keep_errors(self._plan.ranks, self._beats)
        shutil.rmtree(self._beats / f"torchrun{self._node_rank}", ignore_errors=True)
        with contextlib.suppress(OSError):  # other nodes of this machine still use it
            self._beats.rmdir()


class Wakeup:
    """Sleeps until a signal comes: the end of the agent and a request to stop are seen at once, at no cost.

    Made first of all: a signal that comes before would end the process without a word.
    """

    def __init__(self) -> None:
        self.is_told_to_stop = False
        self._read_fd, write_fd = os.pipe()
        for fd in (self._read_fd, write_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the signal does not wake
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)

    def wait(self, timeout_s: float) -> None:
        """Return after ``timeout_s``, or at once where a signal has come since the last time."""
        if not self.is_told_to_stop or timeout_s > 0:
            select.select([self._read_fd], [], [], max(0.0, timeout_s))
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 4096)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's signature
        self.is_told_to_stop = True


def main(argv: list[str] | None = None) -> int:
    """Run one node; return 0 where its torchrun succeeded."""
    parser = argparse.ArgumentParser(prog="python -m engine.node", description="Run one node of one attempt.")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--node-rank", type=int, required=True)
    parser.add_argument("--worker", default=WORKER_MODULE, help="the module that each rank becomes")
    arguments = parser.parse_args(argv)
    os.umask(UMASK)
    wakeup = Wakeup()
    adopt_orphans()
    paths = RunPaths(arguments.run_dir.resolve())
    files = paths.attempt(arguments.attempt)
    write_patiently(files.handle(arguments.node_rank), this_process().to_json())
    try:
        exit_code = NodeRunner(paths, arguments.attempt, arguments.node_rank, arguments.worker, wakeup).run()
    except Exception as error:  # whatever it was: a run without an exit file would seem to be running
        record = NodeRecord(files, node_rank=arguments.node_rank, nodes=1, world_size=1)
        reason = f"node runner: {type(error).__name__}: {error}".splitlines()[0]
        marks = {name: os.environ[name] for name in MARKS if name in os.environ}
        left = end_tree(marks, grace_s=0) if len(marks) == len(MARKS) else []
        record.write_exit(None, reason=reason, stopped=False, timed_out=False, ranks_left=left)
        raise
    finally:
        hand_over(paths)
    return 0 if exit_code == 0 else 1


def hand_over(paths: RunPaths) -> None:
    """Start the next supervisor where ours is dead: somebody must do the bookkeeping and go on with the queue.

    Args:
        paths: of the run that has ended.
    """
    results = results_of(paths.root)
    if not ResultsPaths(results).lock.exists():  # a run that was started by hand has no supervisor to wake
        return
    deadline_s = time.monotonic() + HAND_OVER_S
    with contextlib.suppress(DdptuiError, OSError):
        is_started = ensure_supervisor(results)
        while not (is_started or _is_noted(paths)) and time.monotonic() < deadline_s:
            time.sleep(0.1)
            is_started = not _is_noted(paths) and ensure_supervisor(results)  # it leaves when all is noted


def _is_noted(paths: RunPaths) -> bool:
    state = stored_state(read_json(paths.status))
    return state is None or is_terminal(state) or state is RunState.QUEUED  # to be started again


def _describe_start_error(error: OSError, plan: AgentPlan) -> str:
    program = plan.launch.argv[0]
    if isinstance(error, FileNotFoundError):
        return f"the interpreter {program} does not exist"
    return f"{error.filename or program} cannot be used: {error.strerror}"


if __name__ == "__main__":
    sys.exit(main())
