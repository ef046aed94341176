"""What came in, checked against the contract: a message to enter, or one to keep aside. Pure.

``source`` is left out of what is kept: it names a file, and a file may be named after a patient.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from edge_daemon.contract.control import ControlRun
from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.messages import MESSAGES, Crop, FrameResult, parse_message
from edge_daemon.contract.topics import Topic, parse_topic, topic_of
from edge_daemon.delivery.inside import taken_apart
from edge_daemon.delivery.link import Arrival
from edge_daemon.errors import MessageError

Why: TypeAlias = Literal["unknown schema", "refused", "not stored"]

MOST_ASIDE_BYTES = 256 * 1024
"""So much of a message is kept aside."""
NO_SOURCE = "-"

_KNOWN = {str(model.model_fields["schema_id"].default) for model in MESSAGES}


@dataclass(frozen=True)
class Arrived:
    """A message of a device, as it came."""

    topic: Topic
    message: FromDevice
    at: datetime
    """When, by our clock."""
    jpeg: bytes | None = None
    retained: bool = False
    historical: bool = False
    mid: int | None = None

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 2000 + len(self.jpeg or b"")


@dataclass(frozen=True)
class Aside:
    """A message that cannot be entered."""

    site: str
    device: str
    topic: str
    why: Why
    schema: str | None
    line: str
    payload: bytes
    at: datetime
    mid: int | None = None

    @property
    def digest(self) -> str:
        """The same of the same message, however often it comes."""
        return hashlib.sha256(self.topic.encode() + b"\0" + self.payload).hexdigest()

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return 500 + len(self.payload)


def read(arrival: Arrival, at: datetime) -> Arrived | Aside | None:
    """Check a message against the contract and its topic; None where it is not for us."""
    if not arrival.payload:  # a retained message was cleared
        return None
    try:
        topic = parse_topic(arrival.topic)
    except MessageError:
        return None  # below our root and not of this contract: nobody's device
    about, jpeg = arrival.payload.decode("utf-8", "replace"), None
    try:
        if topic.leaf == "crop":
            about, jpeg = _description(arrival)
        message = parse_message(about)
        if topic_of(message) != arrival.topic or isinstance(message, Crop) != (jpeg is not None):
            raise MessageError(f"message refused: it belongs on {topic_of(message)}")
    except MessageError as error:
        return _aside(arrival, topic, about, str(error), at)
    if not isinstance(message, FromDevice):
        return None
    historical = arrival.historical or message.historical
    return Arrived(
        topic, _without_source(message), at, jpeg, arrival.retained, historical, arrival.mid
    )


def not_stored(one: Arrived, line: str) -> Aside:
    """A message that the database would not take."""
    message = one.message
    return Aside(
        site=message.site,
        device=message.device,
        topic=topic_of(message),  # type: ignore[arg-type]
        why="not stored",
        schema=message.schema_id,
        line=line[:500],
        payload=message.to_json(),
        at=one.at,
        mid=one.mid,
    )


def _description(arrival: Arrival) -> tuple[str, bytes]:
    about, jpeg = arrival.about, arrival.payload
    if about is None:
        about, jpeg = taken_apart(arrival.payload)
    if about is None:
        raise MessageError("message refused: the picture came without its description")
    return about, jpeg


def _aside(arrival: Arrival, topic: Topic, text: str, line: str, at: datetime) -> Aside:
    schema = _schema_of(text)
    unknown = schema is not None and schema not in _KNOWN
    if unknown:
        line = f"speaks {schema!r}, which this program does not know: update it"
    return Aside(
        site=topic.site,
        device=topic.device,
        topic=arrival.topic,
        why="unknown schema" if unknown else "refused",
        schema=schema,
        line=line[:500],
        payload=arrival.payload,
        at=at,
        mid=arrival.mid,
    )


def _schema_of(text: str) -> str | None:
    """What a message that cannot be read says it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    schema = found.get("schema") if isinstance(found, dict) else None
    return schema[:64] if isinstance(schema, str) else None


def _without_source(message: FromDevice) -> FromDevice:
    if isinstance(message, FrameResult | ControlRun):
        return message.model_copy(update={"source": NO_SOURCE})
    return message


def plain(text: str | None) -> str | None:
    """Text that every database takes: PostgreSQL knows no character 0."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")
