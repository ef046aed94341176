"""What is said of a device, asked of it, and answered."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, model_validator

from edge_daemon.contract.base import Name, StrictModel, UtcTime, UuidHex
from edge_daemon.contract.bundle import RoleName
from edge_daemon.contract.envelope import Addressed, Count, FromDevice, Reason
from edge_daemon.contract.findings import (
    Clock,
    FrameCounts,
    Latency,
    OutboxDepth,
    StageName,
)
from edge_daemon.contract.roles import Precision
from edge_daemon.contract.target import Release
from edge_daemon.contract.update import BundleRoleOrdered

CommandName: TypeAlias = Literal[
    "slide-start",
    "slide-pause",
    "slide-resume",
    "slide-finish",
    "slide-abort",
    "bundle-stage",
    "bundle-activate",
    "bundle-shadow",
    "config-reload",
    "control-run",
    "control-accept",
    "status",
]


class Status(FromDevice):
    """Whether the device works: its birth message, and the will the broker keeps for it."""

    schema_id: Literal["leukoedge.status/1"] = Field(default="leukoedge.status/1", alias="schema")
    state: Literal["online", "degraded", "offline"]
    reason: Reason | None = None
    """What is wrong, in one line; present exactly when the device is not ``online``."""
    version: str
    """Version of the daemon."""

    @model_validator(mode="after")
    def _reason_given(self) -> Status:
        if (self.reason is None) != (self.state == "online"):
            raise ValueError("reason is null exactly when the state is online")
        return self


class EngineInUse(StrictModel):
    """A network that is at work on the device, and how it is computed."""

    role: RoleName
    engine: Annotated[str, Field(min_length=1, max_length=160)]
    """The runtime and what it runs on."""
    precision: Precision
    """The coarsest arithmetic that it may use; bfloat16 counts as ``fp16``."""


class Health(FromDevice):
    """How the device fares: speed, queues, losses. Sent at intervals; one may be missed."""

    schema_id: Literal["leukoedge.health/1"] = Field(default="leukoedge.health/1", alias="schema")
    uptime_s: Annotated[float, Field(ge=0.0)]
    fps: Annotated[float, Field(ge=0.0)]
    """Frames per second that reached an outcome since the last health message."""
    frames: FrameCounts
    """How all frames since the daemon was started ended, on whatever slide."""
    latency: dict[StageName, Latency]
    """Time per frame, by stage of the pipeline."""
    queues: dict[StageName, Count]
    """Frames waiting before each stage."""
    drops: dict[Reason, Count]
    """Frames dropped so far, by cause."""
    temperatures_c: dict[str, float] = Field(default_factory=dict)
    """Temperatures in degrees Celsius, by the name of the sensor."""
    disk_free_bytes: Count | None = None
    memory_bytes: Count | None = None
    """Resident memory of the daemon."""
    outbox: OutboxDepth
    power_w: dict[str, float] = Field(default_factory=dict)
    """Power in watts, by the name of the supply rail; empty where nothing measures it."""
    throttled: tuple[Reason, ...] = ()
    """What holds processor or GPU back now, a sentence each; empty when nothing is known to."""
    clock: Clock = Clock()
    control: Reason | None = None
    """Why a control is due, or how it failed; null while all that are configured count."""
    engines: tuple[EngineInUse, ...] = Field(
        default=(), max_length=8, exclude_if=lambda value: not value
    )
    """The networks of the bundle in use."""


class Command(Addressed):
    """Something the central side asks of a device; never retained, void after ``expires_at``."""

    schema_id: Literal["leukoedge.command/1"] = Field(default="leukoedge.command/1", alias="schema")
    id: UuidHex
    """A random UUID; a repeat of it is answered again but not carried out again."""
    name: CommandName
    expires_at: UtcTime
    args: dict[str, JsonValue] = Field(default_factory=dict)


class CommandReply(FromDevice):
    """What became of a command."""

    schema_id: Literal["leukoedge.reply/1"] = Field(default="leukoedge.reply/1", alias="schema")
    id: UuidHex
    name: CommandName
    ok: bool
    reason: Reason | None = None
    """Why not; present exactly when it was not carried out."""
    result: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _reason_given(self) -> CommandReply:
        if (self.reason is None) != self.ok:
            raise ValueError("reason is null exactly when ok")
        return self


MOST_STRETCHES = 64
"""Pairs in one receipt; what is more goes into further ones."""


class Receipt(Addressed):
    """The central side has committed every record of ``boot_id`` up to ``up_to_seq``."""

    schema_id: Literal["leukoedge.receipt/1"] = Field(default="leukoedge.receipt/1", alias="schema")
    boot_id: UuidHex
    up_to_seq: Count
    beyond: tuple[tuple[Count, Count], ...] = Field(
        default=(), max_length=MOST_STRETCHES, exclude_if=lambda value: not value
    )
    """And those from the first to the last ``seq`` of each pair, beyond a hole: a record that the
    device gave up never comes, and what came after it shall not wait for it. Left out where there
    are none."""


class DesiredBundle(StrictModel):
    """A bundle, or the daemon, as the repository of updates names it."""

    name: Name
    version: Release
    role: BundleRoleOrdered = Field(
        default="active", exclude_if=lambda value: bool(value == "active")
    )
    """`active`: it shall be used. `candidate`: it shall look on beside the one that is used and
    change no result, so that it is seen how it judges. Left out where it shall be used."""
    order: UuidHex | None = Field(default=None, exclude_if=lambda value: value is None)
    """Id of the earlier order that this part is of, where it is only carried over: whoever orders
    the other part repeats this one, so that it is not lost for a device that was away. It is
    carried out once for that earlier order, and not again for this one. Left out where it is new.
    """


class Desired(Addressed):
    """What shall be installed on a device; retained, so that it waits for a device that is away.

    An order with an older ``ts`` than the one followed is refused.
    """

    schema_id: Literal["leukoedge.desired/1"] = Field(default="leukoedge.desired/1", alias="schema")
    id: UuidHex
    """A random UUID; each order is carried out once."""
    bundle: DesiredBundle | None = None
    """Null: the device keeps what it has."""
    daemon: DesiredBundle | None = Field(default=None, exclude_if=lambda value: value is None)
    """The daemon itself, named ``leukoedge``. Left out where none is ordered: the device keeps what
    it has, and devices that do not know the field read the order all the same."""

    def first(self, part: DesiredBundle | None) -> DesiredBundle | None:
        """``bundle`` or ``daemon`` with the id of the order that it was ordered by first."""
        if part is None or part.order is not None:
            return part
        return part.model_copy(update={"order": self.id})
