"""Become torchrun, or one of its ranks, so that nothing of a run outlives the one who started it.

``python -m ddptui.start --agent <module> -- <its arguments>`` becomes torchrun (torch.distributed.run) or its elder
torch.distributed.launch; it dies with its parent and writes down the pid and the exit code of each rank.
``python -m ddptui.start -m <module> <arguments>`` is what these start for each rank; it dies with them, takes its cores
and its own log files, and becomes the module. With ``--script <file> <arguments>`` it becomes a user's own program
instead. torch.distributed.launch puts ``--local-rank=N`` before all of these; a program gets it as its first argument.
All work without any of the variables below; then they only take care of the parent's death.

==================  ================================================================================================
DDPTUI_PARENT_PID   who started the agent
DDPTUI_AGENT_PID    who started the rank (set by the agent)
DDPTUI_RANKS_FILE   where the agent writes ``rank_start`` and ``rank_exit`` lines
DDPTUI_RANK_FILES   JSON ``{local_rank: {"out", "err", "error", "stack"}}``: a rank's own log, error and stack files;
                    for a script also "lines" (of ``ddptui.log``) and "events" (lines that the program writes itself)
DDPTUI_CORES        JSON ``{local_rank: [core, ...]}``
DDPTUI_THREADS      intra-op threads of a rank
==================  ================================================================================================

Standard library only; torch is loaded by what these processes become.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from ddptui.lines import LineWriter
from ddptui.privacy import FILE_MODE, FOLDER_MODE, UMASK
from ddptui.script import LOCAL_RANK, as_spelled, run_script, without_our_frames
from ddptui.streams import NO_ROOM, take_streams

__all__ = ["become_agent", "become_rank", "become_script", "die_with", "is_peer_error", "main"]

_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
"""What asks a rank to leave. The agent holds them back in a new rank, which lets them in once it can act on them."""
_EXIT_STOPPED = 75
"""As of a worker that was asked to leave and did."""
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5
_PEER_ERROR = re.compile(
    r"connection (closed|reset) by peer|connection refused|broken pipe|connectFullMesh|socket (timeout|closed)"
    r"|timed out waiting .*(recv|send)|NCCL communicator was aborted|remote process exited|recvValue failed",
    re.IGNORECASE,
)


def main(argv: list[str]) -> None:
    """Become what the arguments say.

    Args:
        argv: the arguments, without the program's name.
    """
    given, argv = (argv[:1], argv[1:]) if argv and argv[0].startswith(LOCAL_RANK) else ([], argv)
    if argv[:1] == ["--agent"] and argv[2:3] == ["--"]:
        become_agent(argv[1], argv[3:])
    elif len(argv) >= 2 and argv[0] == "-m":
        become_rank(argv[1], argv[2:])
    elif len(argv) >= 2 and argv[0] == "--script":
        become_script(argv[1], [*(as_spelled(argument, argv[1]) for argument in given), *argv[2:]])
    else:
        _fail("usage: python -m ddptui.start --agent <module> -- ..., -m <module> ..., --script <file> ...", 2)


def become_agent(module: str, arguments: list[str]) -> None:
    """Become torchrun, which dies with its parent and writes down how each rank ends.

    Args:
        module: of torch: ``torch.distributed.run`` or ``torch.distributed.launch``.
        arguments: for it.
    """
    die_with(_pid_of("DDPTUI_PARENT_PID"))
    os.environ["DDPTUI_AGENT_PID"] = str(os.getpid())
    path = os.environ.get("DDPTUI_RANKS_FILE")
    if path:
        _record_ranks(LineWriter(path, rank=None, attempt=int(os.environ.get("DDPTUI_ATTEMPT", "0"))))
    try:
        agent = importlib.import_module(module)
    except ModuleNotFoundError as error:
        _fail(f"{sys.executable}: {error}", 1)
    agent.main(arguments)


def become_rank(module: str, arguments: list[str]) -> None:
    """Become one rank: ``python -m module arguments`` in this process.

    Until the module has handlers of its own, which torch's import may keep it from for seconds, a rank that is asked to
    leave does so at once: it has nothing to keep yet, and death by a signal would pass for a fault.
    """
    for number in _REQUESTS:
        signal.signal(number, lambda *_: os._exit(_EXIT_STOPPED))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
    os.umask(UMASK)
    files = _enter_rank()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception as error:
        _write_error(files.get("error"), error)
        raise


def become_script(path: str, arguments: list[str]) -> None:
    """Become one rank of a user's own program: ``python path arguments`` in this process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)  # what to do about them is the program's to say
    os.environ["DDPTUI_RANK_STARTED_S"] = repr(time.time())
    own_umask = os.umask(UMASK)
    files = _enter_rank()
    os.umask(own_umask)  # who may read what the program writes is the user's to say
    for variable, name in (("DDPTUI_LINES", "lines"), ("DDPTUI_EVENTS", "events")):
        os.environ.pop(variable, None)
        if name in files:
            os.makedirs(os.path.dirname(files[name]), exist_ok=True, mode=FOLDER_MODE)
            os.environ[variable] = files[name]
    try:
        run_script(path, arguments)
    except Exception as error:  # noqa: BLE001 (written down and shown as python does; then this process ends)
        _write_error(files.get("error"), error)
        error.__traceback__ = without_our_frames(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        raise SystemExit(1) from None


def _enter_rank() -> dict[str, str]:
    """Take what belongs to this rank; return its files."""
    die_with(_pid_of("DDPTUI_AGENT_PID"))
    _take_cores()
    _set_threads()
    files: dict[str, str] = _of_this_rank("DDPTUI_RANK_FILES") or {}
    _take_logs(files)
    _listen_for_stack_requests(files.get("stack"))
    return files


def die_with(parent_pid: int) -> None:
    """Make this process get SIGKILL when its parent dies; at once where it is dead already.

    Args:
        parent_pid: the parent's pid as the parent itself handed it down: asking the system would not tell whether it
            died before the question.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent_pid:
            return
    # A Mac, or a wrapper (a shim, a container's entry) stands between: the kernel does not tell, so look.
    if not _exists(parent_pid):
        _die()
    threading.Thread(target=_watch, args=(parent_pid,), name="ddptui-parent", daemon=True).start()


def is_peer_error(error: BaseException) -> bool:
    """Whether ``error`` only says that another rank has gone."""
    return _PEER_ERROR.search(str(error)) is not None


def _watch(parent_pid: int) -> NoReturn:
    while _exists(parent_pid):
        time.sleep(_POLL_S)
    _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(1)  # not reached


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _pid_of(variable: str) -> int:
    """A person who starts torchrun by hand hands no pid down: then it is whoever the parent is."""
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() else os.getppid()


def _record_ranks(lines: LineWriter) -> None:
    """Write a line when torchrun starts a rank and when it learns that the rank has ended.

    torchrun itself tells the exit code of the rank that it blames only, and only when all ranks are gone.
    """

    class RecordingPopen(subprocess.Popen[bytes]):
        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            env = options.get("env") or {}
            self._who = {"rank": int(env["RANK"]), "local_rank": int(env["LOCAL_RANK"])} if "RANK" in env else None
            with _held(_REQUESTS if self._who else ()):
                super().__init__(args, *rest, **options)
            self._write("rank_start")

        def poll(self) -> int | None:
            self._note(super().poll())
            return self.returncode

        def wait(self, timeout: float | None = None) -> int:
            code = super().wait(timeout)
            self._note(code)
            return code

        def _note(self, code: int | None) -> None:
            if code is not None:
                self._write("rank_exit", exit_code=code)
                self._who = None

        def _write(self, kind: str, **fields: Any) -> None:
            if self._who is not None:
                lines.write(kind, **self._who, pid=self.pid, **fields)

    subprocess.Popen = RecordingPopen  # type: ignore[misc, assignment]


@contextlib.contextmanager
def _held(signals: Collection[signal.Signals]) -> Iterator[None]:
    """Hold signals back, here and in a process that is started meanwhile: it starts with the mask of its parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_cores() -> None:
    cores = _of_this_rank("DDPTUI_CORES")
    if not cores or not hasattr(os, "sched_setaffinity"):  # a Mac has no affinity
        return
    existing = os.sched_getaffinity(0) & {int(core) for core in cores}
    if existing:
        os.sched_setaffinity(0, existing)


def _set_threads() -> None:
    threads = os.environ.get("DDPTUI_THREADS")
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, threads)


