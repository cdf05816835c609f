"""The results folder: the only code that knows file names, and how a file is replaced so that nobody sees half of it.

Layout (DESIGN 4.2). Writers: the supervisor alone writes ``plan.json``, ``run.json``, ``command.sh``, ``status.json``,
``attempt.json``, ``summary.json``, ``hang-order.json`` and ``dossier.{json,txt}``, ``stacks.json``; the node runner its
``env-node<k>.json``, ``exit-node<k>.json``, ``hang-node<k>.json``, ``dossier-node<k>.json`` and logs; each rank its own
events, logs, stacks, error file and part of a snapshot, the first one the models too; whoever annotates a run its
``annotation.json``, whoever evaluates its model again its ``evaluations.json``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddptui.privacy import FILE_MODE, FOLDER_MODE

__all__ = [
    "SHARED_MEMORY",
    "AttemptPaths",
    "ExperimentPaths",
    "ResultsPaths",
    "RunPaths",
    "beats_home",
    "beats_prefix",
    "is_full",
    "is_safe_name",
    "list_experiments",
    "list_runs",
    "make_folder",
    "read_json",
    "stays_inside",
    "write_json",
    "write_whole",
]

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what we keep there is in a folder with a mode and a name of its own
"""A file system in memory: beats, and the tensors that processes of one machine pass to each other."""

_PAGE_BYTES = 4096
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}")
_MAX_JSON_BYTES = 256 << 20


@dataclass(frozen=True)
class AttemptPaths:
    """The files of one attempt: ``attempts/<a>/``."""

    root: Path

    @property
    def number(self) -> int:
        return int(self.root.name)

    @property
    def attempt(self) -> Path:
        """world_size, hosts, cores, beats folder, started_s, exit."""
        return self.root / "attempt.json"

    @property
    def beats(self) -> Path:
        """A folder in this machine's memory for the beats, unless ``attempt.json`` names another."""
        name = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]
        return beats_home() / f"{beats_prefix()}{name}"

    @property
    def rdzv(self) -> Path:
        """Where node 0 says at which endpoint its store listens."""
        return self.root / "rdzv.json"

    def env(self, node_rank: int) -> Path:
        """Versions, host, cores, GPUs, git commit of a node."""
        return self.root / f"env-node{node_rank}.json"

    def exit(self, node_rank: int) -> Path:
        """How a node's torchrun ended; its presence means that no rank of that node is left."""
        return self.root / f"exit-node{node_rank}.json"

    def handle(self, node_rank: int) -> Path:
        """The node runner's own identity (host, boot id, pid, start time), written by itself as it starts."""
        return self.root / f"handle-node{node_rank}.json"

    def ranks(self, node_rank: int) -> Path:
        """Lines of a node's agent: the pid of each rank as it starts, its exit code as it ends."""
        return self.root / f"ranks-node{node_rank}.jsonl"

    def events(self, rank: int) -> Path:
        return self.root / "events" / f"rank{rank}.jsonl"

    def said(self, rank: int) -> Path:
        """JSON lines that a user's own program writes by itself; what they say is copied into the rank's events."""
        return self.root / "said" / f"rank{rank}.jsonl"

    def node_events(self, node_rank: int) -> Path:
        return self.root / "events" / f"node{node_rank}.jsonl"

    def error(self, rank: int) -> Path:
        """Written by a rank that raised: type, message, file, line, traceback, is_peer_error, time_s.

        By its node runner where a user's program has logged a loss that is none, and is ended for it.
        """
        return self.root / "errors" / f"rank{rank}.json"

    def stack(self, rank: int) -> Path:
        """What a rank prints when it is asked for its stack."""
        return self.root / "stacks" / f"rank{rank}.txt"

    def hang(self, node_rank: int) -> Path:
        """There while the ranks of a node give no sign of life for longer than they may; its node runner's."""
        return self.root / f"hang-node{node_rank}.json"

    @property
    def hang_order(self) -> Path:
        """What the supervisor wants of the node runners of a run that hangs."""
        return self.root / "hang-order.json"

    def node_dossier(self, node_rank: int) -> Path:
        """A node's part of the dossier."""
        return self.root / f"dossier-node{node_rank}.json"

    @property
    def dossier(self) -> Path:
        """What was seen of all ranks when they hung."""
        return self.root / "dossier.json"

    @property
    def stacks(self) -> Path:
        """What was seen of all ranks when somebody asked last."""
        return self.root / "stacks.json"

    @property
    def dossier_text(self) -> Path:
        return self.root / "dossier.txt"

    def spare_error(self, beats: Path, rank: int) -> Path:
        """Where that is written when there is no room for it: beside the beats, in memory."""
        return beats / f"error{rank}.json"

    def out(self, rank: int) -> Path:
        return self.root / "logs" / f"rank{rank}.out"

    def err(self, rank: int) -> Path:
        return self.root / "logs" / f"rank{rank}.err"

    def node_log(self, node_rank: int) -> Path:
        return self.root / "logs" / f"node{node_rank}.log"


