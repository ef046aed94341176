"""A device of the laboratory as its daemon runs it: outbox, publisher, and the desk of commands."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_daemon.contract.messages import Command
from edge_daemon.contract.topics import topic_of
from edge_daemon.delivery.link import Link, open_link
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, Parcel
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.service.commands import CommandDesk

PATIENCE_S = 30.0


class Device:
    """``with Device(...) as device:`` connects; what was commanded is in ``done``."""

    def __init__(self, folder: Path, settings: BrokerSettings, name: str = "scope-1") -> None:
        self.origin = Origin(site="lab", device=name, boot_id=uuid.uuid4().hex)
        self.outbox = Outbox(folder / f"{name}-{self.origin.boot_id}.db")
        self.done: list[str] = []
        self.desk = CommandDesk(self.origin, self.outbox)
        self.handed_in = 0
        self.publisher = Publisher(settings, self.outbox, self.origin)
        self.publisher.on_command = self._hand_in

    def _hand_in(self, arrival: Any) -> None:
        self.desk.hand_in(arrival.payload, via="mqtt", retained=arrival.retained)
        self.handed_in += 1

    def _handle(self, command: Command) -> dict[str, Any]:
        self.done.append(command.id)
        return {}

    def carried_out(self, count: int) -> bool:
        """Wait until so many commands were handed in, and carry them out."""

        def enough() -> bool:
            self.desk.carry_out(self._handle)
            return self.handed_in >= count

        came = wait_until(enough, PATIENCE_S)
        self.desk.carry_out(self._handle)
        return came

    def is_online(self) -> bool:
        return wait_until(lambda: self.publisher.link.connected, PATIENCE_S)

    def __enter__(self) -> Self:
        self.publisher.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.publisher.stop()
        self.outbox.close()


class Voice:
    """A client that says anything anywhere and writes down what it hears."""

    def __init__(self, settings: BrokerSettings, client_id: str = "voice", **more: Any) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.link: Link = open_link(
            settings,
            client_id,
            on_arrival=lambda arrival: self.heard.append((arrival.topic, arrival.payload)),
            **more,
        )

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> str | None:
        """Publish with QoS 1 and wait: the broker's refusal, None when it took it."""
        mid = self.link.publish(Parcel(topic, payload, "", 0, retain=retain))
        answers: list[Any] = []

        def answered() -> bool:
            self.link.pump(0.02)
            answers.extend(self.link.take_acknowledgements())
            return bool(answers)

        assert wait_until(answered, PATIENCE_S), self.link.lost
        (answer,) = answers
        assert answer.mid == mid
        refusal: str | None = answer.refusal
        return refusal

    def hears(self, payload: bytes) -> bool:
        """Wait until this arrives."""
        return wait_until(
            lambda: self.link.pump(0.02) and payload in [said for _, said in self.heard], PATIENCE_S
        )

    def close(self) -> None:
        self.link.close()


def command(device: str = "scope-1", **changes: Any) -> Command:
    values: dict[str, Any] = {
        "site": "lab",
        "device": device,
        "id": uuid.uuid4().hex,
        "name": "status",
        "expires_at": datetime.now(timezone.utc) + timedelta(minutes=5),
    }
    return Command(**(values | changes))


def send(voice: Voice, sent: Command, *, retain: bool = False) -> str | None:
    """The broker's refusal of a command, or None."""
    return voice.say(topic_of(sent), sent.to_json(), retain=retain)
