"""The other end: messages as they arrive, each once, with every loss in sight.

QoS 1 delivers at least once, and the outbox sends again after a crash, so repeats are normal: they
are dropped by (``device``, ``boot_id``, ``seq``). ``record`` counts the messages that must arrive,
and status and health say how far that count is, so what is missing can be named. Where receipts
are asked for, the receiver tells each device up to where it has everything.

This is the receiver of the demo and of the tests; it remembers in memory only.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.messages import (
    MOST_STRETCHES,
    Crop,
    Message,
    Receipt,
    parse_message,
)
from edge_daemon.contract.topics import ROOT, Topic, channel_of, parse_topic, topic_of
from edge_daemon.delivery.backoff import Backoff
from edge_daemon.delivery.inside import taken_apart
from edge_daemon.delivery.link import Arrival, Link, open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError, MessageError

_PUMP_S = 0.02
_RECEIPT_EVERY_S = 0.1
_KEEP_SESSION_S = 3600
"""How long the broker collects for a receiver that is away."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Received:
    """A message as it arrived, for the first time."""

    topic: Topic
    message: Message | None
    """None for a crop that came without its description."""
    jpeg: bytes | None = None
    retained: bool = False
    """True when the broker had kept it from before this subscription."""
    historical: bool = False
    """True when it waited on the device for a connection."""


@dataclass(frozen=True)
class Stretch:
    """Records that arrived without a hole between them."""

    first: int
    last: int
    first_seq: int
    last_seq: int

    def with_next(self, after: Stretch) -> Stretch:
        """Both as one, where no hole lies between them."""
        return Stretch(self.first, after.last, self.first_seq, after.last_seq)


@dataclass
class BootLedger:
    """What arrived of one start of one device's daemon."""

    site: str
    device: str
    boot_id: str
    complete_to: int = 0
    """Every record from 1 to here has arrived."""
    up_to_seq: int = 0
    """``seq`` of the record ``complete_to``: what a receipt may claim."""
    highest: int = 0
    """Last record the device is known to have issued."""
    repeats: int = 0
    ahead: list[Stretch] = field(default_factory=list)
    """Beyond a hole, in order, never touching."""

    @property
    def missing(self) -> list[int]:
        """Records that were issued and have not arrived (they may still be on their way)."""
        holes: list[int] = []
        coming = self.complete_to + 1
        for stretch in self.ahead:
            holes += range(coming, stretch.first)
            coming = stretch.last + 1
        return holes + list(range(coming, self.highest + 1))

    def beyond(self, records: Iterable[int]) -> list[tuple[int, int]]:
        """First and last ``seq`` of the stretches beyond a hole that hold these records."""
        places = {self._place(record) - 1 for record in records if record > self.complete_to}
        stretches = [self.ahead[place] for place in sorted(places)]
        return [(stretch.first_seq, stretch.last_seq) for stretch in stretches]

    def has(self, record: int) -> bool:
        """Whether a record has arrived."""
        at = self._place(record)
        return record <= self.complete_to or (at > 0 and record <= self.ahead[at - 1].last)

    def add(self, record: int, seq: int) -> bool:
        """Enter an arrival; False when it is a repeat."""
        if self.has(record):
            self.repeats += 1
            return False
        self.highest = max(self.highest, record)
        at = self._place(record)
        new = Stretch(record, record, seq, seq)
        if at < len(self.ahead) and self.ahead[at].first == record + 1:
            new = new.with_next(self.ahead.pop(at))
        if at > 0 and self.ahead[at - 1].last == record - 1:
            at -= 1
            new = self.ahead.pop(at).with_next(new)
        if new.first == self.complete_to + 1:
            self.complete_to, self.up_to_seq = new.last, new.last_seq
        else:
            self.ahead.insert(at, new)
        return True

    def _place(self, record: int) -> int:
        """Before which stretch a record lies."""
        return bisect_right(self.ahead, record, key=lambda stretch: stretch.first)


