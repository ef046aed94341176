"""What the journal says, and where a rollout stands because of it. Pure.

An entry is written before what it says is done, or when it has become true; from all of them a new
process knows everything that the one before knew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from deploy.rollout.errors import JournalError
from deploy.rollout.plan import Plan, PlannedWave
from deploy.rollout.record import Before
from deploy.rollout.settings import Rollout
from edge_daemon.contract.base import StrictModel, UtcTime, UuidHex
from edge_daemon.contract.messages import DesiredBundle

Purpose: TypeAlias = Literal["candidate", "active", "back", "withdraw"]
"""Why an order was given: to look on, to use it, to go back, to take back an order."""


class Planned(StrictModel):
    """It begins: all that it goes by."""

    kind: Literal["planned"] = "planned"
    rollout: Rollout
    plan: Plan
    by: str


class Order(StrictModel):
    """One device's."""

    id: UuidHex
    ts: UtcTime
    before: Before
    daemon: DesiredBundle | None = Field(default=None, exclude_if=lambda value: value is None)
    """What the order before said of the daemon: one document orders both, and a rollout of a
    bundle takes no other order away."""
    bundle: DesiredBundle | None = Field(default=None, exclude_if=lambda value: value is None)
    """Likewise of the bundle, where the rollout is of the daemon."""


class Ordered(StrictModel):
    """Orders are about to be published."""

    kind: Literal["ordered"] = "ordered"
    wave: int
    purpose: Purpose
    orders: dict[str, Order]


class Answered(StrictModel):
    """Devices are where they were ordered to be, or said that they will not."""

    kind: Literal["answered"] = "answered"
    purpose: Purpose
    good: tuple[str, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict)


class LookedOn(StrictModel):
    """The candidate judged closely enough in this wave."""

    kind: Literal["looked_on"] = "looked_on"
    wave: int


class Passed(StrictModel):
    """A wave is well."""

    kind: Literal["passed"] = "passed"
    wave: int
    good: int
    late: tuple[str, ...]
    """Devices that did not answer; their orders wait for them."""


class Stopped(StrictModel):
    """A gate says stop."""

    kind: Literal["stopped"] = "stopped"
    device: str
    gate: str
    why: str


class Undoing(StrictModel):
    """Devices already updated go back."""

    kind: Literal["undoing"] = "undoing"
    why: str


class Paused(StrictModel):
    """Nothing more is ordered."""

    kind: Literal["paused"] = "paused"
    why: str


class Resumed(StrictModel):
    """A person goes on."""

    kind: Literal["resumed"] = "resumed"
    by: str


class Ended(StrictModel):
    """It is over."""

    kind: Literal["ended"] = "ended"
    how: Literal["done", "undone"]
    late: tuple[str, ...]
    """Devices that have not answered; their orders wait for them."""


Entry: TypeAlias = (
    Planned | Ordered | Answered | LookedOn | Passed | Stopped | Undoing | Paused | Resumed | Ended
)
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


@dataclass
class Given:
    """The last order of a device."""

    order: Order
    purpose: Purpose
    wave: int
    good: bool = False
    failed: str | None = None
    may_look_on: bool = False
    """Taken back from a candidate: until the device has said otherwise, it looks on."""

    @property
    def is_answer_awaited(self) -> bool:
        """Whether the device is heard of again: of an order that was not carried out it is not."""
        return self.purpose != "withdraw" or self.may_look_on


@dataclass
class Standing:
    """Where a rollout stands."""

    rollout: Rollout
    plan: Plan
    wave: int = 0
    """Waves that are over; the number of the one that is under way."""
    looked_on: bool = False
    """In this wave, so that it may be used now."""
    given: dict[str, Given] = field(default_factory=dict)
    waived: set[str] = field(default_factory=set)
    """Devices that a person went on in spite of."""
    stopped: Stopped | None = None
    paused: str | None = None
    undoing: str | None = None
    ended: Ended | None = None
    ids: set[str] = field(default_factory=set)
    """Of all orders that were given."""

    @property
    def current(self) -> PlannedWave | None:
        """The wave that is under way."""
        return self.plan.waves[self.wave] if self.wave < len(self.plan.waves) else None

    @property
    def word(self) -> str:
        """In one word."""
        if self.ended is not None:
            return self.ended.how
        if self.undoing is not None:
            return "undoing"
        if self.stopped is not None:
            return "stopped"
        return "running" if self.paused is None else "paused"

    def apply(self, entry: Entry) -> None:
        """Take an entry in."""
        match entry:
            case Ordered():
                for name, order in entry.orders.items():
                    before = self.given.get(name)
                    looks_on = before is not None and before.purpose == "candidate"
                    self.given[name] = Given(
                        order,
                        entry.purpose,
                        entry.wave,
                        may_look_on=looks_on and entry.purpose == "withdraw",
                    )
                    self.waived.discard(name)
                    self.ids.add(order.id)
            case Answered():
                for name in entry.good:
                    self.given[name].good = True
                for name, why in entry.failed.items():
                    self.given[name].failed = why
            case LookedOn():
                self.looked_on = True
            case Passed():
                self.wave, self.looked_on = entry.wave + 1, False
            case Stopped():
                self.stopped = entry
            case Undoing():
                self.undoing, self.ended, self.paused = entry.why, None, None
            case Paused():
                self.paused = entry.why
            case Resumed():
                if self.stopped is not None:
                    self.waived.add(self.stopped.device)
                self.paused = self.stopped = None
            case Ended():
                self.ended = entry
            case Planned():
                raise JournalError("the journal begins twice; restore a copy")


def as_standing(entries: Iterable[dict[str, Any]]) -> Standing | None:
    """Where a rollout stands after these entries; None after none.

    Raises:
        JournalError: they are of another version, or begin with something else than a plan.
    """
    standing: Standing | None = None
    for number, text in enumerate(entries):
        try:
            entry = _ENTRY.validate_python(text)
        except ValidationError:
            raise JournalError(
                f"entry {number} of the journal is of another version of this program"
            ) from None
        if standing is not None:
            standing.apply(entry)
        elif isinstance(entry, Planned):
            standing = Standing(entry.rollout, entry.plan)
        else:
            raise JournalError("the journal does not begin with a plan; restore a copy")
    return standing
