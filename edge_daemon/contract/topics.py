"""Where each message goes and how: one row per kind of message, below ``leukoedge/v1/``.

Topics are built from these rows, read by them, and documented from them. Names are checked before
they become part of a topic: a slide called ``a/#`` would otherwise land on another leaf or
subscribe to everything.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_daemon.contract.base import NAME_PATTERN
from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.messages import (
    Command,
    CommandReply,
    ControlRun,
    Crop,
    Desired,
    FrameResult,
    Health,
    Message,
    Receipt,
    SecondOpinion,
    ShadowReport,
    SlideSummary,
    Status,
    UpdateReport,
)
from edge_daemon.errors import MessageError

ROOT = "leukoedge/v1"
HEALTH_EXPIRES_S = 60
"""A health message older than this misleads rather than informs."""

Leaf: TypeAlias = Literal[
    "status",
    "health",
    "update",
    "frame",
    "crop",
    "opinion",
    "summary",
    "shadow",
    "control",
    "command",
    "reply",
    "receipt",
    "desired",
]


@dataclass(frozen=True)
class Channel:
    """How one kind of message travels."""

    leaf: Leaf
    model: type[Message]
    path: str
    """Topic below the device; ``{fields}`` are fields of the message."""
    by: Literal["device", "central side"] = "device"
    qos: Literal[0, 1] = 1
    retained: bool = False
    stored: bool = True
    """True when it waits in the outbox until it is delivered."""
    expires_s: int | None = None

    @property
    def address(self) -> str:
        """The topic with its ``{parameters}``."""
        return f"{ROOT}/{{site}}/{{device}}/{self.path}"


CHANNELS = (
    Channel("status", Status, "status", retained=True, stored=False),
    Channel("health", Health, "health", qos=0, stored=False, expires_s=HEALTH_EXPIRES_S),
    Channel("update", UpdateReport, "update", retained=True, stored=False),
    Channel("frame", FrameResult, "slide/{slide}/frame"),
    Channel("crop", Crop, "slide/{slide}/crop/{unique_id}"),
    Channel("opinion", SecondOpinion, "slide/{slide}/opinion/{unique_id}"),
    Channel("summary", SlideSummary, "slide/{slide}/summary", retained=True),
    Channel("shadow", ShadowReport, "slide/{slide}/shadow", retained=True),
    Channel("control", ControlRun, "control/{kind}", retained=True),
    Channel("command", Command, "cmd/{name}", by="central side", stored=False),
    Channel("reply", CommandReply, "cmd/{name}/reply"),
    Channel("receipt", Receipt, "receipt", by="central side", stored=False),
    Channel("desired", Desired, "desired", by="central side", retained=True, stored=False),
)
_BY_MODEL: dict[type[object], Channel] = {channel.model: channel for channel in CHANNELS}
_NAME = re.compile(NAME_PATTERN)
_PATTERNS = [
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9][A-Za-z0-9._-]{0,63})", c.address)), c)
    for c in CHANNELS
]


@dataclass(frozen=True)
class Topic:
    """A topic taken apart. ``slide`` and ``item`` (cell, command, control) where it has them."""

    site: str
    device: str
    leaf: Leaf
    slide: str | None = None
    item: str | None = None


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it may stand in a topic.

    Raises:
        MessageError: it is empty, too long or holds a character that topics cannot carry.
    """
    if _NAME.fullmatch(name) is None:
        raise MessageError(
            f"{what} {name[:80]!r} is no valid name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "the first a letter or digit"
        )
    return name


def name_from(text: str) -> str:
    """Turn any text (a folder, a label) into a valid name: other characters become ``-``."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[:64].rstrip("-")
    return name or "unnamed"


def device_root(site: str, device: str) -> str:
    """``leukoedge/v1/<site>/<device>``."""
    return f"{ROOT}/{check_name(site, 'site')}/{check_name(device, 'device')}"


def channel_of(message: Message | FromDevice) -> Channel:
    """How a message travels."""
    return _BY_MODEL[type(message)]


def topic_of(message: Message) -> str:
    """The topic a message is published on."""
    return channel_of(message).address.format_map(vars(message))


def parse_topic(topic: str) -> Topic:
    """Take a topic apart.

    Raises:
        MessageError: the topic is not one of this contract.
    """
    for pattern, channel in _PATTERNS:
        found = pattern.fullmatch(topic)
        if found is not None:
            parts = found.groupdict()
            item = parts.get("unique_id") or parts.get("name") or parts.get("kind")
            return Topic(parts["site"], parts["device"], channel.leaf, parts.get("slide"), item)
    raise MessageError(f"topic {topic[:120]!r} is not one of {ROOT}/<site>/<device>/...")
