"""Many jobs started at once on one machine, by two users, must not meet: no port, store, folder or process is shared.

``python -m tests.drills.concurrent_starts`` starts 100 real jobs (node runner, torchrun, ranks), four at a time, from
two results folders, each with a home and a temporary folder of its own, as two users have them. Each rank puts its
job's number into the job's store and sums it over the ranks: a job that met another's store or ranks would say another
number. Before that 200 rendezvous stores are opened at once, without ranks, by several processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.core.spec import Optimizer, RunConfig, RunSpec
from engine.launchers.local import LocalLauncher
from engine.processes import Handle, end_tree, find_tagged, is_alive, run_marks
from engine.store import RunPaths, make_folder, read_json, write_json

__all__ = ["Started", "open_stores", "start_jobs"]

JOB_TIMEOUT_S = 600.0

RANK = """
import os
import torch
import torch.distributed as dist
number = int(os.environ["JOB_NUMBER"])
dist.init_process_group("gloo")
store = dist.distributed_c10d._get_default_store()
store.set(f"job{dist.get_rank()}", str(number))
total = torch.ones(1) * number
dist.all_reduce(total)
seen = [int(store.get(f"job{rank}")) for rank in range(dist.get_world_size())]
port = os.environ["MASTER_PORT"]
os.write(1, f"{total.item():g} {seen} {port}\\n".encode())
dist.destroy_process_group()
"""

STORES = """
import sys
from torch.distributed.elastic.rendezvous import RendezvousParameters
from ddptui.rendezvous import make_handler
first, number = int(sys.argv[1]), int(sys.argv[2])
make = make_handler()
names = [f"job{first + index}" for index in range(number)]
infos = [make(RendezvousParameters("ddptui", "127.0.0.1:0", name, 1, 1)).next_rendezvous() for name in names]
for name, info in zip(names, infos):
    info.store.set("name", name)
print("open", flush=True)
sys.stdin.readline()
for name, info in zip(names, infos):
    said = info.store.get("name").decode()
    assert said == name, (said, name)
    print(info.bootstrap_store_info.master_addr, info.bootstrap_store_info.master_port, flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Started:
    """How one job came out; ``problem`` is "" where it met nobody."""

    number: int
    seconds: float
    problem: str


def start_jobs(base: Path, *, num_starts: int, at_once: int, world_size: int) -> list[Started]:
    """Start so many jobs, so many at a time, half of them from each of two results folders.

    Args:
        base: a folder for all of it.
        num_starts: jobs.
        at_once: how many go on together.
        world_size: ranks of each.
    """
    modules = base / "modules"
    make_folder(modules)
    (modules / "starting_rank.py").write_text(RANK)
    with ThreadPoolExecutor(at_once) as pool:
        done = pool.map(lambda number: _start_one(base, number, world_size), range(1, num_starts + 1))
        return [_tell(result, num_starts) for result in done]


def open_stores(*, num_stores: int, num_processes: int) -> list[tuple[str, int]]:
    """Open so many stores at once in several processes, all of them open together; return their addresses.

    Raises:
        RuntimeError: a store was not opened, or does not hold what was put into it.
    """
    share = num_stores // num_processes
    counts = [share + (index < num_stores % num_processes) for index in range(num_processes)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen([sys.executable, "-c", STORES, str(index * 1000), str(number)], **pipes)  # type: ignore[call-overload]
        for index, number in enumerate(counts)
    ]
    try:
        for process in processes:
            if process.stdout.readline() != "open\n":
                raise RuntimeError("the stores of a process were not opened")
        outputs = [process.communicate("\n")[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        raise RuntimeError("a store does not hold what was put into it")
    return [(line.split()[0], int(line.split()[1])) for output in outputs for line in output.splitlines()]


def _start_one(base: Path, number: int, world_size: int) -> Started:
    user = ("ada", "bob")[number % 2]
    home = base / user
    paths = RunPaths(home / "results" / "start" / "runs" / f"ddp-w{world_size}-r{number}-000000")
    make_folder(home / "tmp")
    spec = _make_spec(paths, number, world_size, base / "modules", home)
    write_json(paths.run, spec.model_dump(mode="json"))
    marks = run_marks(paths, spec.experiment)
    launcher = LocalLauncher()
    begin_s = time.monotonic()
    try:
        handle = launcher.start(launcher.plan(spec, paths, attempt=1, node_rank=0, worker="starting_rank"))
        problem = _wait(paths, handle) or _compare(paths, number, world_size)
        if not problem and (left := find_tagged(marks)):
            problem = f"left over: pid {left[0].pid}"
    finally:
        end_tree(marks, grace_s=0)
    return Started(number=number, seconds=time.monotonic() - begin_s, problem=problem)


def _make_spec(paths: RunPaths, number: int, world_size: int, modules: Path, home: Path) -> RunSpec:
    env = {"PYTHONPATH": str(modules), "JOB_NUMBER": str(number), "HOME": str(home), "TMPDIR": str(home / "tmp")}
    config = RunConfig(
        model="mlp",
        dataset="digits",
        strategy="ddp",
        world_size=world_size,
        global_batch_size=8,
        epochs=1,
        optimizer=Optimizer(lr=0.1),
        env=env,
    )
    return RunSpec(
        id=paths.run_id,
        experiment="start",
        point=f"ddp-w{world_size}",
        repeat=number,
        axes={},
        baseline=None,
        baseline_reason="",
        config=config,
        num_devices=world_size,
        project_dir="",
        code_digest="",
    )


def _wait(paths: RunPaths, handle: Handle) -> str:
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while is_alive(handle):
        if time.monotonic() >= deadline:
            return f"not finished after {JOB_TIMEOUT_S:.0f} s"
        time.sleep(0.1)
    said = read_json(paths.attempt(1).exit(0)) or {}
    return "" if said.get("exit_code") == 0 else f"ended badly: {said.get('reason') or 'without a word'}"


def _compare(paths: RunPaths, number: int, world_size: int) -> str:
    for rank in range(world_size):
        said = paths.attempt(1).out(rank).read_text().rpartition(" ")[0]
        if said != f"{number * world_size} {[number] * world_size}":
            return f"rank {rank} met somebody else: {said}"
    return ""


def _tell(result: Started, num_starts: int) -> Started:
    print(f"{result.number}/{num_starts}: {result.seconds:.1f} s  {result.problem or 'fine'}", flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Do both and say how it came out; return 1 where anything clashed."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.concurrent_starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--world-size", type=int, default=2)
    parser.add_argument("--stores", type=int, default=200)
    given = parser.parse_args(arguments)
    stores = open_stores(num_stores=given.stores, num_processes=min(8, given.stores))
    addresses = {address for address, _ in stores}
    is_fine = len(set(stores)) == given.stores and addresses == {"127.0.0.1"}
    print(f"{len(set(stores))} of {given.stores} stores at once, each on a port of its own at {', '.join(addresses)}")
    with tempfile.TemporaryDirectory(prefix="ddptui-starts-", dir=os.environ.get("TMPDIR")) as folder:
        results = start_jobs(Path(folder), num_starts=given.starts, at_once=given.at_once, world_size=given.world_size)
    bad = [result for result in results if result.problem]
    median_s = sorted(result.seconds for result in results)[len(results) // 2]
    print(f"{len(results)} starts, {given.at_once} at a time: {len(bad)} clashed; median {median_s:.1f} s")
    return 0 if is_fine and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
