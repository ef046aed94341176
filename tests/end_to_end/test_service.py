"""``leuko-edge run`` as a service: what systemd hears, what HTTP shows, and how fast it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from edge_daemon.contract.messages import Health, parse_message
from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.receiver import wait_until
from tests.edge_daemon.service.client import Watcher, ask
from tests.edge_daemon.service.manager import Manager
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.mosquitto import Mosquitto

CONFIG = """
health_every_s = 0.2
[source]
url = "sim://?seed=3&fields=3000&fps=10"
[models]
bundle = "{bundle}"
[broker]
url = "{broker}"
[slide]
name = "slide-7"
[http]
enabled = true
port = {port}
"""
STOPS_WITHIN_S = 10.0
"""What the unit allows; it takes 3 s on an idle machine."""
STARTS_WITHIN_S = 180.0


@pytest.fixture
def service(tmp_path):
    """Starts the daemon as systemd does; with it the manager's ear and the address of its page."""
    manager = Manager(str(tmp_path / "notify"))
    started: list[subprocess.Popen[str]] = []

    def start(broker: str) -> tuple[subprocess.Popen[str], Manager, str]:
        port = free_port()
        config = tmp_path / "device.toml"
        bundle = write_tiny_bundle(tmp_path / "bundles")
        config.write_text(CONFIG.format(bundle=bundle, broker=broker, port=port))
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_daemon.cli", "run", config],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"},
        )
        started.append(process)
        return process, manager, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.communicate()
    manager.close()


def stop(process: subprocess.Popen[str]) -> float:
    """Ask the daemon to stop; seconds until it has."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return time.monotonic() - began


def test_a_service_from_start_to_stop(service, mosquitto, tmp_path):
    heard: list[str] = []

    def hears(line: str, times: int = 1) -> bool:
        heard.extend(manager.heard())
        return heard.count(line) >= times

    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        process, manager, url = service(broker.url)
        assert wait_until(lambda: hears("READY=1"), STARTS_WITHIN_S)
        assert wait_until(lambda: hears("WATCHDOG=1", times=5), 60)
        assert "EXTEND_TIMEOUT_USEC=1800000000" in heard[: heard.index("READY=1")]
        assert any(line.startswith("STATUS=screening slide-7") for line in heard)

        assert ask(url, "/livez").status == 200
        assert ask(url, "/readyz").status == 200
        health = parse_message(ask(url, "/health").body)
        assert isinstance(health, Health)
        assert wait_until(lambda: ask(url, "/slide").status == 200, 60)
        metrics = ask(url, "/metrics").body.decode()
        assert 'leukoedge_frames_total{outcome="analysed"}' in metrics
        assert "leukoedge_broker_connected 1.0" in metrics
        assert wait_until(lambda: bool(ask(url, "/state").json["map"]), 60)
        with Watcher(url) as watcher:
            assert watcher.picture().startswith(b"\xff\xd8")
            assert stop(process) < STOPS_WITHIN_S  # although somebody watches
    assert hears("STOPPING=1")


def test_a_service_whose_broker_is_gone_stops_in_time_too(service):
    process, manager, url = service("mqtt://127.0.0.1:1")
    assert wait_until(lambda: "READY=1" in manager.heard(), STARTS_WITHIN_S)
    answer = ask(url, "/readyz")
    assert answer.status == 200  # it screens, and results wait
    assert "results wait in the outbox" in answer.json["notes"][0]
    assert stop(process) < STOPS_WITHIN_S
