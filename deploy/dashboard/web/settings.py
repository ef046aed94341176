"""How the web application is run."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.dashboard.access.limits import LoginLimits
from deploy.dashboard.access.sessions import Lifetimes
from deploy.dashboard.alerts.watching import WatchSettings
from deploy.dashboard.review.signing import SecondReader
from edge_daemon.errors import ConfigError

PORT = 8470


@dataclass(frozen=True)
class WebSettings:
    """All that ``leuko-deploy dashboard serve`` can be told."""

    database: str
    """A file, or ``postgresql://...``."""
    host: str = "127.0.0.1"
    port: int = PORT
    """0: any that is free."""
    certificate: Path | None = None
    """PEM, with the chain; with it pages are served over TLS."""
    key: Path | None = None
    trusted_proxy: tuple[str, ...] = ()
    """Addresses of proxies that end TLS, and whose ``X-Forwarded-*`` count."""
    second_reader: SecondReader = "optional"
    patients: Path | None = None
    """The site's own table of slides and patients, read when something is exported."""
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    logins: LoginLimits = field(default_factory=LoginLimits)
    watch: WatchSettings | None = None
    """Watch for alerts in this process too; None: `leuko-deploy dashboard watch` does."""
    registry: Path | str | None = None
    """The registry of devices, for what they shall run."""
    rollouts: Path | None = None
    """Folder of a rollout, or of several."""
    previews: Path | None = None
    """Which devices' pictures may be shown, and where they are; None: no device's."""

    bundles: tuple[Path, ...] = ()
    """Folders of bundles with which attributions are computed; none: they are not offered."""

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS, so that cookies may ask for it."""
        return self.certificate is not None or bool(self.trusted_proxy)

    def check(self) -> None:
        """Refuse what would send passwords through a network in the clear.

        Raises:
            ConfigError: one line that says what to do.
        """
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("TLS needs both: give --certificate and --key")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise ConfigError(f"{file} is not there: give --certificate and --key as PEM files")
        for proxy in self.trusted_proxy:
            _check_network(proxy)
        if not self.secure and not _is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} without TLS would send passwords in the clear: give "
                "--certificate and --key, or --trusted-proxy with the address of the proxy that "
                "ends TLS"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_network(proxy: str) -> None:
    try:
        ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        raise ConfigError(f"--trusted-proxy {proxy}: give an address or network") from None
