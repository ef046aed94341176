"""``leuko-edge run`` as systemd would run it: a configuration, a broker, and a signal to stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from edge_daemon.contract.messages import FrameResult, Health, SlideSummary, Status
from edge_daemon.delivery.receiver import Received, Receiver, wait_until
from edge_daemon.delivery.settings import BrokerSettings
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.mosquitto import Mosquitto

CONFIG = """
health_every_s = 0.2
[device]
site = "clinic-1"
name = "scope-2"
[source]
url = "{source}"
[models]
bundle = "{bundle}"
[broker]
url = "{broker}"
reconnect_min_s = 0.1
[slide]
name = "slide-7"
"""


class Heard:
    """Messages by type, in the order of arrival."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def take(self, received: Received) -> None:
        self.all.append(received.message)

    def of(self, kind: type) -> list:
        return [message for message in self.all if isinstance(message, kind)]


@pytest.fixture
def clinic(mosquitto, tmp_path):
    heard = Heard()
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        receiver = Receiver(BrokerSettings.from_url(broker.url), heard.take)
        receiver.start()
        with ExitStack() as daemons:

            def run(source: str) -> subprocess.Popen[str]:
                config = tmp_path / "device.toml"
                bundle = write_tiny_bundle(tmp_path / "bundles")
                config.write_text(CONFIG.format(source=source, bundle=bundle, broker=broker.url))
                command = [sys.executable, "-m", "edge_daemon.cli", "run", config]
                process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
                daemons.callback(process.kill)  # whatever a failed test leaves running
                return process

            yield heard, run
        receiver.stop()


def test_a_slide_from_birth_to_goodbye(clinic):
    heard, run = clinic
    process = run("sim://?seed=3&fields=12&fps=8")
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert wait_until(lambda: [s.state for s in heard.of(Status)][-1:] == ["offline"], 10)
    assert [s.state for s in heard.of(Status)] == ["online", "offline"]
    frames = heard.of(FrameResult)
    assert [f.frame for f in frames] == list(range(12))
    assert {(f.site, f.device, f.slide) for f in frames} == {("clinic-1", "scope-2", "slide-7")}
    assert all(f.stage is not None and f.um_per_px_from == "configured" for f in frames)
    summary = heard.of(SlideSummary)[-1]
    assert summary.complete
    assert summary.frames.captured == 12
    health = heard.of(Health)
    assert health
    assert health[-1].frames.captured <= 12
    assert set(health[-1].latency) >= {"quality", "detect"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_slide_in_good_order(clinic, how):
    heard, run = clinic
    process = run("sim://?seed=3&fields=300&fps=20")
    assert wait_until(lambda: len(heard.of(FrameResult)) >= 5, 60)
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert wait_until(lambda: any(s.ended_at for s in heard.of(SlideSummary)), 10)
    summary = heard.of(SlideSummary)[-1]
    assert not summary.complete
    assert summary.frames.captured == len(heard.of(FrameResult))
    assert wait_until(lambda: heard.of(Status)[-1].state == "offline", 10)


def test_a_camera_that_is_not_there_is_one_line(clinic):
    _, run = clinic
    process = run("camera:///dev/video99")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "/dev/video99" in said
    assert "Traceback" not in said
