import pytest

from engine.core.errors import DdptuiError, InputError
from engine.worker.failure import describe_failure, is_peer_error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234"),
        RuntimeError("Read error [127.0.0.1]:4: Connection reset by peer"),
        RuntimeError("[../gloo/transport/tcp/unbound_buffer.cc:133] Timed out waiting 1800000ms for recv operation"),
        BrokenPipeError(32, "Broken pipe"),
        RuntimeError("NCCL error in: ProcessGroupNCCL.cpp: remote process exited or there was a network error"),
        RuntimeError("RPCErr:1:RPC ran for more than set timeout (60000 ms) and will now be marked with an error"),
        RuntimeError("eof: end of file (this error originated at tensorpipe/transport/uv/connection_impl.cc:132)"),
    ],
)
def test_an_error_that_another_rank_caused_is_seen_as_such(error):
    assert is_peer_error(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (64x400 and 256x120)"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ValueError("Connection closed by peer is what this text says"),
        FileNotFoundError(2, "No such file or directory", "data.npz"),
        InputError("unknown model 'gloo'"),
        DdptuiError("local rank 3 has no GPU: torch sees 2 here"),
        MemoryError(),
    ],
)
def test_an_error_of_this_rank_is_not_blamed_on_others(error):
    assert not is_peer_error(error)


def fail_here():
    import torch

    torch.zeros(2) @ torch.zeros(3)


def test_the_place_is_the_innermost_line_outside_installed_packages():
    with pytest.raises(RuntimeError) as caught:
        fail_here()
    failure = describe_failure(caught.value)
    assert failure["file"] == __file__
    assert failure["line"] == fail_here.__code__.co_firstlineno + 3
    assert failure["type"] == "RuntimeError"
    assert "fail_here" in failure["traceback"]
    assert failure["is_peer_error"] is False


def test_an_error_that_was_never_raised_has_no_place():
    failure = describe_failure(ValueError("x"))
    assert (failure["file"], failure["line"], failure["message"]) == ("", 0, "x")
