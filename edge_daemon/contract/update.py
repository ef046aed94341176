"""How updates stand on a device: which order is followed, how far it has come, what stopped it.

The updater is a process of its own beside the daemon and has no connection (decision 29). It
leaves its word in a file, and the daemon publishes it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from edge_daemon.contract.base import StrictModel, UtcTime, UuidHex
from edge_daemon.contract.envelope import FromDevice, Reason

BundleRoleOrdered: TypeAlias = Literal["active", "candidate"]
UpdateStep: TypeAlias = Literal[
    "followed", "chosen", "fetched", "unpacked", "staged", "trying", "active", "candidate", "failed"
]
"""What was done last for an order. ``active``, ``candidate`` and ``failed`` are the ends."""
ReleaseStep: TypeAlias = Literal[
    "followed",
    "chosen",
    "fetched",
    "unpacked",
    "built",
    "switching",
    "switched",
    "restarted",
    "undoing",
    "undone",
    "committed",
    "failed",
]
"""What was done last for an order of the daemon; ``switching`` and ``undoing`` are what is about to
be done. ``committed`` and ``failed`` are the ends."""


class ReleaseStanding(StrictModel):
    """What the updater says of the daemon's own versions."""

    order: UuidHex | None
    """Id of the order that is followed; null before the first. It may lag behind that of the
    bundle, which comes first."""
    step: ReleaseStep | None
    """What was done last for it: `committed`, its version is current, and was kept; `failed`, it
    was tried, or built, and does not work here. These two are the ends of an order."""
    desired: Reason | None
    """Name and version of the daemon that the order names; null where it names none."""
    runs: Reason | None
    """Version that was current when the updater looked last; null where none is."""
    waits_for: Reason | None
    """Why the order is not carried out yet; null when nothing stands in the way."""
    refused: Reason | None
    """Why the order came to nothing."""


class UpdateStanding(StrictModel):
    """What the updater says of itself."""

    order: UuidHex | None
    """Id of the order that is followed; null before the first."""
    step: UpdateStep | None
    """What was done last for it: `active`, its bundle is in use; `candidate`, its bundle looks on;
    `failed`, it was tried and is not good. These three are the ends of an order."""
    desired: Reason | None
    """Name and version of the bundle that the order names; null where it names none."""
    role: BundleRoleOrdered | None
    """Whether that bundle shall be used, or look on as a candidate."""
    runs: Reason | None
    """Name and version of the bundle that the daemon used when it was asked last."""
    waits_for: Reason | None
    """Why the order is not carried out yet; null when nothing stands in the way."""
    refused: Reason | None
    """Why the order came to nothing."""
    orders_refused: tuple[Reason, ...]
    """Orders that lie on the device and are not followed, and why."""
    looked_at: UtcTime | None
    """When the updater looked last: a sign of life of its own."""
    daemon: ReleaseStanding | None = Field(default=None, exclude_if=lambda value: value is None)
    """The same of the daemon itself. Left out where this updater brings no versions of it."""


class UpdateReport(FromDevice):
    """How updates of this device stand; absent while no updater has looked."""

    schema_id: Literal["leukoedge.update/1"] = Field(default="leukoedge.update/1", alias="schema")
    standing: UpdateStanding
