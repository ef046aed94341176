"""What the fleet says, message by message, as the controller keeps it in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from deploy.registry.record import Reported
from deploy.rollout.record import Seen, heard
from edge_daemon.contract.envelope import FromDevice, utc_now
from edge_daemon.contract.messages import Desired, parse_message
from edge_daemon.contract.topics import parse_topic, topic_of
from edge_daemon.delivery.link import Arrival
from edge_daemon.errors import MessageError

_log = logging.getLogger(__name__)


class Hearing:
    """Devices by name; what is not of them, or not of this contract, changes nothing."""

    def __init__(self, reported: Mapping[str, Reported]) -> None:
        """``reported``: every enrolled device, as the registry has it."""
        self.seen = {name: Seen(reported=_as_before(one)) for name, one in reported.items()}
        self.strangers: set[str] = set()
        """Who speaks and is not enrolled."""
        self.orders: dict[str, Desired] = {}
        """The order that the broker keeps for a device."""
        self._told: set[str] = set()

    def take(self, arrival: Arrival) -> None:
        """One message; raises nothing."""
        if not arrival.payload:
            return
        try:
            topic = parse_topic(arrival.topic)
            name = f"{topic.site}/{topic.device}"
            message = parse_message(arrival.payload)
            if topic_of(message) != arrival.topic:
                raise MessageError("message refused: it is not of the topic that it came on")
        except MessageError as error:
            self._tell(arrival.topic, str(error))
            return
        if isinstance(message, Desired):
            self.orders[name] = message
        elif not isinstance(message, FromDevice):
            return
        elif name not in self.seen:
            self.strangers.add(name)
        else:
            historical = arrival.historical or message.historical
            self.seen[name] = heard(
                self.seen[name],
                message,
                utc_now(),
                retained=arrival.retained,
                historical=historical,
            )

    def _tell(self, topic: str, line: str) -> None:
        if topic not in self._told and len(self._told) < 1000:
            self._told.add(topic)
            _log.warning("%s: %s", topic[:160], line[:300])


def _as_before(known: Reported) -> Reported:
    """Who is online, and with what, is what is heard now, not what was known of then."""
    now_unknown = {"state": None, "bundle": None, "version": None, "boots": (), "seq": 0}
    return known.model_copy(update=now_unknown)
