"""What is done over one connection: hand out the outbox, a window at a time, and settle answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_daemon.contract.messages import Receipt, parse_message
from edge_daemon.contract.topics import device_root
from edge_daemon.delivery.link import Arrival, open_link
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.outbox_rows import Entry
from edge_daemon.delivery.parcel import Origin, Parcel
from edge_daemon.delivery.refusals import Refusals
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError, MessageError

_HEADER_BYTES = 256  # fixed header, identifiers and MQTT 5 properties of a publish, at most

_BACKLOG_AT_ONCE = 50
"""Messages that waited which may go in one burst, beside the rate."""

_UNRECEIPTED = 25
"""Messages without a receipt beside which more of what waited goes. A broker acknowledges at once
and queues for a receiver that is slower; what happens now would stand at the end of that queue."""

_log = logging.getLogger(__name__)


def client_id_of(origin: Origin) -> str:
    """The name by which the broker knows a device, the same at each start.

    NATS refuses a name with a dot, so that is written ``~``, which no site and no device may hold.
    """
    return f"leukoedge-{origin.site}-{origin.device}".replace(".", "~")


class Session:
    """An open connection at work; lives and dies in the publisher's thread."""

    def __init__(
        self,
        settings: BrokerSettings,
        outbox: Outbox,
        origin: Origin,
        will: Parcel,
        refusals: Refusals,
        on_command: Callable[[Arrival], None] | None = None,
        on_desired: Callable[[Arrival], None] | None = None,
    ) -> None:
        """Connect; listen for receipts where there is a receiver, commands, what is desired.

        Raises:
            BrokerError: one line that says why there is no connection.
        """
        self.link = open_link(
            settings,
            client_id_of(origin),
            will=will,
            on_arrival=self._receive,
        )
        self._settings = settings
        self._outbox = outbox
        self._device = origin.device
        self._refusals = refusals
        self._on_command = on_command
        self._on_desired = on_desired
        self._stored: dict[int, tuple[int, Parcel]] = {}  # mid -> outbox id and parcel
        self._passing: dict[int, Parcel] = {}  # mid -> status
        self._more = self._window_open = True
        self._opened_s = time.monotonic()
        self._backlog_to = outbox.newest()
        self._backlog = self._backlog_to > 0
        self._backlog_sent = 0
        self._window = 1  # doubles with each answer: see refusals for why it begins small
        self._receipt_at_s = time.monotonic()
        root = device_root(origin.site, origin.device)
        if settings.await_receipts:
            self.link.subscribe(f"{root}/receipt")
        if on_command is not None:
            self._listen_to(f"{root}/cmd/+", "commands")
        if on_desired is not None:
            self._listen_to(f"{root}/desired", "orders of updates")
        outbox.retry_sent()

    def _listen_to(self, topic: str, what: str) -> None:
        """Results matter more: where the broker forbids it, they are sent all the same."""
        try:
            self.link.subscribe(topic)
        except BrokerError as error:
            if self.link.lost is not None:
                raise
            _log.warning("no %s can be received: %s", what, error)

    @property
    def settled(self) -> bool:
        """True when the broker has answered everything it was given."""
        return not self._stored and not self._passing

    def look_again(self) -> None:
        """The outbox has something new."""
        self._more = True

    def _look_again(self, worth_it: bool = True) -> None:
        """Something of the outbox waits again, or there is room for more of it."""
        self._more |= worth_it
        self._backlog |= worth_it and self._backlog_to > 0

    def close_window(self) -> None:
        """Take nothing more from the outbox; what is under way may still be settled."""
        self._window_open = False

    def send_passing(self, parcel: Parcel) -> None:
        """Send a message that is not stored (status, health)."""
        if parcel.topic in self._refusals.topics:
            return
        mid = self.link.publish(parcel)
        if mid is not None and parcel.qos:
            self._passing[mid] = parcel

    def step(self, timeout_s: float) -> bool:
        """Send what the window allows, read what came; False when the connection has ended."""
        self._fill_window()
        alive = self.link.pump(timeout_s)
        self._settle()
        if alive:
            self._retry_what_is_due()
        elif self._window == 1 and len(self._stored) == 1:
            ((entry_id, parcel),) = self._stored.values()
            if self._refusals.suspect(entry_id):
                self._refuse([entry_id], parcel.topic, "the connection breaks on it")
        return alive

    def _fill_window(self) -> None:
        room = min(self._window, self.link.max_in_flight) - len(self._stored)
        if not self._window_open or room <= 0:
            return
        if self._more:
            room -= self._send(self._outbox.pending(room, after=self._backlog_to), room)
        if self._backlog and room > 0:
            # Half of the window is kept free: what happens next must not wait for its turn.
            spare = room - min(self._window, self.link.max_in_flight) // 2
            allowed = min(max(spare, 1), self._backlog_allowance())
            if self._settings.await_receipts:
                allowed = min(allowed, _UNRECEIPTED - self._outbox.unreceipted())
            if allowed > 0:
                waited = self._outbox.pending(allowed, up_to=self._backlog_to)
                self._backlog = bool(waited)
                self._backlog_sent += self._send(waited, 0, historical=True)

    def _send(self, entries: list[Entry], asked: int, *, historical: bool = False) -> int:
        """Send entries; how many the window has no room for any more."""
        if asked:
            self._more = len(entries) == asked
        closed = [entry.id for entry in entries if entry.parcel.topic in self._refusals.topics]
        self._outbox.refuse(closed)
        sent = 0
        for entry in entries:
            if entry.id in closed:
                continue
            if self._is_too_large(entry.parcel):
                limit = self.link.max_packet_bytes
                self._refuse([entry.id], entry.parcel.topic, f"over its limit of {limit} bytes")
                continue
            mid = self.link.publish(entry.parcel, historical=historical)
            if mid is None:
                break
            self._outbox.mark_in_flight(entry.id)
            self._stored[mid] = (entry.id, entry.parcel)
            sent += 1
        return sent

    def _backlog_allowance(self) -> int:
        """How many messages that waited may go now, at the configured rate since the start."""
        due = (time.monotonic() - self._opened_s) * self._settings.backlog_per_s
        return int(due) + _BACKLOG_AT_ONCE - self._backlog_sent

    def _is_too_large(self, parcel: Parcel) -> bool:
        limit = self.link.max_packet_bytes
        size = len(parcel.payload) + len(parcel.topic) + len(parcel.about or "") + _HEADER_BYTES
        return limit is not None and size > limit

    def _settle(self) -> None:
        accepted = []
        for answer in self.link.take_acknowledgements():
            if answer.mid in self._stored:
                entry_id, parcel = self._stored.pop(answer.mid)
                if answer.refusal is None:
                    accepted.append(entry_id)
                else:
                    self._refuse([entry_id], parcel.topic, answer.refusal)
            elif answer.mid in self._passing:
                parcel = self._passing.pop(answer.mid)
                if answer.refusal is not None:
                    self._refuse([], parcel.topic, answer.refusal)
        if accepted:
            self._window = min(2 * self._window, self.link.max_in_flight)
            self._look_again()
            self._outbox.acknowledge(accepted, await_receipt=self._settings.await_receipts)
            nothing_held = self._refusals.line is not None and not self._refusals.topics
            if nothing_held and self._outbox.depth().refused == 0:
                self._refusals.forget()

    def _refuse(self, entry_ids: list[int], topic: str, reason: str) -> None:
        self._outbox.refuse(entry_ids)
        self._look_again()
        if self._refusals.add(topic, reason):
            _log.error(
                "broker %s: %s; what was stored is kept", self._settings.url, self._refusals.line
            )

    def _retry_what_is_due(self) -> None:
        now_s = time.monotonic()
        if self._refusals.retry_is_due():
            self._look_again(self._outbox.retry_refused() > 0)
        if now_s - self._receipt_at_s > self._settings.receipt_timeout_s:
            self._receipt_at_s = now_s
            self._look_again(self._outbox.retry_sent() > 0)

    def _receive(self, arrival: Arrival) -> None:
        if self._on_command is not None and "/cmd/" in arrival.topic:
            self._on_command(arrival)
            return
        if self._on_desired is not None and arrival.topic.endswith("/desired"):
            self._on_desired(arrival)
            return
        try:
            message = parse_message(arrival.payload)
        except MessageError as error:
            _log.warning("%s: %s", arrival.topic, error)
            return
        if not isinstance(message, Receipt) or message.device != self._device:
            _log.warning("%s: a %s was not expected here", arrival.topic, message.schema_id)
        elif self._outbox.accept_receipt(message):
            self._look_again(self._backlog_to > 0)
            self._receipt_at_s = time.monotonic()  # it moved on; a receipt that repeats does not
