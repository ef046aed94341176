"""The last word of a device that systemd has given up: retained, with the reason."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_daemon.commands.gave_up import reason_from
from edge_daemon.contract.messages import Status
from edge_daemon.delivery.receiver import Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from tests.mosquitto import Mosquitto

CONFIG = """
[device]
name = "scope-2"
[source]
url = "sim://"
[broker]
url = "{broker}"
"""


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "stays down; on the device"),
        (
            {"MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_STATUS": "5"},
            "a source of frames cannot be opened, or has ended before it should, exit code 5)",
        ),
        (
            {"MONITOR_SERVICE_RESULT": "watchdog", "MONITOR_EXIT_STATUS": "6"},
            "(at last: it made no progress and was ended)",
        ),
        ({"MONITOR_EXIT_STATUS": "77"}, "stays down; on the device"),
    ],
)
def test_the_reason_is_what_systemd_knows_and_what_to_do(environment, told):
    reason = reason_from(environment)
    assert told in reason
    assert reason.endswith("journalctl -u leuko-edge, then systemctl restart leuko-edge")
    assert len(reason) <= 500


def gave_up(folder, broker: str) -> subprocess.CompletedProcess[str]:
    config = folder / "device.toml"
    config.write_text(CONFIG.format(broker=broker))
    command = [sys.executable, "-m", "edge_daemon.cli", "gave-up", config]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_whoever_looks_later_reads_that_the_device_is_down_and_why(mosquitto, tmp_path):
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        done = gave_up(tmp_path, broker.url)
        assert done.returncode == 0, done.stderr
        heard: list[object] = []
        receiver = Receiver(
            BrokerSettings.from_url(broker.url), lambda received: heard.append(received.message)
        )
        receiver.start()
        assert wait_until(lambda: bool(heard), 30)
        receiver.stop()
    (status,) = heard
    assert isinstance(status, Status)
    assert (status.state, status.device) == ("offline", "scope-2")
    assert "failed again and again" in (status.reason or "")


def test_without_a_broker_it_fails_so_that_systemd_tries_again(tmp_path):
    done = gave_up(tmp_path, "mqtt://127.0.0.1:1")
    assert done.returncode == 6
    assert "Traceback" not in done.stderr
