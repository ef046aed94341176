"""A microscope of `real.py` whose daemon is updated too: versions in their own environments."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from deploy.trust.add import add
from edge_daemon.config import load_config
from edge_daemon.contract.envelope import utc_now
from edge_daemon.update.environment import CURRENT, PREVIOUS, Versions
from edge_daemon.update.release_journal import ReleaseJournal, ReleaseJournalFile
from tests.deploy.laboratory import Laboratory
from tests.deploy.rollout.real import RealDevice
from tests.deploy.rollout.supervised import Unit
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.update.own_wheel import install_checkout, write_daemon

MORE = """
versions = "installed"
restart = {restart}
system_site_packages = true
answers_within_s = {answers_within_s}
starts_within_s = 120.0
steady_s = 0.5
"""
FAULTS: dict[str, dict[str, str]] = {
    "does not come up": {
        "edge_daemon/commands/run.py": "\n\ndef run(*_, **__):\n    raise RuntimeError('broken')\n"
    },
    "fails its check": {
        "edge_daemon/commands/self_check.py": "\n\ndef self_check(*_):\n"
        "    raise ConfigError('[source] url: this version does not know it')\n"
    },
}


class VersionedDevice(RealDevice):
    """It begins with this checkout; ``packages``: what stands for its system's."""

    def __init__(
        self, folder: Path, name: str, laboratory: Laboratory, fleet: Fleet, packages: Path
    ) -> None:
        super().__init__(folder, name, laboratory, fleet)
        self._asked = folder / "restart"
        self._common = self.file.read_text()
        self.has_patience(60.0)
        self.versions = Versions(folder / "installed")
        self._environment = {**os.environ, "PYTHONPATH": str(packages)}
        self._units: list[Unit] = []
        install_checkout(self.versions)

    def has_patience(self, answers_within_s: float) -> None:
        """So long a new version is waited for, from the updater's next start on."""
        restart = json.dumps(["touch", str(self._asked)])
        more = MORE.format(restart=restart, answers_within_s=answers_within_s)
        self.file.write_text(self._common + more)
        self.config = load_config(self.file)

    def start(self) -> None:
        program, file = str(self.versions.root / CURRENT / "bin" / "leuko-edge"), str(self.file)
        daemon, updater = self.folder / "run.log", self.folder / "update.log"
        self._units = [
            Unit([program, "run", file], self._environment, daemon, self._asked),
            Unit([program, "update", "run", file], self._environment, updater),
        ]

    def restart_updater(self) -> None:
        self._units[1].restart()

    def kill(self) -> None:
        for unit in self._units:
            unit.kill()
        self._units.clear()

    @property
    def runs(self) -> str | None:
        """Version of the daemon that answers."""
        state = self.state()
        return None if state is None else state.daemon

    @property
    def boot(self) -> str | None:
        """Which start of the daemon answers."""
        state = self.state()
        return None if state is None else state.boot_id

    @property
    def links(self) -> tuple[str | None, str | None]:
        return self.versions.pointed(CURRENT), self.versions.pointed(PREVIOUS)

    @property
    def release(self) -> ReleaseJournal:
        return ReleaseJournalFile(self.config.update.state).read()


def offer_daemon(
    fleet: Fleet,
    version: str,
    fault: Mapping[str, str] | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Publish a version of the daemon, which needs nothing but what every device's system has."""
    wheelhouse = fleet.folder / "wheelhouse"
    wheelhouse.mkdir(exist_ok=True)
    wheel = write_daemon(fleet.folder / "dist", version, fault, beside)
    add(fleet.repository, wheel, fleet.ring(), utc_now(), wheelhouse=wheelhouse)
    fleet.publish()