def _take_logs(files: dict[str, str]) -> None:
    """Send this rank's output to files of its own, below Python: libraries write to the descriptors."""
    for descriptor, name in ((1, "out"), (2, "err")):
        if name in files:
            try:
                os.makedirs(os.path.dirname(files[name]), exist_ok=True)
                fd = os.open(files[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                continue  # a full disk: the log of the node has to do
            os.dup2(fd, descriptor)
            os.close(fd)
    if files:
        take_streams()


def _listen_for_stack_requests(path: str | None) -> None:
    """Print the stack of every thread on SIGRTMIN+3: to a file of its own, to stderr where there is none.

    Registered before torch is loaded: a rank may hang in that, too.
    """
    if not hasattr(signal, "SIGRTMIN"):  # not on macOS
        return
    file = sys.stderr
    if path is not None:
        with contextlib.suppress(OSError):  # a full disk: then on stderr
            os.makedirs(os.path.dirname(path), exist_ok=True)
            file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    with contextlib.suppress(ValueError, OSError, RuntimeError):  # a stderr without a descriptor
        faulthandler.register(signal.SIGRTMIN + 3, file=file, all_threads=True)


def _of_this_rank(variable: str) -> Any:
    """The value for this local rank in a variable that holds a JSON object, or None."""
    try:
        return json.loads(os.environ.get(variable, "{}")).get(os.environ.get("LOCAL_RANK", "0"))
    except (ValueError, AttributeError):
        return None


def _write_error(path: str | None, error: Exception) -> None:
    """Write down what ended this rank, unless the module has done so itself."""
    if path is None or os.path.exists(path):
        return
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_installed(frame.filename)]
    record = {
        "type": type(error).__name__,
        "message": str(error),
        "file": frames[-1].filename if frames else "",
        "line": frames[-1].lineno if frames else 0,
        "traceback": "".join(traceback.format_exception(error)),
        "is_peer_error": is_peer_error(error),
        "time_s": time.time(),
    }
    if isinstance(error, OSError):
        record |= {"errno": error.errno, "path": str(error.filename or "")}
    spare = os.path.join(os.environ.get("DDPTUI_BEATS", ""), f"error{os.environ.get('RANK', '0')}.json")
    for place in (path, spare):  # a full disk must not hide the error: beats are in memory
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(f"{place}.{os.getpid()}", "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.replace(f"{place}.{os.getpid()}", place)
            return


def _is_installed(file: str) -> bool:
    """Whether it is a file of Python or of an installed package: the place of an error is to be the user's own."""
    if "/site-packages/" in file or "/dist-packages/" in file:
        return True
    return file.startswith((sysconfig.get_path("stdlib"), os.path.dirname(__file__), "<"))


def _fail(message: str, code: int) -> NoReturn:
    print(f"ddptui: {message}", file=sys.stderr)  # noqa: T201 - the node's log, from which the reason is read
    raise SystemExit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