@dataclass(frozen=True)
class RunPaths:
    """The files of one run: ``results/<experiment>/runs/<run id>/``."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    @property
    def run(self) -> Path:
        return self.root / "run.json"

    @property
    def command(self) -> Path:
        return self.root / "command.sh"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def annotation(self) -> Path:
        """What a person said of it: is_pinned, note."""
        return self.root / "annotation.json"

    @property
    def evaluations(self) -> Path:
        """What ``ddptui evaluate`` found, oldest first."""
        return self.root / "evaluations.json"

    @property
    def model_final(self) -> Path:
        return self.root / "model_final.pt"

    @property
    def model_best(self) -> Path:
        """Of the best evaluation so far."""
        return self.root / "model_best.pt"

    @property
    def snapshots(self) -> Path:
        """A folder per snapshot, named by its number of steps."""
        return self.root / "snapshots"

    def snapshot(self, num_steps: int) -> Path:
        return self.snapshots / f"{num_steps:012d}"

    def attempt(self, number: int) -> AttemptPaths:
        return AttemptPaths(self.root / "attempts" / str(number))

    def attempts(self) -> list[AttemptPaths]:
        """Every attempt that has a folder, oldest first."""
        folder = self.root / "attempts"
        names = (entry.name for entry in _entries(folder) if entry.name.isdecimal())
        return [AttemptPaths(folder / name) for name in sorted(names, key=int)]


@dataclass(frozen=True)
class ExperimentPaths:
    """The files of one experiment: ``results/<experiment>/``."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    def csv(self, name: str) -> Path:
        """``name``: runs, ranks, epochs, system, summary, events."""
        return self.root / f"{name}.csv"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def report_md(self) -> Path:
        return self.root / "report.md"

    @property
    def runs(self) -> Path:
        """A folder per run."""
        return self.root / "runs"

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(self.runs / run_id)


@dataclass(frozen=True)
class ResultsPaths:
    """The files of a results folder and of its supervisor."""

    root: Path

    @property
    def control(self) -> Path:
        return self.root / ".ddptui"

    @property
    def lock(self) -> Path:
        return self.control / "lock"

    @property
    def queue(self) -> Path:
        return self.control / "queue.json"

    @property
    def commands(self) -> Path:
        """A JSON file each; on a full disk spelled in the names of empty files (``engine.spelled``), as replies are."""
        return self.control / "commands"

    @property
    def replies(self) -> Path:
        return self.control / "replies"

    @property
    def supervisor_log(self) -> Path:
        return self.control / "supervisor.log"

    def experiment(self, name: str) -> ExperimentPaths:
        return ExperimentPaths(self.root / name)

    def run(self, experiment: str, run_id: str) -> RunPaths:
        return self.experiment(experiment).run(run_id)


def beats_home() -> Path:
    """Where the folders of beats stand: in this machine's memory."""
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())


def beats_prefix() -> str:
    """How the names of this user's folders of beats begin."""
    return f"ddptui-{os.getuid()}-"


def is_safe_name(name: str) -> bool:
    """Whether ``name`` can only be an entry of the folder it is looked up in."""
    return _SAFE_NAME.fullmatch(name) is not None


def stays_inside(path: Path) -> bool:
    """Whether ``path`` is no link, or one to something inside the folder that it stands in."""
    return not path.is_symlink() or path.resolve().is_relative_to(path.parent.resolve())


def list_experiments(results: ResultsPaths) -> list[str]:
    """The names of the experiments that have a plan or runs, sorted."""
    folders = (entry for entry in _entries(results.root) if not entry.name.startswith("."))
    return sorted(
        e.name
        for e in folders
        if stays_inside(e) and stays_inside(e / "runs") and ((e / "plan.json").is_file() or (e / "runs").is_dir())
    )


def list_runs(experiment: ExperimentPaths) -> list[RunPaths]:
    """Every run folder of the experiment that holds a ``run.json``, by name; links that lead elsewhere are none."""
    return sorted(
        (RunPaths(e) for e in _entries(experiment.runs) if (e / "run.json").is_file() and stays_inside(e)),
        key=lambda paths: paths.run_id,
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in ``path``, or None where there is no file or it holds no JSON object.

    A folder of a stranger may have a pipe or a device under that name: neither is waited for.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            is_readable = stat.S_ISREG(found.st_mode) and found.st_size <= _MAX_JSON_BYTES
            value = json.loads(file.read(_MAX_JSON_BYTES)) if is_readable else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, for its owner alone unless asked otherwise.

    Raises:
        OSError: as the file system raised it.
    """
    if not path.is_dir():
        make_folder(path.parent)
        try:
            path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace ``path`` by ``value`` as JSON. NaN and Infinity become null: these files are for everybody's parser.

    Raises:
        OSError: as the file system raised it; ``path`` is then as it was.
    """
    write_whole(path, json.dumps(_finite(value), indent=1, default=str).encode() + b"\n")


def write_whole(path: Path, content: bytes, *, mode: int = FILE_MODE) -> None:
    """Replace ``path`` by ``content``: written beside, flushed, renamed, so that a reader sees the old or the new.

    Raises:
        OSError: as the file system raised it; ``path`` is then as it was and nothing is left beside it.
    """
    make_folder(path.parent)
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def is_full(folder: Path) -> bool:
    """Whether the file system of ``folder`` has no room for another page or file; False where that is not known."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    no_files = found.f_files > 0 and found.f_favail == 0
    return found.f_blocks > 0 and (found.f_bavail * found.f_frsize < _PAGE_BYTES or no_files)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        return
