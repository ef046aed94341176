"""A message wrapped for its way: topic, quality of service, retained or not, and what it is worth.

A :class:`Parcel` is what the outbox stores and what the publisher hands to the broker; neither of
them looks inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias, TypedDict

from edge_daemon.contract.messages import (
    CommandReply,
    ControlRun,
    Crop,
    FrameResult,
    Health,
    SecondOpinion,
    ShadowReport,
    SlideSummary,
    Status,
    UpdateReport,
)
from edge_daemon.contract.topics import channel_of, topic_of
from edge_daemon.errors import MessageError

MAX_CROP_BYTES = 64 * 1024
JSON_TYPE = "application/json"
JPEG_TYPE = "image/jpeg"


class Worth(IntEnum):
    """What may be given up when the outbox is over its budget, least first."""

    PREVIEW = 0
    """A picture of a cell: sent after everything else, given up first."""
    RESULT = 1
    """The result of a frame without suspicious cells, how a candidate stands: given up when no
    preview is left."""
    VITAL = 2
    """A frame with a blast or an uncertain cell, a second opinion, a summary, the last word on a
    candidate, a control, a reply: never given up."""


@dataclass(frozen=True)
class Parcel:
    """One message ready to go."""

    topic: str
    payload: bytes
    boot_id: str
    seq: int
    qos: Literal[0, 1] = 1
    retain: bool = False
    worth: Worth = Worth.RESULT
    content_type: str = JSON_TYPE
    about: str | None = None
    """JSON of the :class:`Crop` that describes a binary payload; an MQTT 5 user property."""
    expires_s: int | None = None


@dataclass(frozen=True)
class Origin:
    """Who is sending: the identity that goes into every envelope."""

    site: str
    device: str
    boot_id: str
    """UUID of this start of the daemon, 32 hexadecimal digits (``uuid.uuid4().hex``)."""
    bundle: str | None = None
    """Digest of the model bundle in use, or None before one is loaded."""


class Envelope(TypedDict):
    """The fields every message from a device starts with: ``FrameResult(**envelope, ...)``."""

    site: str
    device: str
    boot_id: str
    bundle: str | None
    seq: int
    record: int


Lasting: TypeAlias = (
    FrameResult | SecondOpinion | ShadowReport | SlideSummary | ControlRun | CommandReply
)
"""JSON messages that must arrive: they go through the outbox."""


def parcel_of(message: Lasting | Status | Health | UpdateReport) -> Parcel:
    """Wrap a JSON message as its kind prescribes."""
    channel = channel_of(message)
    worth = Worth.VITAL
    if isinstance(message, FrameResult) and not _is_suspicious(message):
        worth = Worth.RESULT
    if isinstance(message, ShadowReport) and message.completion is None:
        worth = Worth.RESULT  # the next one says it all again
    return Parcel(
        topic=topic_of(message),
        payload=message.to_json(),
        boot_id=message.boot_id,
        seq=message.seq,
        qos=channel.qos,
        retain=channel.retained,
        worth=worth,
        expires_s=channel.expires_s,
    )


def crop_parcel(crop: Crop, jpeg: bytes) -> Parcel:
    """Wrap the picture of a cell, JPEG of at most 64 kB, with what it shows beside it.

    Raises:
        MessageError: the picture is too large, or no JPEG.
    """
    if len(jpeg) > MAX_CROP_BYTES:
        raise MessageError(
            f"crop of cell {crop.unique_id} is {len(jpeg)} bytes; at most {MAX_CROP_BYTES} may be "
            "sent, so compress it more"
        )
    if not jpeg.startswith(b"\xff\xd8"):
        raise MessageError(f"crop of cell {crop.unique_id} is no JPEG")
    return Parcel(
        topic=topic_of(crop),
        payload=jpeg,
        boot_id=crop.boot_id,
        seq=crop.seq,
        worth=Worth.PREVIEW,
        content_type=JPEG_TYPE,
        about=crop.to_json().decode(),
    )


def _is_suspicious(frame: FrameResult) -> bool:
    return any(cell.label in ("blast", "uncertain") for cell in frame.cells)
