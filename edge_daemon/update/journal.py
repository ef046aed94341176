"""How far an update has come: one small file, replaced as a whole at every step.

Whoever is killed after any step, or has lost power, goes on from here at the next start. The file
is also what others read: what is desired, what runs, what is waited for, what was refused last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_daemon.contract.base import Digest, UuidHex
from edge_daemon.contract.envelope import Count, as_reason
from edge_daemon.contract.update import UpdateStanding, UpdateStep
from edge_daemon.update.journaled import Journaled, JournaledFile
from edge_daemon.update.standing import StandingFile

JOURNAL = "journal.json"
ENDS: tuple[UpdateStep, ...] = ("active", "candidate", "failed")


class Journal(Journaled):
    """The content of ``journal.json``."""

    schema_: Literal["leukoedge.update-journal/1", "leukoedge.update/1"] = Field(
        default="leukoedge.update-journal/1", alias="schema"
    )
    """It was called as the message is now, before there was the message."""
    step: UpdateStep | None = None
    label: str | None = None
    """Name and version of what was chosen for it."""
    digest: Digest | None = None
    """Of the bundle that was chosen."""
    command: UuidHex | None = None
    """Id of the command by which it is tried: a repeat of it is not done again."""
    boot: UuidHex | None = None
    """Start of the daemon that was asked to try it."""
    candidate: str | None = None
    """Name and version of what looks on because an order said so: another order may end it."""
    deaths: Count = 0
    """Times that the daemon ended before it said what became of it."""

    @property
    def desired(self) -> str | None:
        """Name and version that the order names."""
        bundle = None if self.order is None else self.order.bundle
        return None if bundle is None else f"{bundle.name}-{bundle.version}"

    @property
    def role(self) -> Literal["active", "candidate"] | None:
        """What the bundle that the order names shall be."""
        bundle = None if self.order is None else self.order.bundle
        return None if bundle is None else bundle.role

    @property
    def standing(self) -> UpdateStanding:
        """What others are told of it."""
        return UpdateStanding(
            order=None if self.order is None else self.order.id,
            step=self.step,
            desired=self.desired,
            role=self.role,
            runs=self.runs,
            waits_for=None if self.waits_for is None else as_reason(self.waits_for),
            refused=None if self.refused is None else as_reason(self.refused),
            orders_refused=tuple(as_reason(line) for line in self.orders_refused),
            looked_at=self.looked_at,
        )

    @property
    def line(self) -> str:
        """All of it, for people."""
        runs = f"{self.runs or 'what runs is not known'}{' runs' if self.runs else ''}"
        if self.looked_at is None:
            return "the updater has not looked yet"
        parts = [f"{self.desired} is desired, {runs}" if self.desired else f"{runs}, as it should"]
        if self.order is None:
            parts = [f"nothing was ordered, {runs}"]
        elif self.role == "candidate":
            looks_on = "looks on" if self.step == "candidate" else "shall look on"
            parts = [f"{self.desired} {looks_on}, {runs}"]
        if self.waits_for is not None:
            parts.append(f"waits: {self.waits_for}")
        if self.refused is not None:
            parts.append(f"refused: {self.refused}")
        parts += self.orders_refused
        parts.append(f"looked at {self.looked_at:%Y-%m-%d %H:%M:%S} UTC")
        return "; ".join(parts)


class JournalFile(JournaledFile[Journal]):
    """The journal on disk."""

    def __init__(self, state: Path, told: StandingFile | None = None) -> None:
        """Of the updater's folder.

        Args:
            state: the folder.
            told: where others are told of it; without it they are told of nothing else there.
        """
        mend = "delete it, and the newest order is followed"
        super().__init__(state / JOURNAL, Journal, mend, told or StandingFile(state))
