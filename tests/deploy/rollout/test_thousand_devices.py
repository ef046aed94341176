"""A rollout to a thousand devices, at the level of messages, by the program as it is called."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.rollout.targets import Target
from tests.deploy.rollout.fleet import BACK, NEW, OLD, SimulatedFleet, wait_long
from tests.deploy.rollout.stage import Stage
from tests.deploy.rollout.test_rollout_cli import Shell
from tests.mosquitto import Mosquitto
from tests.soak import repeated

MOST_S, MOST_MB = 120.0, 200.0
FLEET = [f"site-{n % 20}/scope-{n}" for n in range(repeated(100, full=1000))]
WAVES = """
[[waves]]
count = 1
look_on = true
soak_s = 0.5
[[waves]]
share = 0.1
soak_s = 0.5
[[waves]]
share = 0.5
soak_s = 0.5
[[waves]]
share = 1
soak_s = 0.5
[gates]
min_cells = 30
"""


class Crowd(Shell):
    """The same for all of them."""

    def __init__(self, stage: Stage, port: int) -> None:
        super().__init__(stage)
        self.port = port
        head = self.file.read_text().partition("[devices]")[0]
        self.file.write_text(f"{head}[devices]\nall = true\n{WAVES}")


@pytest.fixture
def crowd(mosquitto: Path, repository_of_updates: Path, tmp_path: Path) -> Iterator[Crowd]:
    """With a broker that does not save its memory at each of some thousand changes."""
    with Mosquitto(mosquitto, tmp_path / "broker", persistent=False) as broker:
        yield Crowd(Stage(tmp_path, broker.url, repository_of_updates, FLEET), broker.port)


class Watched:
    """A process, how long it took, and the most memory that it held."""

    def __init__(self, command: list[str], out: Path) -> None:
        self.began = time.monotonic()
        with out.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)
        self.most_mb = self.cpu_s = 0.0

    def measure(self) -> bool:
        """Whether it has ended."""
        proc = Path(f"/proc/{self.process.pid}")
        text = (proc / "status").read_text()
        times = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
        self.cpu_s = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        for found in re.findall(r"VmHWM:\s+(\d+) kB", text):
            self.most_mb = max(self.most_mb, int(found) / 1024)
        return self.process.poll() is not None


@pytest.mark.soak
def test_a_thousand_devices(crowd: Crowd, bundles: dict[str, Target]) -> None:
    out = crowd.stage.folder / "out"
    with SimulatedFleet(crowd.port, FLEET, bundles, every_s=None) as fleet:
        first = Watched(crowd.start("--yes", "--json"), out)
        half = len(FLEET) // 4
        assert wait_long(lambda: first.measure() or fleet.versions().count(NEW) > half, MOST_S)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        second = Watched(crowd.command("resume", "--folder", crowd.folder, "--json"), out)
        # who comes after a kill counts frames anew: the devices go on screening
        fleet.screen()
        assert wait_long(lambda: fleet.screen() or second.measure(), MOST_S), out.read_text()[-999:]
        took_s = time.monotonic() - first.began
        assert second.process.returncode == 0, out.read_text()[-2000:]
        assert fleet.versions() == [NEW] * len(FLEET)
        assert all(len(orders) <= 2 for orders in fleet.orders.values())
    most_mb = max(first.most_mb, second.most_mb)
    print(
        f"{len(FLEET)} devices, killed once: {took_s:.0f} s, of these "
        f"{first.cpu_s + second.cpu_s:.0f} s of its own processor, {most_mb:.0f} MB"
    )
    assert took_s < MOST_S
    assert most_mb < MOST_MB


@pytest.mark.soak
def test_a_thousand_devices_are_taken_back(crowd: Crowd, bundles: dict[str, Target]) -> None:
    out = crowd.stage.folder / "out"
    with SimulatedFleet(crowd.port, FLEET, bundles, every_s=None) as fleet:
        plan = crowd.does(crowd.start("--dry-run")).stdout
        last = re.findall(r"^  (\S+): ", plan, re.MULTILINE)[-1]
        fleet.manners[last] = "fails"
        running = Watched(crowd.start("--yes", "--json"), out)
        assert wait_long(lambda: fleet.screen() or running.measure(), MOST_S)
        took_s = time.monotonic() - running.began
        assert running.process.returncode == 1, out.read_text()[-2000:]
        found = fleet.versions()
        assert (found.count(BACK), found.count(OLD)) == (len(FLEET) - 1, 1)
    print(
        f"{len(FLEET)} devices, undone by the last: {took_s:.0f} s, of these "
        f"{running.cpu_s:.0f} s of its own processor, {running.most_mb:.0f} MB"
    )
    assert running.most_mb < MOST_MB
