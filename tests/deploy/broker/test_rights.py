"""What each may do follows from the contract's table: no more, and no less."""

from __future__ import annotations

import pytest
from paho.mqtt.client import topic_matches_sub

from deploy.broker.rights import rights_of
from deploy.identity.names import parse_identity
from edge_daemon.contract.topics import CHANNELS

OWN = {"site": "lab", "device": "scope-1"}
OTHER = {"site": "lab", "device": "scope-2"}
REST = {"slide": "S-1", "unique_id": "7", "name": "status", "kind": "stored"}
WHO = ["lab/scope-1", "dashboard:ward", "receiver:ingest", "controller:central", "server:broker"]


def topics(device: dict[str, str], by: str) -> list[str]:
    return [channel.address.format(**device, **REST) for channel in CHANNELS if channel.by == by]


def may(filters: tuple[str, ...], topic: str) -> bool:
    return any(topic_matches_sub(one, topic) for one in filters)


def test_a_device_publishes_what_is_its_own_and_reads_what_is_for_it() -> None:
    rights = rights_of(parse_identity("lab/scope-1"))
    assert all(may(rights.writes, topic) for topic in topics(OWN, "device"))
    assert all(may(rights.reads, topic) for topic in topics(OWN, "central side"))


def test_a_device_cannot_command_itself_or_receipt_its_own_messages() -> None:
    rights = rights_of(parse_identity("lab/scope-1"))
    assert not any(may(rights.writes, topic) for topic in topics(OWN, "central side"))


@pytest.mark.parametrize("by", ["device", "central side"])
def test_nothing_of_another_device_is_open_to_a_device(by: str) -> None:
    rights = rights_of(parse_identity("lab/scope-1"))
    elsewhere = {"site": "ward", "device": "scope-1"}
    for topic in topics(OTHER, by) + topics(elsewhere, by):
        assert not may(rights.writes, topic)
        assert not may(rights.reads, topic)


def test_only_a_controller_commands_and_only_a_receiver_sends_receipts() -> None:
    for topic in topics(OWN, "central side"):
        allowed = {who for who in WHO if may(rights_of(parse_identity(who)).writes, topic)}
        assert allowed == {"receiver:ingest" if topic.endswith("receipt") else "controller:central"}


def test_a_controller_reads_the_orders_that_wait_for_devices_and_no_other_command() -> None:
    waiting = [c.leaf for c in CHANNELS if c.by == "central side" and c.retained]
    assert waiting == ["desired"]
    controller = rights_of(parse_identity("controller:central"))
    for topic in topics(OWN, "central side"):
        assert may(controller.reads, topic) == topic.endswith("/desired")
    for who in ("dashboard:ward", "receiver:ingest"):
        assert not may(rights_of(parse_identity(who)).reads, topics(OWN, "central side")[-1])


def test_nobody_but_the_device_publishes_in_its_name() -> None:
    for topic in topics(OWN, "device"):
        allowed = {who for who in WHO if may(rights_of(parse_identity(who)).writes, topic)}
        assert allowed == {"lab/scope-1"}


def test_whoever_looks_on_reads_everything_that_devices_say() -> None:
    for topic in topics(OTHER, "device"):
        allowed = {who for who in WHO if may(rights_of(parse_identity(who)).reads, topic)}
        assert allowed == {"dashboard:ward", "receiver:ingest", "controller:central"}