class Receiver:
    """Subscribes in its own thread and hands on each message of a device once."""

    def __init__(
        self,
        settings: BrokerSettings,
        on_message: Callable[[Received], None],
        *,
        topic_filter: str = f"{ROOT}/#",
        send_receipts: bool = False,
    ) -> None:
        """``on_message`` is called in the receiver's thread; what it raises is logged."""
        self.ledgers: dict[tuple[str, str, str], BootLedger] = {}
        """What arrived, by (site, device, boot_id)."""
        self.refused = 0
        """Messages that broke the contract; each is logged."""
        self._settings = settings
        self._on_message = on_message
        self._topic_filter = topic_filter
        self._send_receipts = send_receipts
        self._client_id = f"leukoedge-receiver-{uuid.uuid4().hex[:12]}"
        self._to_receipt: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        self._receipts_at_s = 0.0
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._line = f"broker {settings.url}: not connected yet"
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    def start(self, timeout_s: float = 10.0) -> None:
        """Subscribe; from here on nothing is missed, even while the connection is away.

        Raises:
            BrokerError: there was no subscription within ``timeout_s``.
        """
        self._thread.start()
        if not self._ready.wait(timeout_s):
            self.stop()
            raise BrokerError(self._line)

    def stop(self) -> None:
        """End the subscription and the thread."""
        self._stopping.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(5.0 + 2 * self._settings.connect_timeout_s)

    def _run(self) -> None:
        backoff = Backoff(self._settings)
        address = 0
        while not self._stopping.is_set():
            settings = self._settings.at(address)
            try:
                link = open_link(
                    settings,
                    self._client_id,
                    on_arrival=self._receive,
                    keep_session_s=_KEEP_SESSION_S,
                )
                link.subscribe(self._topic_filter)
            except BrokerError as error:
                if self._line != str(error):
                    _log.warning("%s", error)
                self._line = str(error)
                address += 1
                self._stopping.wait(backoff.next_s())
                continue
            backoff.reset()
            self._ready.set()
            while not self._stopping.is_set() and link.pump(_PUMP_S):
                self._acknowledge(link)
            link.close()
            if self._stopping.is_set() and link.protocol == "MQTT 3.1.1":
                self._forget_session(settings)

    def _forget_session(self, settings: BrokerSettings) -> None:
        """MQTT 3.1.1 keeps a session for ever, unless the same client asks for a clean one."""
        with suppress(BrokerError):
            open_link(settings, self._client_id).close()

    def _receive(self, arrival: Arrival) -> None:
        try:
            received = _read(arrival)
        except MessageError as error:
            self.refused += 1
            _log.warning("%s: %s", arrival.topic, error)
            return
        message = received.message
        if message is not None and not isinstance(message, FromDevice):
            return  # a command or a receipt of the central side
        if message is None or self._is_news(message, arrival.retained):
            try:
                self._on_message(received)
            except Exception:  # noqa: BLE001 - a fault of the reader must not end the reading
                _log.exception("%s: arrived, and its reader failed", arrival.topic)

    def _is_news(self, message: FromDevice, retained: bool) -> bool:
        key = (message.site, message.device, message.boot_id)
        if retained:  # a copy from before: it belongs to a count that may be long over
            return key not in self.ledgers or not self.ledgers[key].has(message.record)
        ledger = self.ledgers.setdefault(key, BootLedger(*key))
        if not channel_of(message).stored:  # not of what must arrive
            ledger.highest = max(ledger.highest, message.record)
            return True
        self._to_receipt[key].add(message.record)
        return ledger.add(message.record, message.seq)

    def _acknowledge(self, link: Link) -> None:
        """Send a receipt to each device that was heard, repeats included: its own may be lost."""
        now_s = time.monotonic()
        if not self._send_receipts or now_s - self._receipts_at_s < _RECEIPT_EVERY_S:
            return
        self._receipts_at_s = now_s
        while self._to_receipt:
            key, records = self._to_receipt.popitem()
            ledger = self.ledgers[key]
            beyond = ledger.beyond(records)
            for start in range(0, max(1, len(beyond)), MOST_STRETCHES):
                receipt = Receipt(
                    site=ledger.site,
                    device=ledger.device,
                    boot_id=ledger.boot_id,
                    up_to_seq=ledger.up_to_seq,
                    beyond=tuple(beyond[start : start + MOST_STRETCHES]),
                )
                link.publish(Parcel(topic_of(receipt), receipt.to_json(), ledger.boot_id, 0))


def _read(arrival: Arrival) -> Received:
    """Check a message against the contract and its topic.

    Raises:
        MessageError: it breaks the contract, or is not what its topic says.
    """
    topic = parse_topic(arrival.topic)
    if topic.leaf == "crop":
        about, jpeg = arrival.about, arrival.payload
        if about is None:
            about, jpeg = taken_apart(arrival.payload)
        crop = None if about is None else parse_message(about)
        if crop is not None and (not isinstance(crop, Crop) or topic_of(crop) != arrival.topic):
            raise MessageError("message refused: it does not describe the crop of its topic")
        historical = arrival.historical or (crop is not None and crop.historical)
        return Received(topic, crop, jpeg, arrival.retained, historical)
    message = parse_message(arrival.payload)
    if topic_of(message) != arrival.topic:
        raise MessageError(f"message refused: it belongs on {topic_of(message)}")
    historical = arrival.historical or (isinstance(message, FromDevice) and message.historical)
    return Received(topic, message, None, arrival.retained, historical)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for something that arrives; False when it has not within ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(_PUMP_S)
    return True
