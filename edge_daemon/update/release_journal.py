"""How far an update of the daemon itself has come: as :mod:`journal` is for bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_daemon.contract.base import Digest, UuidHex
from edge_daemon.contract.envelope import Count, as_reason
from edge_daemon.contract.update import ReleaseStanding, ReleaseStep
from edge_daemon.update.journaled import Journaled, JournaledFile
from edge_daemon.update.standing import StandingFile

RELEASE_JOURNAL = "release.json"

ENDS: tuple[ReleaseStep, ...] = ("committed", "failed")
ON_TRIAL: tuple[ReleaseStep, ...] = ("switching", "switched", "restarted", "undoing", "undone")
"""Steps at which nobody can say yet which version stays."""


class ReleaseJournal(Journaled):
    """The content of ``release.json``."""

    schema_: Literal["leukoedge.release/1"] = Field(default="leukoedge.release/1", alias="schema")
    step: ReleaseStep | None = None
    version: str | None = None
    """What was chosen for it."""
    digest: Digest | None = None
    """Of the archive it comes in."""
    old: str | None = None
    """Version that was current before it was tried, and is again if it fails."""
    before_old: str | None = None
    """What ``previous`` pointed to then."""
    bundle: Digest | None = None
    """In use before the restart; the new version has to use the same."""
    fault: str | None = None
    """What the daemon said of its last bundle then."""
    boot: UuidHex | None = None
    """Start of the daemon that was to be ended."""
    probes: Count = 0
    """Times that the updater began to wait for the new version."""

    @property
    def desired(self) -> str | None:
        """Name and version that the order names."""
        wanted = None if self.order is None else self.order.daemon
        return None if wanted is None else f"{wanted.name}-{wanted.version}"

    @property
    def standing(self) -> ReleaseStanding:
        """What others are told of it."""
        return ReleaseStanding(
            order=None if self.order is None else self.order.id,
            step=self.step,
            desired=self.desired,
            runs=self.runs,
            waits_for=None if self.waits_for is None else as_reason(self.waits_for),
            refused=None if self.refused is None else as_reason(self.refused),
        )

    @property
    def line(self) -> str:
        """All of it, for people."""
        if self.looked_at is None:
            return "daemon: the updater has not looked yet"
        here = f"{self.runs} is current" if self.runs else "which version is current is not known"
        first = f"{here}, and none was ordered"
        if self.desired is not None:
            first = f"{self.desired} is desired, {here}"
        parts = [f"daemon: {first}"]
        if self.step in ON_TRIAL:
            parts.append(f"{self.version} is on trial ({self.step})")
        if self.waits_for is not None:
            parts.append(f"waits: {self.waits_for}")
        if self.refused is not None:
            parts.append(f"refused: {self.refused}")
        parts.append(f"looked at {self.looked_at:%Y-%m-%d %H:%M:%S} UTC")
        return "; ".join(parts)


class ReleaseJournalFile(JournaledFile[ReleaseJournal]):
    """The journal on disk."""

    def __init__(self, state: Path, told: StandingFile | None = None) -> None:
        """Of the updater's folder.

        Args:
            state: the folder.
            told: where others are told of it; without it they are told of nothing else there.
        """
        mend = (
            "see that `current` points to a version that works (docs/fleet/recover.md), then "
            "delete the file"
        )
        super().__init__(state / RELEASE_JOURNAL, ReleaseJournal, mend, told or StandingFile(state))
