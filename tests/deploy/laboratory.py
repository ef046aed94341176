"""A laboratory for tests: an authority, who is enrolled with it, and a real broker of theirs."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from deploy.broker.settings import BrokerProfile
from deploy.broker.written import write
from deploy.identity.authority import create, look_at, opened, revoke
from deploy.identity.enrolment import CERTIFICATE, KEY, TRUSTED, enrol, renew
from deploy.identity.hosts import bounds
from deploy.identity.journal import Issued, Use
from deploy.identity.names import parse_identity
from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.settings import BrokerSettings
from tests.mosquitto import Mosquitto

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of tests
NOW = datetime.now(timezone.utc)
HERE = "127.0.0.1"


class Laboratory:
    """``enrol`` somebody, then ask for their ``settings``."""

    def __init__(
        self,
        folder: Path,
        name: str = "laboratory",
        when: datetime = NOW,
        within: Iterable[str] = (f"{HERE}/32", "lab.example"),
    ) -> None:
        self.folder = folder
        self.pki = folder / "pki"
        self.port = free_port()
        self._handed_out = 0
        folder.mkdir(parents=True, exist_ok=True)
        create(self.pki, name, bounds(within), PASSPHRASE, when)

    @property
    def url(self) -> str:
        return f"mqtts://{HERE}:{self.port}"

    def enrol(
        self,
        who: str,
        *,
        when: datetime = NOW,
        lasts: timedelta = timedelta(days=397),
        hosts: Iterable[str] | None = None,
        again: bool = False,
        also_trusted: bytes = b"",
    ) -> Path:
        """The folder that is handed out."""
        identity = parse_identity(who)
        if hosts is None:
            hosts = () if identity.is_client else (HERE,)
        use = Use(hosts=tuple(hosts), broker=(self.url,) if identity.is_client else ())
        self._handed_out += 1
        out = self.folder / "handed-out" / str(self._handed_out)
        with opened(self.pki, PASSPHRASE) as authority:
            if again:
                return renew(authority, identity, out, when, lasts, also_trusted).folder
            return enrol(authority, identity, use, out, when, lasts, also_trusted).folder

    def enrol_all(self, names: Iterable[str]) -> dict[str, Path]:
        """Many devices at once: the folder of each."""
        use = Use(hosts=(), broker=(self.url,))
        with opened(self.pki, PASSPHRASE) as authority:
            return {
                name: enrol(
                    authority, parse_identity(name), use, self.folder / "devices" / name, NOW
                ).folder
                for name in names
            }

    def revoke(self, who: str, when: datetime = NOW) -> None:
        """Take back all certificates of somebody."""
        with opened(self.pki, PASSPHRASE) as authority:
            revoke(authority, authority.journal.of(parse_identity(who)), "lost", when)

    def issued(self, who: str) -> list[Issued]:
        """What was issued to somebody, oldest first."""
        return look_at(self.pki).journal.of(parse_identity(who))

    def settings(self, folder: Path | None, **more: Any) -> BrokerSettings:
        """How somebody connects; ``None``: without a certificate, and trusting nobody."""
        files = {}
        if folder is not None:
            files = {
                "ca_file": folder / TRUSTED,
                "cert_file": folder / CERTIFICATE,
                "key_file": folder / KEY,
            }
        brisk = {"reconnect_min_s": 0.05, "reconnect_max_s": 0.2, "connect_timeout_s": 30.0}
        return BrokerSettings(**{"url": self.url, **brisk, **files, **more})

    def profile(self, **more: Any) -> BrokerProfile:
        """A broker on this machine."""
        return BrokerProfile(
            **{
                "address": HERE,
                "port": self.port,
                "state": str(self.folder / "state"),
                "user": getpass.getuser(),
                **more,
            }
        )

    def write_broker(
        self, server: Path, *others: Laboratory, profile: BrokerProfile | None = None
    ) -> Path:
        """The folder of its configuration, written again where it is there."""
        folder = self.folder / "broker"
        authorities = [look_at(one.pki) for one in (self, *others)]
        write(folder, profile or self.profile(), server, authorities, NOW)
        (self.folder / "state").mkdir(exist_ok=True)
        return folder


class HardenedMosquitto(Mosquitto):
    """Mosquitto with a configuration as it was written."""

    def __init__(self, program: Path, laboratory: Laboratory) -> None:
        self.folder = laboratory.folder / "broker"
        self.port = laboratory.port
        self._program = program
        self._process = None
        self._config = self.folder / "mosquitto.conf"
