"""Where each message goes: the topics below ``leukoedge/v1/<site>/<device>/``, built and read.

Names are checked before they become part of a topic: a slide called ``a/#`` would otherwise land
on another leaf or subscribe to everything. :func:`topic_of` is the one place that says which
message goes where; :func:`parse_topic` is its inverse.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_daemon.contract.base import NAME_PATTERN
from edge_daemon.contract.messages import (
    Command,
    CommandReply,
    Crop,
    FrameResult,
    Health,
    Message,
    Receipt,
    SlideSummary,
    Status,
)
from edge_daemon.errors import MessageError

ROOT = "leukoedge/v1"

Leaf: TypeAlias = Literal[
    "status", "health", "frame", "crop", "summary", "command", "reply", "receipt"
]

_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True)
class Topic:
    """A topic taken apart. ``slide`` and ``item`` (cell or command name) only where it has them."""

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


def slide_root(site: str, device: str, slide: str) -> str:
    """``leukoedge/v1/<site>/<device>/slide/<slide>``."""
    return f"{device_root(site, device)}/slide/{check_name(slide, 'slide')}"


def topic_of(message: Message) -> str:
    """The topic a message is published on."""
    root = device_root(message.site, message.device)
    match message:
        case FrameResult():
            return f"{root}/slide/{message.slide}/frame"
        case SlideSummary():
            return f"{root}/slide/{message.slide}/summary"
        case Crop():
            return f"{root}/slide/{message.slide}/crop/{message.unique_id}"
        case Status():
            return f"{root}/status"
        case Health():
            return f"{root}/health"
        case Command():
            return f"{root}/cmd/{message.name}"
        case CommandReply():
            return f"{root}/cmd/{message.name}/reply"
        case Receipt():
            return f"{root}/receipt"


def parse_topic(topic: str) -> Topic:
    """Take a topic apart.

    Raises:
        MessageError: the topic is not one of this contract.
    """
    prefix = f"{ROOT}/"
    if topic.startswith(prefix) and all(map(_NAME.fullmatch, topic[len(prefix) :].split("/"))):
        match topic[len(prefix) :].split("/"):
            case [site, device, ("status" | "health" | "receipt") as leaf]:
                return Topic(site, device, leaf)
            case [site, device, "slide", slide, ("frame" | "summary") as leaf]:
                return Topic(site, device, leaf, slide)
            case [site, device, "slide", slide, "crop", cell]:
                return Topic(site, device, "crop", slide, cell)
            case [site, device, "cmd", name]:
                return Topic(site, device, "command", None, name)
            case [site, device, "cmd", name, "reply"]:
                return Topic(site, device, "reply", None, name)
    raise MessageError(f"topic {topic[:120]!r} is not one of {ROOT}/<site>/<device>/...")
