"""Where updates come from: the ``[update]`` part of the configuration."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from edge_daemon.contract.base import Fraction, StrictModel
from edge_daemon.contract.target import Release


class UpdateSettings(StrictModel):
    """Updates of this device: ``leuko-edge update``, a process of its own beside the daemon."""

    repository: str | None = Field(default=None, min_length=1)
    """Where the fleet's repository is: a folder, ``file://``, ``http://`` or ``https://``. Without
    it nothing is updated."""
    state: Path = Path("update")
    """Folder of the pinned root, of downloads, and of the journal."""
    desired_file: Path | None = None
    """An order in a file, as from a stick, beside the one that comes by the broker; the newer one
    is followed."""
    every_s: float = Field(default=300.0, ge=1.0, le=7 * 86400.0)
    """How often the updater looks."""
    jitter: Fraction = 0.2
    """Each wait is longer or shorter by up to this share: a fleet must not ask all at once."""
    jetpack: Release | None = None
    """JetPack of this machine, where the updater cannot tell it."""

    versions: Path | None = None
    """Folder of the daemon's own versions, ``current`` among them; without it the daemon itself is
    not updated."""
    restart: tuple[str, ...] = Field(default=("systemctl", "restart", "leuko-edge"), min_length=1)
    """Command that restarts the daemon, for the updater's user."""
    system_site_packages: bool = False
    """A new version sees the system's Python packages: TensorRT, where it comes with JetPack."""
    answers_within_s: float = Field(default=120.0, ge=1.0, le=3600.0)
    """A new version that has not said a word by then is taken back."""
    starts_within_s: float = Field(default=1800.0, ge=1.0, le=7200.0)
    """The same of one that says that it is starting: it may have to build engines."""
    steady_s: float = Field(default=20.0, ge=0.0, le=3600.0)
    """So long it has to stay up, before it is kept."""

    @field_validator("repository")
    @classmethod
    def _holds_no_password(cls, repository: str | None) -> str | None:
        if repository is not None and "@" in urlsplit(repository).netloc:
            raise ValueError("no name and password in it: what is there is signed, and no secret")
        return repository

    @property
    def from_broker(self) -> Path:
        """Where the daemon writes down the order that the broker keeps for this device."""
        return self.state / "desired.json"

    @property
    def orders(self) -> tuple[Path, ...]:
        """Files in which an order may lie."""
        more = () if self.desired_file is None else (self.desired_file,)
        return (self.from_broker, *more)

    @property
    def answer(self) -> Path:
        """Where the updater writes down how updates stand, for the daemon to publish."""
        return self.state / "standing.json"
