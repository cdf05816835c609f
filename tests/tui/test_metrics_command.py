"""``ddptui metrics``, scraped as Prometheus does, and by a real Prometheus where there is one."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from made_results import MadeResults

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from tui.cli import main
from tui.metrics_command import LiveRuns

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
HAS_PROMETHEUS = shutil.which("prometheus") is not None and shutil.which("promtool") is not None
needs_prometheus = pytest.mark.skipif(not HAS_PROMETHEUS, reason="no prometheus and promtool on this machine")


@pytest.fixture
def results(tmp_path):
    """A run that has come some way (its supervisor is gone), one that waits, and one that has ended long ago."""
    made = MadeResults(tmp_path / "results")
    made.run("ddp-w2-r0-aaa", world_size=2, state="running").begin().steps(20).evaluate(0, 0.75)
    made.run("single-w1-r0-bbb", strategy="single")
    made.run("single-w1-r1-ccc", strategy="single", state="running").begin(num_steps=8).steps(1).end()
    return made


@contextmanager
def serving(folder, *more):
    code = "import sys; from tui.cli import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, "metrics", "--results", str(folder), "--port", "0", *more]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/metrics", line)
        assert address is not None, line
        yield address[0], process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def scrape(address):
    """Return ``{(name, labels): value}`` of one scrape."""
    with urllib.request.urlopen(address, timeout=20) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def wait_for(found, *, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("it did not come about")


def test_a_scrape_has_the_machine_and_the_runs_that_have_not_ended(results):
    with serving(results.root, "--interval", "0.1", "--run-name", "night") as (address, process):
        night = (("run", "night"),)
        found = wait_for(lambda: _with_machine(address, night))
        assert 0 < found["node_memory_percent", night] <= 100
        assert found["node_net_bytes_sent", night] >= 0
        assert found["node_net_bytes_recv", night] >= 0
        ddp = (("experiment", "digits"), ("run", "ddp-w2-r0-aaa"))
        waiting = (("experiment", "digits"), ("run", "single-w1-r0-bbb"))
        assert found["ddptui_step", ddp] == 159
        assert found["ddptui_epoch", ddp] == 0
        assert found["ddptui_test_accuracy", ddp] == 0.75
        assert 0 < found["ddptui_loss", ddp] < 3
        assert found["ddptui_samples_per_s", ddp] > 0
        assert ("ddptui_loss", waiting) not in found, "what is not known has no sample"
        states = {labels: value for (name, labels), value in found.items() if name == "ddptui_state"}
        assert states[(*waiting, ("state", "queued"))] == 1.0
        assert sum(value for labels, value in states.items() if labels[:2] == waiting) == 1.0
        assert not any("single-w1-r1-ccc" in str(labels) for labels in states), "it had ended before"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def _with_machine(address, labels):
    got = scrape(address)
    return got if ("node_cpu_percent", labels) in got else None


def test_a_run_that_ends_while_we_look_stays_and_one_that_is_tried_again_appears(results):
    runs = LiveRuns(results.paths)
    assert [row.id for row in runs.read()] == ["ddp-w2-r0-aaa", "single-w1-r0-bbb"]
    again = results.run("single-w1-r1-ccc", strategy="single", state="queued")
    waiting = results.run("single-w1-r0-bbb", strategy="single", state="stopped")
    assert {row.id: row.state for row in runs.read()}["single-w1-r0-bbb"] == "stopped"
    assert {row.id: row.state for row in runs.read()}["single-w1-r1-ccc"] == "queued"
    shutil.rmtree(again.paths.root)
    shutil.rmtree(waiting.paths.root)
    assert [row.id for row in runs.read()] == ["ddp-w2-r0-aaa"]


def test_nobody_else_can_listen_in(results):
    with serving(results.root) as (address, process):
        port = urllib.parse.urlsplit(address).port
        listening = [
            f"{connection.laddr.ip}:{connection.laddr.port}"
            for connection in psutil.Process(process.pid).net_connections("tcp")
            if connection.status == "LISTEN"
        ]
        assert listening == [f"127.0.0.1:{port}"]


def test_a_port_that_is_taken_is_one_clear_line(results, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["metrics", "--results", str(results.root), "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port" in line


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "1e9"])
def test_an_interval_that_makes_no_sense_is_refused(results, interval, capsys):
    assert main(["metrics", "--results", str(results.root), "--port", "0", "--interval", interval]) == 2
    assert "--interval" in capsys.readouterr().err


def test_without_the_client_library_it_says_what_to_install(results, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(("prometheus_client", "engine.exporters"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert main(["metrics", "--results", str(results.root), "--port", "0"]) == 2
    assert "pip install prometheus-client" in capsys.readouterr().err


def dashboard_queries():
    """Every query of the dashboard with its variables filled in."""
    panels = json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]
    return [
        target["expr"].replace("$experiment", ".*").replace("$run", ".*")
        for panel in panels
        for target in panel["targets"]
    ]


def test_the_dashboard_asks_for_metrics_that_there_are():
    from engine.exporters.prometheus import MACHINE_METRICS, METRICS

    asked = {name for query in dashboard_queries() for name in re.findall(r"(?:ddptui|node)_\w+", query)}
    assert asked <= {*MACHINE_METRICS, *METRICS, "ddptui_state"}
    assert len(asked) >= 10


@needs_prometheus
def test_promtool_accepts_the_example():
    done = subprocess.run(
        ["promtool", "check", "config", str(MONITORING / "prometheus.yml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_a_real_prometheus_answers_every_query_of_the_dashboard(results, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with serving(results.root, "--interval", "0.1", "--run-name", "night") as (address, _):
        config = (MONITORING / "prometheus.yml").read_text().replace("127.0.0.1:8000", address.split("/")[2])
        config = config.replace("5s", "1s").replace("rules.yml", str(MONITORING / "rules.yml"))
        (tmp_path / "prometheus.yml").write_text(config)
        argv = [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (tmp_path / "log").open("w") as log:
            prometheus = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(tmp_path)})
        try:
            for query in dashboard_queries():
                wait_for(lambda query=query: ask(port, query))
        finally:
            prometheus.terminate()
            prometheus.wait(30)


def ask(port, query):
    """Return what Prometheus answers; nothing while it is not up."""
    address = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []
