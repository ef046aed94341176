"""What the registry keeps of one device. Nothing of a slide, nothing of a patient, no free text.

A sentence that a device wrote for its operator may name a file, and a file may be named after a
patient. So reasons are shown where they arrive and never kept: what is kept are states, figures,
digests, versions and times.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from edge_daemon.contract.base import Digest, StrictModel, UtcTime, UuidHex
from edge_daemon.contract.envelope import Count

MOST_BOOTS = 8
"""Starts of a daemon that are remembered, to know one that comes back."""


class Enrolment(StrictModel):
    """How a device stands with the certificate authority."""

    standing: Literal["enrolled", "expired", "revoked"]
    since: UtcTime
    """When its first certificate was issued."""
    until: UtcTime
    """When its newest one ends."""


class Desired(StrictModel):
    """What a device shall run; None: nobody said."""

    bundle: Digest | None = None
    version: str | None = None
    """Of the daemon."""
    at: UtcTime
    by: str
    """Who wished so: a rollout, or a person."""


class Reported(StrictModel):
    """What a device says of itself, and when it was heard. All None: never."""

    state: Literal["online", "degraded", "offline"] | None = None
    version: str | None = None
    bundle: Digest | None = None
    said_at: UtcTime | None = None
    """Time of its last message, by its own clock."""
    seen_at: UtcTime | None = None
    """When it was last heard itself, by the clock here: not what the broker had kept of it, and
    not the will that the broker sends for it."""
    skew_s: float | None = None
    """Its clock less the clock here at its last health message; seconds."""
    clock_synchronised: bool | None = None
    clock_max_error_ms: float | None = None
    uptime_s: float | None = None
    fps: float | None = None
    hottest_c: float | None = None
    disk_free_bytes: Count | None = None
    memory_bytes: Count | None = None
    waiting: Count | None = None
    """Messages in its outbox."""
    refused: Count | None = None
    evicted: Count | None = None
    throttled: bool | None = None
    control_due: bool | None = None
    control: Literal["passed", "failed"] | None = None
    """Of its last control run."""
    control_run: Count = 0
    control_at: UtcTime | None = None
    screened_at: UtcTime | None = None
    """When it last said how a slide stands; not which."""
    boots: tuple[UuidHex, ...] = ()
    """Starts of its daemon, the present one first."""
    seq: Count = 0
    """Of the newest message of that start that was taken."""
    doubled_at: UtcTime | None = None
    """When a start that was over spoke again: two daemons bear one name."""


class Device(StrictModel):
    """One device."""

    name: str
    """``SITE/DEVICE``."""
    enrolment: Enrolment
    desired: Desired | None = None
    reported: Reported = Reported()

    @property
    def site(self) -> str:
        """The first level of its topics."""
        return self.name.partition("/")[0]


Why: TypeAlias = Literal["unknown device", "unknown schema", "refused"]


class Aside(StrictModel):
    """Messages that could not be entered: of whom, how many, why; not what stands in them."""

    name: str
    leaf: str
    why: Why
    line: str
    """For a person."""
    first_at: UtcTime
    last_at: UtcTime
    count: Count


class Listened(StrictModel):
    """From when to when somebody listened without a break; a silence outside says nothing."""

    since: UtcTime
    until: UtcTime
