"""A rollout to a thousand devices, at the level of messages, by the program as it is called.

The broker is the hardened one, exactly as it is written; each device has its own certificate and
its own connection. Only what a daemon and an updater do between two messages is simulated.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.rollout.targets import Target
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.deploy.rollout.connected import ConnectedFleet
from tests.deploy.rollout.fleet import BACK, NEW, OLD, wait_long
from tests.deploy.rollout.stage import Stage
from tests.deploy.rollout.test_rollout_cli import Shell
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


WAYS = {"saves after every change": False, "saves by the clock": True}
"""Of the broker as it is written, and whether its devices wait for receipts."""


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


@dataclass(frozen=True)
class Enrolled:
    """A laboratory, and the folder that was handed out to each."""

    laboratory: Laboratory
    server: Path
    controller: Path
    devices: dict[str, Path]


class Crowd(Shell):
    """The same for all of them."""

    def __init__(self, stage: Stage, enrolled: Enrolled, way: str) -> None:
        super().__init__(stage)
        self.enrolled, self.way = enrolled, way
        self._begun: list[Watched] = []
        head = self.file.read_text().partition("[devices]")[0]
        self.file.write_text(f"{head}[devices]\nall = true\n{WAVES}")

    def command(self, *words: str, connected: bool = True) -> list[str]:
        who = ["--identity", str(self.enrolled.controller)] if connected else []
        return [*super().command(*words, connected=connected), *who]

    def begin(self, command: list[str]) -> Watched:
        """Run it in the background."""
        self._begun.append(Watched(command, self.out))
        return self._begun[-1]

    def kill(self) -> None:
        """Whatever is left: two controllers with one name would throw each other out for ever."""
        for one in self._begun:
            one.process.kill()
            one.process.wait(30)

    @property
    def out(self) -> Path:
        """What they say."""
        return self.stage.folder / "out"

    def fleet(self, bundles: dict[str, Target]) -> ConnectedFleet:
        return ConnectedFleet(self.enrolled.laboratory.port, self.enrolled.devices, bundles)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    """Everybody with a certificate."""
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    server, controller = laboratory.enrol("server:broker"), laboratory.enrol("controller:central")
    return Enrolled(laboratory, server, controller, laboratory.enrol_all(FLEET))


@pytest.fixture(params=list(WAYS)[: repeated(1, full=2)])
def crowd(
    request: pytest.FixtureRequest,
    mosquitto: Path,
    repository_of_updates: Path,
    enrolled: Enrolled,
    tmp_path: Path,
) -> Iterator[Crowd]:
    """With the broker as `leuko-deploy broker write` has it."""
    laboratory, way = enrolled.laboratory, str(request.param)
    shutil.rmtree(laboratory.folder / "state", ignore_errors=True)
    profile = laboratory.profile(devices_wait_for_receipts=WAYS[way])
    laboratory.write_broker(enrolled.server, profile=profile)
    with HardenedMosquitto(mosquitto, laboratory):
        crowd = Crowd(Stage(tmp_path, laboratory.url, repository_of_updates, FLEET), enrolled, way)
        yield crowd
        crowd.kill()


@pytest.mark.soak
def test_a_thousand_devices(crowd: Crowd, bundles: dict[str, Target]) -> None:
    out = crowd.out
    with crowd.fleet(bundles) as fleet:
        first = crowd.begin(crowd.start("--yes", "--json"))
        half = len(FLEET) // 4
        assert wait_long(lambda: first.measure() or fleet.versions().count(NEW) > half, MOST_S)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        second = crowd.begin(crowd.command("resume", "--folder", crowd.folder, "--json"))
        # who comes after a kill counts frames anew: the devices go on screening
        fleet.screen()
        assert wait_long(lambda: fleet.screen() or second.measure(), MOST_S), out.read_text()[-999:]
        took_s = time.monotonic() - first.began
        assert second.process.returncode == 0, out.read_text()[-2000:]
        assert fleet.versions() == [NEW] * len(FLEET)
        assert all(len(orders) <= 2 for orders in fleet.orders.values())
    most_mb = max(first.most_mb, second.most_mb)
    print(
        f"{crowd.way}: {len(FLEET)} devices, killed once: {took_s:.0f} s, of these "
        f"{first.cpu_s + second.cpu_s:.0f} s of its own processor, {most_mb:.0f} MB"
    )
    assert took_s < MOST_S
    assert most_mb < MOST_MB


@pytest.mark.soak
def test_a_thousand_devices_are_taken_back(crowd: Crowd, bundles: dict[str, Target]) -> None:
    out = crowd.out
    with crowd.fleet(bundles) as fleet:
        plan = crowd.does(crowd.start("--dry-run")).stdout
        last = re.findall(r"^  (\S+): ", plan, re.MULTILINE)[-1]
        fleet.manners[last] = "fails"
        running = crowd.begin(crowd.start("--yes", "--json"))
        assert wait_long(lambda: fleet.screen() or running.measure(), MOST_S)
        took_s = time.monotonic() - running.began
        assert running.process.returncode == 1, out.read_text()[-2000:]
        found = fleet.versions()
        assert (found.count(BACK), found.count(OLD)) == (len(FLEET) - 1, 1)
    print(
        f"{crowd.way}: {len(FLEET)} devices, undone by the last: {took_s:.0f} s, of these "
        f"{running.cpu_s:.0f} s of its own processor, {running.most_mb:.0f} MB"
    )
    assert took_s < MOST_S
    assert running.most_mb < MOST_MB
