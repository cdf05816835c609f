"""A supervisor with everything around it faked: no sleep, no process."""

import io

from supervised import EXPERIMENT, make_plan, state_of

from engine.launchers.torchrun import Launch
from engine.processes import Handle, this_process
from engine.store import ResultsPaths, read_json, write_json
from engine.supervisor.loop import Supervisor
from engine.supervisor.writer import Log


class FakeProcesses:
    """Pids that live until a test says otherwise."""

    def __init__(self):
        self.alive = set()
        self.foreign = False
        self.stopped = set()
        self.rebooted = False
        self.left = False
        self.nodes_left = None
        self.survivors = []
        self.done = []

    def is_alive(self, handle):
        return None if self.foreign else handle.pid in self.alive

    def is_stopped(self, handle):
        return handle.pid in self.stopped

    def has_rebooted(self, handle):
        return self.rebooted

    def terminate(self, handle):
        self.done.append(("terminate", handle.pid))

    def is_anything_left(self, paths, experiment, node_rank=None):
        if node_rank is not None and self.nodes_left is not None:
            return node_rank in self.nodes_left
        return self.left or bool(self.alive)

    def kill_ranks(self, paths, experiment, runners):
        self.done.append(("kill_ranks", runners))

    def end_all(self, paths, experiment):
        self.done.append(("end_all",))
        self.alive.clear()
        self.left = False
        return self.survivors


class FakeLauncher:
    def __init__(self, processes):
        self.processes = processes
        self.error = None
        self.started = []

    def plan(self, spec, paths, *, attempt, node_rank):
        return Launch(argv=[spec.id, str(node_rank)], env={}, cwd=paths.root, log=paths.root / "log")

    def start(self, launch):
        if self.error:
            raise self.error
        self.started.append(launch.argv[0])
        pid = 100 + len(self.started)
        self.processes.alive.add(pid)
        return Handle("local", "here", "boot", pid, 1.0)


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


class House:
    """A supervisor with everything around it faked."""

    def __init__(self, root):
        self.root = root
        self.results = ResultsPaths(root)
        self.processes = FakeProcesses()
        self.launcher = FakeLauncher(self.processes)
        self.clock = Clock()
        self.said = io.StringIO()
        self.results.control.mkdir(parents=True, exist_ok=True)
        self.supervisor = self.new_supervisor()
        self.num_commands = 0

    def new_supervisor(self):
        supervisor = Supervisor(
            self.results,
            this_process(),
            log=Log(self.said, self.clock),
            processes=self.processes,
            find_launcher=lambda name: self.launcher,
            clock=self.clock,
        )
        supervisor.recover()
        return supervisor

    def send(self, op, **arguments):
        self.num_commands += 1
        name = f"{self.num_commands:03}.json"
        write_json(self.results.commands / name, {"op": op, **arguments})
        self.supervisor.tick()
        return read_json(self.results.replies / name)

    def enqueue(self, *specs, on_error="continue"):
        plan = make_plan(list(specs), on_error=on_error)
        return self.send("enqueue", experiment=EXPERIMENT, plan=plan, runs=[s.model_dump(mode="json") for s in specs])

    def paths(self, run_id):
        return self.results.run(EXPERIMENT, run_id)

    def exit(self, run_id, exit_code=0, attempt=1, node_rank=0, **fields):
        write_json(self.paths(run_id).attempt(attempt).exit(node_rank), {"exit_code": exit_code, **fields})

    def state(self, run_id):
        return state_of(self.root, run_id)
