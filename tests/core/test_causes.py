# ruff: noqa: E501 - texts as they were recorded
"""The texts are those of Python 3.11, numpy 2 and torch 2.15, recorded where they were raised.

CUDA's and NCCL's are from torch's sources and documentation: there was no device to raise them on.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from engine.core.causes import describe_error, find_cause, is_own_network_error, no_room_number

GLOO = "[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/"

RECORDED = [
    (
        "OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.19 GiB is "
        "free. Process 12 has 77.9 GiB memory in use. Of the allocated memory 70.1 GiB is allocated by PyTorch",
        "cuda_memory",
        "CUDA out of memory: tried to allocate 2.00 GiB, 1.19 GiB of 79.11 GiB free on GPU 0",
    ),
    ("RuntimeError", "CUDA error: out of memory\nCUDA kernel errors might be", "cuda_memory", "CUDA out of memory"),
    (
        "RuntimeError",
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
        "4503599627370496 bytes. Error code 12 (Cannot allocate memory)",
        "memory",
        "out of memory: tried to allocate 4,194,304.0 GiB",
    ),
    (
        "_ArrayMemoryError",
        "Unable to allocate 8.00 PiB for an array with shape (1125899906842624,) and data type float64",
        "memory",
        "out of memory: Unable to allocate 8.00 PiB for an array with shape (1125899906842624,) and data type float64",
    ),
    ("MemoryError", "", "memory", "out of memory"),
    (
        "RuntimeError",
        "PytorchStreamReader failed reading zip archive: failed finding central directory. This is an internal miniz error.",
        "data",
        "a model file is damaged, or is none: PytorchStreamReader failed reading zip archive: failed finding central "
        "directory",
    ),
    ("BadZipFile", "File is not a zip file", "data", "a data file cannot be read: BadZipFile: File is not a zip file"),
    ("EOFError", "No data left in file", "data", "a data file cannot be read: EOFError: No data left in file"),
    (
        "UnpicklingError",
        "unpickling stack underflow",
        "data",
        "a data file cannot be read: UnpicklingError: unpickling",
    ),
    ("JSONDecodeError", "Expecting value: line 1", "data", "a data file cannot be read: JSONDecodeError: Expecting"),
    (
        "ModuleNotFoundError",
        "No module named 'sklearn.svm'",
        "import",
        "No module named 'sklearn.svm': install scikit-learn for the run's interpreter",
    ),
    (
        "ImportError",
        "cannot import name 'x' from 'torch'",
        "import",
        "import failed: cannot import name 'x' from 'torch'",
    ),
    ("OSError", "[Errno 28] No space left on device: '/data/x'", "disk", "disk full: cannot write /data/x"),
    ("OSError", "[Errno 122] Disk quota exceeded", "disk", "disk quota exceeded"),
    ("OSError", "[Errno 30] Read-only file system: '/a'", "disk", "read-only file system: cannot write /a"),
    ("OSError", "[Errno 24] Too many open files: '/dev/null'", "disk", "too many open files (ulimit -n): /dev/null"),
    (
        "RuntimeError",
        "[enforce fail at inline_container.cc:671] . unexpected pos 704 vs 598",
        "disk",
        "torch.save could not write its file whole",
    ),
    (
        "DistNetworkError",
        "The server socket has failed to listen on any local network address. port: 34813, useIpv6: false, code: -98, "
        "name: EADDRINUSE, message: address already in use",
        "network",
        "port 34813 is in use by another program",
    ),
    (
        "DistNetworkError",
        "The client socket has timed out after 1000ms while trying to connect to (127.0.0.1, 1).",
        "network",
        "no answer from the rendezvous at 127.0.0.1:1",
    ),
    ("DistStoreError", "wait timeout after 500ms, keys: /k", "network", "the rendezvous gave no answer within 0.5 s"),
    (
        "DistStoreError",
        "Timed out after 2 seconds waiting for clients. 1/2 clients joined.",
        "network",
        "only 1 of 2 ranks came to the rendezvous within 2 s",
    ),
    (
        "RuntimeError",
        "[enforce fail at x/device.cc:84] ifa != nullptr. Unable to find address for: nope0",
        "network",
        "network interface nope0 has no address (GLOO_SOCKET_IFNAME)",
    ),
    (
        "RuntimeError",
        f"{GLOO}pair.cc:545] Read error [127.0.0.1]:20357: Connection reset by peer. This is typically caused by",
        "network",
        "another rank went away: connection reset by peer",
    ),
    (
        "RuntimeError",
        f"{GLOO}unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation to complete",
        "network",
        "a collective was not answered within 3 s",
    ),
    (
        "DistBackendError",
        "NCCL error in: ProcessGroupNCCL.cpp:2251, unhandled system error",
        "network",
        "NCCL: NCCL error in: ProcessGroupNCCL.cpp:2251, unhandled system error",
    ),
    (
        "RuntimeError",
        "DataLoader worker (pid(s) 12815) exited unexpectedly",
        "shared_memory",
        "a process that loads data has ended (its own words are in the rank's stderr)",
    ),
    (
        "ValueError",
        'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File "/t.py", '
        "line 3, in get\nValueError: bad sample 2\n",
        "error",
        "ValueError: bad sample 2 (in a DataLoader process)",
    ),
    (
        "ValueError",
        "Connection closed by peer is its text",
        "error",
        "ValueError: Connection closed by peer is its text",
    ),
    (
        "RuntimeError",
        "addmm: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)",
        "error",
        "RuntimeError: addmm: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)",
    ),
    ("InputError", "dataset: 'a:b' cannot be imported", "own", "dataset: 'a:b' cannot be imported"),
]


def error(type_: str, message: str, **rest: Any) -> dict[str, Any]:
    return {"type": type_, "message": message, **rest}


@pytest.mark.parametrize(("type_", "message", "kind", "said"), RECORDED, ids=[row[3][:40] for row in RECORDED])
def test_an_error_is_recognised_by_its_text(type_: str, message: str, kind: str, said: str) -> None:
    assert find_cause(error(type_, message)).kind == kind
    assert describe_error(error(type_, message)).startswith(said)


def test_the_number_of_a_system_call_counts_more_than_the_complaint_that_came_of_it() -> None:
    complaint = error("RuntimeError", "unexpected pos 704 vs 598", errno=errno.EDQUOT, path="/home/me/x.pt")
    assert describe_error(complaint) == "disk quota exceeded: cannot write /home/me/x.pt"


def test_only_what_is_wrong_on_this_side_is_ones_own_network_error() -> None:
    assert is_own_network_error(error("DistNetworkError", "... port: 1, name: EADDRINUSE"))
    assert not is_own_network_error(error("RuntimeError", "Connection closed by peer"))
    assert not is_own_network_error(error("ValueError", "bad"))


def test_want_of_room_is_found_behind_other_errors() -> None:
    complaint = RuntimeError("unexpected pos 704 vs 598")
    complaint.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert no_room_number(complaint) == errno.ENOSPC
    assert no_room_number(OSError(errno.ENOENT, "no such file")) == 0
    assert no_room_number(ValueError("bad")) == 0


def test_odd_error_files_are_described_all_the_same() -> None:
    assert describe_error({}) == "error"
    assert describe_error({"type": 3, "message": None, "file": 7, "line": "x", "errno": "28"}) == "3"
