from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from engine import catalog
from engine.core.spec import RunConfig, RunSpec
from engine.launchers.agent import Host, Start, plan_agent
from engine.launchers.by_hand import command_script, printable_command
from engine.launchers.local import LocalLauncher
from engine.launchers.torchrun import agent_arguments, agent_command
from engine.processes import run_marks
from engine.store import RunPaths


def spec(**config: object) -> RunSpec:
    values = {
        "model": "mlp",
        "dataset": "digits",
        "strategy": "ddp",
        "world_size": 2,
        "global_batch_size": 8,
        "epochs": 1,
        "optimizer": {"name": "sgd", "lr": 0.1},
        **config,
    }
    return RunSpec(
        id="ddp-w2-r0-000000",
        experiment="tests",
        point="ddp-w2-000000",
        repeat=0,
        axes={},
        baseline=None,
        baseline_reason="",
        config=RunConfig.model_validate(values),
        num_devices=2,
        project_dir="/data/my project",
        code_digest="",
    )


def plan(run: RunSpec, *, node_rank: int = 0, world_size: int = 2, num_gpus: int = 0, **environment: str):
    paths = RunPaths(Path("/results/tests/runs") / run.id)
    host = Host(
        platform="linux",
        python="/usr/bin/python3",
        pid=42,
        environment=environment,
        allowed_cores=[2, 3, 5, 7],
        num_gpus=num_gpus,
    )
    return plan_agent(
        run,
        paths,
        host,
        Start(
            attempt=1,
            node_rank=node_rank,
            world_size=world_size,
            beats=Path("/dev/shm/beats"),
            started_s=1.5,
            marks=run_marks(paths, run.experiment, node_rank),
            worker="engine.worker",
        ),
    )


def test_the_agent_is_torchrun_on_loopback_without_restarts() -> None:
    argv = plan(spec()).launch.argv
    assert argv[:6] == ["/usr/bin/python3", "-m", "ddptui.start", "--agent", "torch.distributed.run", "--"]
    assert "--max-restarts=0" in argv
    assert "--rdzv-backend=ddptui" in argv
    assert "--nproc-per-node=2" in argv
    assert argv[-5:] == ["-m", "ddptui.start", "-m", "engine.worker", "/results/tests/runs/ddp-w2-r0-000000"]
    assert not [part for part in argv if part.startswith("--rdzv-conf")]


def test_torch_distributed_launch_takes_the_same_arguments_in_the_same_environment() -> None:
    elder, torchrun = (plan(spec(launch=launch)).launch for launch in ("torch.distributed.launch", "torchrun"))
    assert elder.argv[:6] == ["/usr/bin/python3", "-m", "ddptui.start", "--agent", "torch.distributed.launch", "--"]
    assert elder.argv[5:] == torchrun.argv[5:]
    assert elder.env == torchrun.env


def test_several_nodes_meet_through_a_file_whose_name_may_hold_commas() -> None:
    arguments = agent_arguments(
        rdzv_id="r", world_size=4, nodes=2, node_rank=1, rdzv_file="/a, b/rdzv.json", log_dir="/l", rank=["-m", "m"]
    )
    assert "--rdzv-conf=node_rank=1,file=/a%2C%20b/rdzv.json" in arguments
    assert "--nproc-per-node=2" in arguments


