from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

rendezvous = pytest.importorskip("torch.distributed.elastic.rendezvous")

from ddptui.rendezvous import make_handler  # noqa: E402 - it loads torch


def handler(file: Path | None = None, *, nodes: int = 1, node_rank: int = 0, run_id: str = "run", **conf: str):
    if file is not None:
        conf["file"] = quote(str(file))
    parameters = rendezvous.RendezvousParameters(
        "ddptui", "127.0.0.1:0", run_id, nodes, nodes, node_rank=str(node_rank), **conf
    )
    return make_handler()(parameters)


def test_torch_knows_the_backend_by_its_entry_point() -> None:
    registry = pytest.importorskip("torch.distributed.elastic.rendezvous.registry")
    registry._register_out_of_tree_handlers()
    parameters = rendezvous.RendezvousParameters("ddptui", "127.0.0.1:0", "run", 1, 1)
    assert registry.get_rendezvous_handler(parameters).get_backend() == "ddptui"


def test_every_rendezvous_has_a_fresh_store_on_loopback_only() -> None:
    one = handler()
    first, second = one.next_rendezvous(), one.next_rendezvous()
    assert (first.rank, first.world_size) == (0, 1)
    addresses = [info.bootstrap_store_info.master_addr for info in (first, second)]
    ports = {info.bootstrap_store_info.master_port for info in (first, second)}
    assert addresses == ["127.0.0.1", "127.0.0.1"]
    assert len(ports) == 2
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process().net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {("127.0.0.1", port) for port in ports} <= listening
    assert {ip for ip, port in listening if port in ports} == {"127.0.0.1"}
    first.store.set("key", "old")
    assert not second.store.check(["key"])


def test_nodes_of_one_machine_meet_in_the_store_of_node_0(tmp_path: Path) -> None:
    file = tmp_path / "a, b=c" / "rdzv.json"  # torchrun splits the configuration at commas
    file.parent.mkdir()
    others = {}

    def join() -> None:
        others["info"] = handler(file, nodes=2, node_rank=1).next_rendezvous()

    thread = threading.Thread(target=join)
    thread.start()
    info = handler(file, nodes=2).next_rendezvous()
    thread.join(timeout=30)
    info.store.set("key", "value")
    assert others["info"].store.get("key") == b"value"
    assert (others["info"].rank, others["info"].world_size) == (1, 2)
    assert others["info"].bootstrap_store_info.master_port == info.bootstrap_store_info.master_port


@pytest.mark.parametrize("left", ["", "{", '{"run_id": "earlier", "round": 1, "host": "127.0.0.1", "port": PORT}'])
def test_what_an_earlier_job_left_is_not_joined(tmp_path: Path, left: str) -> None:
    file = tmp_path / "rdzv.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        file.write_text(left.replace("PORT", str(server.getsockname()[1])))
        node = handler(file, nodes=2, node_rank=1, join_timeout="0.3")
        with pytest.raises(rendezvous.RendezvousTimeoutError, match="node 0 did not open its store within"):
            node.next_rendezvous()


def test_an_endpoint_off_loopback_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rdzv.json"
    file.write_text(json.dumps({"run_id": "run", "round": 1, "host": "192.0.2.1", "port": 1}))
    with pytest.raises(rendezvous.RendezvousConnectionError, match=r"only 127.0.0.1"):
        handler(file, nodes=2, node_rank=1).next_rendezvous()


def test_a_configuration_that_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="node_rank 2 does not exist"):
        handler(tmp_path / "file", nodes=2, node_rank=2)
    with pytest.raises(ValueError, match="several nodes need"):
        handler(nodes=2)
