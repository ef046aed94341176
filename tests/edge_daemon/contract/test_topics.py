"""Topics: one place for each message, and no name that leads somewhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.contract.base import NAME_PATTERN
from edge_daemon.contract.messages import MESSAGES, Message
from edge_daemon.contract.topics import (
    CHANNELS,
    Topic,
    channel_of,
    check_name,
    device_root,
    name_from,
    parse_topic,
    topic_of,
)
from edge_daemon.errors import MessageError
from tests.edge_daemon.contract.samples import SAMPLES

EXPECTED = {
    "frame": "leukoedge/v1/lab/scope-1/slide/slide-7/frame",
    "summary": "leukoedge/v1/lab/scope-1/slide/slide-7/summary",
    "crop": "leukoedge/v1/lab/scope-1/slide/slide-7/crop/3",
    "opinion": "leukoedge/v1/lab/scope-1/slide/slide-7/opinion/3",
    "shadow": "leukoedge/v1/lab/scope-1/slide/slide-7/shadow",
    "control": "leukoedge/v1/lab/scope-1/control/stored",
    "status": "leukoedge/v1/lab/scope-1/status",
    "health": "leukoedge/v1/lab/scope-1/health",
    "command": "leukoedge/v1/lab/scope-1/cmd/slide-start",
    "reply": "leukoedge/v1/lab/scope-1/cmd/slide-start/reply",
    "receipt": "leukoedge/v1/lab/scope-1/receipt",
    "update": "leukoedge/v1/lab/scope-1/update",
    "desired": "leukoedge/v1/lab/scope-1/desired",
}


@pytest.mark.parametrize("message", SAMPLES, ids=lambda m: m.schema_id)
def test_each_message_has_its_topic(message: Message) -> None:
    topic = topic_of(message)
    assert topic == EXPECTED[channel_of(message).leaf]
    parsed = parse_topic(topic)
    assert (parsed.site, parsed.device) == ("lab", "scope-1")
    assert parsed.leaf == channel_of(message).leaf
    assert parsed.slide == getattr(message, "slide", None)


def test_every_kind_of_message_has_exactly_one_channel() -> None:
    assert sorted(c.model.__name__ for c in CHANNELS) == sorted(m.__name__ for m in MESSAGES)


def test_crop_and_command_name_their_item() -> None:
    assert parse_topic(EXPECTED["crop"]) == Topic("lab", "scope-1", "crop", "slide-7", "3")
    assert parse_topic(EXPECTED["reply"]).item == "slide-start"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "leukoedge",
        "leukoedge/v1/lab/scope-1",
        "leukoedge/v2/lab/scope-1/status",
        "leukoedge/v1/lab/scope-1/status/more",
        "leukoedge/v1//scope-1/status",
        "leukoedge/v1/lab/+/status",
        "leukoedge/v1/lab/scope-1/slide/#/frame",
        "leukoedge/v1/lab/scope-1/status\n",
        "other/leukoedge/v1/lab/scope-1/status",
    ],
)
def test_topics_of_others_are_refused(topic: str) -> None:
    with pytest.raises(MessageError, match="is not one of leukoedge/v1"):
        parse_topic(topic)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a+", "#", "a\0", "a b", "ä", "-a", ".hidden", "$SYS", "a" * 65, "a\n"]
)
def test_names_that_topics_cannot_carry_are_refused(name: str) -> None:
    with pytest.raises(MessageError, match="is no valid name: use 1 to 64 letters"):
        check_name(name, "slide")
    with pytest.raises(MessageError, match="device"):
        device_root("lab", name)


@given(st.text())
def test_any_text_becomes_a_valid_name(text: str) -> None:
    assert check_name(name_from(text), "slide")


@given(st.from_regex(NAME_PATTERN.replace("$", r"\Z")))
def test_a_valid_name_stays_as_it_is_but_for_a_trailing_dash(name: str) -> None:
    assert name_from(name) == (name.rstrip("-") if len(name) <= 64 else name)
