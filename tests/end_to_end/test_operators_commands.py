"""An operator at the keyboard: slides by command line, and the ledger, without broker and HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.config import load_config
from edge_daemon.errors import CommandError, ServiceError
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

PATIENCE_S = 60.0
CONFIG = """
[source]
url = "sim://?seed=3&fields=60&fps=2"
[models]
bundle = "{bundle}"
[broker]
url = "mqtt://127.0.0.1:9"  # nobody is there
[slide]
start = "on_command"
[outbox]
path = "state/outbox.db"
"""


class Device:
    def __init__(self, folder: Path) -> None:
        self.config = folder / "device.toml"
        self.state = folder / "state"
        bundle = write_tiny_bundle(folder / "bundles")
        self.config.write_text(CONFIG.format(bundle=bundle))
        self.started: list[subprocess.Popen[str]] = []

    def run(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge_daemon.cli", "run", str(self.config)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``leuko-edge ...`` at the prompt."""
        where = ["--socket", str(self.state / "outbox.sock")]
        if words[0] == "ledger":
            where = ["--outbox", str(self.state / "outbox.db")]
        command = [sys.executable, "-m", "edge_daemon.cli", *words, *where]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def until(self, told: str, *words: str) -> str:
        """Type it again until it says so."""
        until = time.monotonic() + PATIENCE_S
        while True:
            done = self.type(*words)
            if told in done.stdout:
                return done.stdout
            assert time.monotonic() < until, done.stdout + done.stderr


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def test_a_slide_by_command_line(device: Device) -> None:
    assert load_config(device.config).local_socket == device.state / "outbox.sock"
    nobody = device.type("slide", "start", "S-17")
    assert nobody.returncode == ServiceError.exit_code
    assert "no daemon is running here, or" in nobody.stderr
    daemon = device.run()
    device.until("no slide is under way", "slide", "status")
    begun = device.type("slide", "start", "S-17", "--operator", "op-1")
    assert begun.returncode == 0, begun.stderr
    assert "S-17: screening" in begun.stdout
    device.until("S-17: under way", "ledger")  # while the daemon writes it
    paused = device.type("slide", "pause", "--json")
    assert json.loads(paused.stdout)["result"]["activity"] == "paused"
    again = device.type("slide", "pause")
    assert again.returncode == CommandError.exit_code
    assert "S-17 is paused already" in again.stderr
    assert device.type("command", "slide-resume", "{}").returncode == 0
    ended = device.type("slide", "finish")
    assert "S-17: finished" in ended.stdout
    told = json.loads(device.type("ledger", "S-17", "--json").stdout)
    assert (told["setup"]["operator"], told["completion"]) == ("op-1", "finished")
    assert told["frames"]["sum_holds"]
    audit = json.loads(device.type("ledger", "commands", "--json").stdout)
    assert {entry["via"] for entry in audit} == {"local"}
    assert {entry["sender"]["uid"] for entry in audit} == {os.getuid()}
    daemon.send_signal(signal.SIGTERM)
    _, said = daemon.communicate(timeout=PATIENCE_S)
    assert daemon.returncode == 0, said
    assert device.type("slide", "status").returncode == ServiceError.exit_code
    left = sorted(file.name for file in device.state.iterdir())
    assert left == ["outbox.db", "outbox.db-reserve"]
    assert "(it holds)" in device.type("ledger").stdout


def test_a_second_daemon_says_that_there_is_one_and_a_killed_one_is_replaced(
    device: Device,
) -> None:
    first = device.run()
    device.until("no slide is under way", "slide", "status")
    second = device.run()
    _, said = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == ServiceError.exit_code
    assert "a daemon is running here already" in said
    assert "Traceback" not in said
    assert device.type("slide", "status").returncode == 0
    first.kill()
    first.wait()
    assert (device.state / "outbox.sock").exists()
    device.run()
    device.until("no slide is under way", "slide", "status")
