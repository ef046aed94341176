"""What a hospital has around one device: an authority, a broker, a repository, a registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.rollout.settings import Rollout
from edge_daemon.contract.messages import SlideSummary, Status
from edge_daemon.delivery.receiver import Received, Receiver, wait_until
from tests.deploy.booted.machine import PYTHON, Machine, machine
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.deploy.push import devices
from tests.deploy.rollout.real import enrol_all
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.update.own_wheel import CHECKOUT, write_daemon
from tests.edge_daemon.update.web import served

DEVICE = "lab/scope-1"
FIRST = "98.0.0"
CENTRAL = ("dashboard:central", "dashboard:registry", "controller:central")
PATIENCE_S = 120.0
DEPLOY = (sys.executable, "-c", "from deploy.cli import main; main()")
EDGE = "/opt/leukoedge/current/bin/leuko-edge"
CONFIG = "/etc/leuko-edge/microscope.toml"
_HOSTS = """
["{device}"]
address = "127.0.0.1"
port = {port}
user = "operator"
key = "{machine}/operator"
known_hosts = "{machine}/known_hosts"
python = "{python}"
system_site_packages = true
source = "sim://?seed=3&fields=900&white=3&fps=1"
broker = "{broker}"
repository = "{repository}"
"""


@dataclass
class Hospital:
    """One device, and all that it is run with."""

    folder: Path
    machine: Machine
    laboratory: Laboratory
    fleet: Fleet
    identities: Path
    """Folder in which SITE/DEVICE is what was handed out to it."""
    controller: Path
    heard: list[Received] = field(default_factory=list)

    def push(self, *arguments: str, code: int = 0) -> list[str]:
        """A command of ``leuko-deploy push``; its lines, those on standard error last."""
        hosts = self.folder / "hosts.toml"
        return devices.push(hosts, self.registry, *arguments, code=code)

    def listed(self) -> dict[str, Any]:
        """The device as ``leuko-deploy devices list`` has it."""
        done = subprocess.run(
            [*DEPLOY, "devices", "list", "--registry", str(self.registry), "--json"],
            check=True,
            capture_output=True,
            text=True,
        )
        (device,) = json.loads(done.stdout)["devices"]
        assert isinstance(device, dict)
        return device

    @property
    def registry(self) -> Path:
        return self.folder / "registry.db"

    @property
    def wheelhouse(self) -> Path:
        """Of what is pushed first; what is pushed later lies there too."""
        return self.folder / "pushed"

    def edge(self, *words: str) -> str:
        """The device's own command line, by the daemon's user."""
        return self.machine.ask("sudo", "-u", "leuko-edge", EDGE, *words)

    @property
    def status(self) -> Status | None:
        """What the broker keeps of the device, as it came last."""
        said = [one.message for one in self.heard if isinstance(one.message, Status)]
        return said[-1] if said else None

    @property
    def slide(self) -> SlideSummary | None:
        """What came last of a slide."""
        said = [one.message for one in self.heard if isinstance(one.message, SlideSummary)]
        return said[-1] if said else None

    def is_online(self, version: str = FIRST, after: str | None = None) -> bool:
        """Whether a daemon of this version is there, and not that of the boot ``after``."""
        now = self.status
        return (
            now is not None
            and (now.state, now.version) == ("online", version)
            and now.boot_id != after
        )

    def links(self) -> tuple[str, str]:
        """``current`` and ``previous``."""
        root = self.machine.disk / "opt/leukoedge"
        return (root / "current").readlink().name, (root / "previous").readlink().name

    def wanted(self, version: str, back_to: str) -> Rollout:
        """A rollout of a version of the daemon to this device."""
        return Rollout.model_validate(
            {
                "name": f"daemon-{version}",
                "repository": str(self.fleet.repository.folder),
                "daemon": {"version": version, "back_to": back_to},
                "devices": {"all": True},
                "waves": [{"share": 1.0, "soak_s": 0.5}],
                "gates": {"min_frames": 0},
            }
        )


def shipped() -> dict[str, bytes]:
    """Files of the bundle that the daemon comes with, as its wheel has them."""
    files = sorted((CHECKOUT / "deploy" / "bundles").rglob("*"))
    return {str(one.relative_to(CHECKOUT)): one.read_bytes() for one in files if one.is_file()}


@contextmanager
def hospital(folder: Path, mosquitto: Path) -> Iterator[Hospital]:
    """One whose device is bare, and switched on."""
    laboratory = Laboratory(folder / "laboratory")
    fleet = Fleet.founded(folder)
    identities = folder / "identities"
    (identities / DEVICE).parent.mkdir(parents=True)
    laboratory.enrol(DEVICE).rename(identities / DEVICE)
    central = {who: laboratory.enrol(who) for who in CENTRAL}
    laboratory.write_broker(laboratory.enrol("server:broker"))
    enrol_all(folder / "registry.db", laboratory)
    fleet.publish()
    write_daemon(folder / "pushed", FIRST, beside=shipped())
    (folder / "machine").mkdir()
    with (
        HardenedMosquitto(mosquitto, laboratory),
        served(fleet.repository.folder) as web,
        machine(folder / "machine") as device,
    ):
        (folder / "hosts.toml").write_text(
            _HOSTS.format(
                device=DEVICE,
                port=device.port,
                machine=device.folder,
                python=PYTHON,
                broker=laboratory.url,
                repository=web.url,
            )
        )
        place = Hospital(
            folder, device, laboratory, fleet, identities, central["controller:central"]
        )
        listening = Receiver(laboratory.settings(central["dashboard:central"]), place.heard.append)
        watch = ("--registry", str(place.registry), "--pki", str(laboratory.pki))
        listening.start()
        registry = subprocess.Popen(
            [*DEPLOY, "devices", "watch", *watch, "--identity", str(central["dashboard:registry"])],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield place
        finally:
            registry.terminate()
            registry.wait(30)
            listening.stop()


def wait(condition: Callable[[], bool]) -> bool:
    """For as long as a device may take on a busy machine."""
    return wait_until(condition, PATIENCE_S)
