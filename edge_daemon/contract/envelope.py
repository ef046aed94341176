"""The envelope: what every message carries, whoever sends it.

Two numbers place a message from a device. ``seq`` is its own, never used twice in one boot: the
receiver drops repeats by (``device``, ``boot_id``, ``seq``). ``record`` counts only the messages
that must arrive (frame, crop, opinion, summary, shadow, control, reply), so a hole in it is a
loss;
``status``, ``health`` and ``update`` may be missed and repeat the count reached so far.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field

from edge_daemon.contract.base import Digest, Name, StrictModel, UtcTime, UuidHex

Count: TypeAlias = Annotated[int, Field(ge=0)]
_MAX_REASON = 500
Reason: TypeAlias = Annotated[str, Field(min_length=1, max_length=_MAX_REASON)]
"""One line for the operator."""


def as_reason(line: str) -> str:
    """As much of ``line`` as a :data:`Reason` holds."""
    return line[:_MAX_REASON]


def utc_now() -> datetime:
    """The time for records."""
    return datetime.now(timezone.utc)


class Addressed(StrictModel):
    """Base of every message: whose it is, and when it was made."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_id: str = Field(alias="schema")
    """Kind and version of the message, for example ``leukoedge.frame/1``."""
    site: Name
    device: Name
    ts: UtcTime = Field(default_factory=utc_now)
    """When the message was made."""

    def to_json(self) -> bytes:
        """The message as UTF-8 JSON on one line, the form on MQTT and in ``--out FILE.jsonl``."""
        return self.model_dump_json(by_alias=True).encode()


class FromDevice(Addressed):
    """Base of every message a device sends: which start of the daemon, and which message of it."""

    boot_id: UuidHex
    """A random UUID, new at each start of the daemon."""
    seq: Count
    """Number of this message in its boot; rises, and no two messages share one."""
    record: Count
    """How many messages that must arrive this boot has issued, this one included if it is one."""
    bundle: Digest | None
    """Digest of the model bundle in use; null before one is loaded."""
    historical: bool = Field(default=False, exclude_if=lambda value: not value)
    """True when the message waited on the device for a connection and came over MQTT 3.1.1; MQTT 5
    carries that beside the message, as a user property."""