def test_the_environment_holds_what_the_ranks_need_and_nothing_of_an_outer_torchrun() -> None:
    env = plan(spec(), PET_NNODES="9", TORCHELASTIC_RUN_ID="x", DDPTUI_RUN_ID="other", HOME="/home/me").launch.env
    assert env["HOME"] == "/home/me"
    assert not {"PET_NNODES", "TORCHELASTIC_RUN_ID"} & env.keys()
    assert env["DDPTUI_RUN_ID"] == "tests/ddp-w2-r0-000000"
    assert env["DDPTUI_ATTEMPT_DIR"] == "/results/tests/runs/ddp-w2-r0-000000/attempts/1"
    assert env["DDPTUI_PARENT_PID"] == "42"
    assert json.loads(env["DDPTUI_CORES"]) == {"0": [2], "1": [3]}
    assert {env[name] for name in ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")} == {"lo"}
    assert {env[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"1"}
    assert env["PYTHONSAFEPATH"] == "1"
    files = json.loads(env["DDPTUI_RANK_FILES"])["1"]
    assert files["err"] == "/results/tests/runs/ddp-w2-r0-000000/attempts/1/logs/rank1.err"


def test_the_users_variables_win_but_for_those_that_make_a_run_a_run() -> None:
    env = plan(spec(env={"OMP_NUM_THREADS": "8", "PYTHONSAFEPATH": "", "DDPTUI_RUN_ID": "x"})).launch.env
    assert env["OMP_NUM_THREADS"] == "8"
    assert env["PYTHONSAFEPATH"] == "1"
    assert env["DDPTUI_RUN_ID"] == "tests/ddp-w2-r0-000000"


def test_the_second_node_has_ranks_cores_and_gpus_of_its_own() -> None:
    run = spec(nodes=2, world_size=4, device="cuda")
    second = plan(run, node_rank=1, world_size=4, num_gpus=4)
    assert second.ranks == [2, 3]
    assert second.cores == {2: [5], 3: [7]}
    assert json.loads(second.launch.env["DDPTUI_CORES"]) == {"0": [5], "1": [7]}
    assert second.launch.env["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert (
        plan(run, node_rank=1, world_size=4, CUDA_VISIBLE_DEVICES="7,6,5,4").launch.env["CUDA_VISIBLE_DEVICES"] == "5,4"
    )
    assert "CUDA_VISIBLE_DEVICES" not in plan(run, node_rank=1, world_size=4, num_gpus=1).launch.env


def test_replicas_share_one_rank_and_a_driver_takes_no_core() -> None:
    replicas = plan(spec(strategy="dp", world_size=1, cores_per_rank=2), world_size=1)
    assert (replicas.cores, replicas.num_threads) == ({0: [2, 3, 5, 7]}, 2)
    stages = plan(spec(strategy="rpc_pipeline", world_size=3), world_size=3)
    assert stages.cores == {0: [2, 3, 5, 7], 1: [2], 2: [3]}


def test_setup_lines_run_in_the_shell_that_becomes_the_agent() -> None:
    echo = agent_command("/bin/echo", ["export A='it is'", "B=1 # why"], "m", ["$A", "two words"])
    done = subprocess.run(echo, capture_output=True, text=True, check=True)
    assert done.stdout == "-m ddptui.start --agent m -- $A two words\n"


@pytest.mark.parametrize("line", ["false", "no_such_command_here", "(exit 3)  # 3"])
def test_a_setup_line_that_fails_ends_the_run_with_its_own_words(line: str) -> None:
    done = subprocess.run(
        agent_command("/bin/echo", [line, "true"], "m", []), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("ddptui: setup line failed with exit code")
    assert done.stderr.splitlines()[-1].endswith(f": {line}")


def test_the_printed_command_is_one_line_a_node_that_a_shell_reads_back() -> None:
    lines = printable_command(spec(nodes=2), run_dir="/my results/r", world_size=2)
    assert len(lines) == 2
    parts = shlex.split(lines[1])
    assert parts[0] == "torchrun"
    assert "--rdzv-conf=node_rank=1,file=/my%20results/r/attempts/manual/rdzv.json" in parts
    assert parts[-2:] == ["engine.worker", "/my results/r"]


def test_a_run_by_torch_distributed_launch_is_printed_and_written_as_that() -> None:
    run = spec(launch="torch.distributed.launch")
    (line,) = printable_command(run, run_dir="/r", world_size=2)
    assert line.startswith("python -m torch.distributed.launch --nnodes=1 ")
    script = command_script(run, world_size=2, python="/b/python", num_threads=1, platform="linux")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "torch.distributed.launch() { exec /b/python -m torch.distributed.launch " in script
    assert "\ntorch.distributed.launch --nnodes=1 " in script


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_script_is_valid_shell_with_one_torchrun_line_a_node(nodes: int) -> None:
    run = spec(nodes=nodes, setup=["module() { :; }", "module load cuda"], env={"A": "it's $HOME"})
    script = command_script(run, world_size=2, python="/a b/python", num_threads=3, platform="linux")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert sum(line.startswith("torchrun --") for line in script.splitlines()) == nodes
    assert "cd '/data/my project' || exit 1" in script
    assert "module load cuda" in script
    assert """export A='it'"'"'s $HOME'""" in script


def test_the_catalogs_launcher_plans_a_node_runner_without_starting_it(tmp_path: Path) -> None:
    launcher = catalog.load(catalog.LAUNCHERS["local"][0])()
    assert isinstance(launcher, LocalLauncher)
    paths = RunPaths(tmp_path / "results" / "run")
    launch = launcher.plan(spec(), paths, attempt=2, node_rank=1)
    assert launch.argv[1:3] == ["-m", "engine.node"]
    assert f"--run-dir={paths.root.resolve()}" in launch.argv
    assert launch.env.items() >= run_marks(paths, "tests", 1).items()
    assert launch.log == RunPaths(paths.root.resolve()).attempt(2).node_log(1)
    assert not paths.root.exists()
