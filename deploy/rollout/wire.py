"""The controller's connection: what devices say comes in, retained orders go out.

A broker that goes is waited for. After each connection all orders of this rollout that it does not
keep are said again: it may have lost its memory.

It listens at QoS 0: all that it goes by is kept by the broker, and comes again after a loss. To a
broker that saves after each change every acknowledgement is one: a thousand devices that are heard
would cost it two thousand savings, and the first order would wait behind them.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from deploy.rollout.errors import RolloutError
from edge_daemon.contract.messages import Desired
from edge_daemon.contract.topics import CHANNELS, ROOT, Leaf, topic_of
from edge_daemon.delivery.backoff import Redial
from edge_daemon.delivery.link import Arrival, Link, open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError

_HEARD: tuple[Leaf, ...] = ("desired", "update", "control", "shadow", "health", "status")
"""In this order a broker says what it has kept: once the status of a device was heard, the rest of
it was, the orders that others gave among it."""
_PUMP_S = 0.05
QUIET_S = 0.5
LISTEN_FIRST_S = 2.0
"""After a connection the orders that others gave are heard before any is said over them."""

SAFE_AFTER_S = 15.0
"""A broker that saves what it keeps by the clock has an order on its disk by then: it saves every
10 s (`deploy.broker.mosquitto.SAVED_EVERY_S`), counts whole seconds, and takes its time."""

_log = logging.getLogger(__name__)


class Wire:
    """``with Wire(...) as wire: wire.step()``, all of it in one thread."""

    def __init__(
        self,
        settings: BrokerSettings,
        on_arrival: Callable[[Arrival], None],
        listen_first_s: float = LISTEN_FIRST_S,
    ) -> None:
        """Nothing is connected yet; nothing is said before it was listened for so long."""
        self._on_arrival = on_arrival
        self._client_id = f"leukoedge-rollout-{uuid.uuid4().hex[:12]}"
        self._listen_first_s = listen_first_s
        self._connected_s = self._kept_s = self._taken_s = 0.0
        self._redial = Redial(settings, _log, "the rollout waits")
        self._link: Link | None = None
        self._orders: dict[str, bytes] = {}
        self._waiting: dict[str, None] = {}
        """Topics whose order goes out next; a dictionary for its order."""
        self._in_flight: dict[int, str] = {}

    @property
    def connected(self) -> bool:
        """Whether anybody is heard now."""
        return self._link is not None

    @property
    def idle(self) -> bool:
        """The broker has every order."""
        return self.connected and not self._waiting and not self._in_flight

    def is_safe(self, seconds: float) -> bool:
        """The broker has every order, the last one for so long."""
        return self.idle and time.monotonic() - self._taken_s >= seconds

    def connect(self) -> None:
        """Connect and subscribe now.

        Raises:
            BrokerError: one line that says why not.
        """
        self._in_flight.clear()
        self._waiting = dict.fromkeys(self._orders)
        link = open_link(self._redial.settings, self._client_id, on_arrival=self._arrived)
        try:
            link.subscribe(*_filters(), qos=0)
        except BrokerError:
            link.close()
            raise
        self._link = link
        self._connected_s = self._kept_s = self._taken_s = time.monotonic()
        self._redial.held()

    @property
    def heard_out(self) -> bool:
        """What the broker had kept is known: before that, nothing is decided and nothing said."""
        return self.connected and self.has_heard(self._listen_first_s)

    def has_heard(self, seconds: float) -> bool:
        """It was listened for so long, and nothing more comes of what the broker had kept."""
        now_s = time.monotonic()
        quiet_s = min(seconds, QUIET_S)
        return now_s - self._connected_s >= seconds and now_s - self._kept_s >= quiet_s

    def _arrived(self, arrival: Arrival) -> None:
        if arrival.retained:
            self._kept_s = time.monotonic()
            if self._orders.get(arrival.topic) == arrival.payload:
                self._waiting.pop(arrival.topic, None)  # the broker keeps it
        self._on_arrival(arrival)

    def say(self, order: Desired) -> None:
        """Publish an order, now or as soon as there is a broker."""
        topic, payload = topic_of(order), order.to_json()
        self._orders[topic] = payload
        self._waiting[topic] = None

    def unsay(self, site_and_device: str) -> None:
        """Never say the order of a device again: another one stands there."""
        topic = f"{ROOT}/{site_and_device}/desired"
        self._orders.pop(topic, None)
        self._waiting.pop(topic, None)

    def step(self) -> None:
        """Say and hear for a moment; connects again where it was cut off.

        Raises:
            RolloutError: the broker does not take orders from this identity.
        """
        if self._link is None:
            self._connect_when_due()
            return
        self._fill(self._link)
        alive = self._link.pump(0.005 if self._in_flight else _PUMP_S)
        for answer in self._link.take_acknowledgements():
            topic = self._in_flight.pop(answer.mid, None)
            self._taken_s = time.monotonic()
            if topic is not None and answer.refusal is not None:
                raise RolloutError(
                    f"the broker refuses an order on {topic} ({answer.refusal}): orders are given "
                    "by a controller (`leuko-deploy pki enrol controller:NAME`, then `broker "
                    "write`); nothing more was ordered"
                )
        if not alive:
            self._down(f"broker {self._redial.settings.url}: {self._link.lost}")

    def _fill(self, link: Link) -> None:
        if not self.heard_out:
            return
        while self._waiting and len(self._in_flight) < link.max_in_flight:
            topic = next(iter(self._waiting))
            mid = link.publish(Parcel(topic, self._orders[topic], "", 0, retain=True))
            if mid is None:
                return
            del self._waiting[topic]
            self._in_flight[mid] = topic

    def _connect_when_due(self) -> None:
        if not self._redial.is_due:
            time.sleep(_PUMP_S)
            return
        try:
            self.connect()
        except BrokerError as error:
            self._down(str(error))

    def _down(self, why: str) -> None:
        self._link = None
        self._redial.failed(why)

    def close(self) -> None:
        """Go."""
        if self._link is not None:
            self._link.close()
            self._link = None


def _filters() -> list[str]:
    path_of = {channel.leaf: channel.path for channel in CHANNELS}
    paths = [path_of[leaf].split("/") for leaf in _HEARD]
    levels = (["+" if level[0] == "{" else level for level in path] for path in paths)
    return [f"{ROOT}/+/+/{'/'.join(path)}" for path in levels]
