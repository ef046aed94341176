"""Devices at the level of messages: what a daemon and its updater say when an order comes.

One client speaks for all of them. They follow orders as `edge_daemon.update` does: newer ones only,
each part once, never down a version; what becomes of it is set per device by ``manners``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from typing_extensions import Self

from deploy.rollout.targets import Target, targets_of
from deploy.trust.add import add
from deploy.trust.inspect import offered
from edge_daemon.contract.envelope import FromDevice, utc_now
from edge_daemon.contract.findings import BlastFraction, FrameCounts
from edge_daemon.contract.messages import (
    Desired,
    DesiredBundle,
    Health,
    Message,
    ReleaseStanding,
    ShadowReport,
    Status,
    UpdateReport,
    UpdateStanding,
    parse_message,
)
from edge_daemon.contract.shadow import (
    Agreement,
    Candidate,
    LabelCounts,
    LabelTable,
    ProbabilityShift,
    ShadowFrames,
    ShadowSide,
)
from edge_daemon.contract.target import release_order
from edge_daemon.contract.topics import channel_of, topic_of
from edge_daemon.delivery.receiver import wait_until
from tests.deploy.trust.fleet import Fleet
from tests.edge_daemon.contract.samples import SAMPLES, SHADOW
from tests.edge_daemon.update.versions import write_stand_in

PATIENCE_S = 30.0
OLD, NEW, BACK = "0.1.0", "0.2.0", "0.2.1"
BUNDLES = {
    version: Target(
        name="paper",
        version=version,
        digest="sha256:" + digit * 64,
        reissue_of=OLD if version == BACK else None,
    )
    for version, digit in ((OLD, "1"), (NEW, "2"), (BACK, "3"))
}
DAEMON_OLD, DAEMON_NEW, DAEMON_BACK = "1.0.0", "1.1.0", "1.1.1"
Manner: TypeAlias = Literal["fails", "disagrees", "hot", "slow", "loses", "dies", "deaf"]

(_HEALTH,) = (one for one in SAMPLES if isinstance(one, Health))


def founded(folder: Path) -> dict[str, Target]:
    """A repository of bundles, the old, a new, the old as a higher version, and of daemons.

    Returns:
        Its bundles by version, as ``BUNDLES`` has them, with their real digests.
    """
    fleet = Fleet.founded(folder)
    fleet.add(OLD)
    fleet.add(NEW)
    add(fleet.repository, fleet.source(OLD), fleet.ring(), fleet.now(), as_version=BACK)
    wheelhouse = folder / "wheelhouse"
    wheelhouse.mkdir()
    for version in (DAEMON_NEW, DAEMON_BACK):
        wheel = write_stand_in(folder / "dist", version)
        add(fleet.repository, wheel, fleet.ring(), fleet.now(), wheelhouse=wheelhouse)
    fleet.publish()
    source, root = str(fleet.repository.folder), fleet.first_root.read_bytes()
    return {one.version: one for one in targets_of(offered(source, root, fleet.now))}


NOTHING_YET = UpdateStanding(
    order=None,
    step=None,
    desired=None,
    role=None,
    runs=None,
    waits_for=None,
    refused=None,
    orders_refused=(),
    looked_at=None,
    daemon=ReleaseStanding(
        order=None, step=None, desired=None, runs=DAEMON_OLD, waits_for=None, refused=None
    ),
)


@dataclass
class Simulated:
    """One device."""

    name: str
    version: str = OLD
    boot: str = field(default_factory=lambda: uuid.uuid4().hex)
    seq: int = 0
    online: bool = True
    order: Desired | None = None
    followed: str | None = None
    standing: UpdateStanding = NOTHING_YET
    frames: int = 1000
    errors: int = 0
    ever: list[str] = field(default_factory=list)
    """Versions that it took, in order."""
    daemon: str = DAEMON_OLD
    tried: list[str] = field(default_factory=list)
    """Versions of the daemon that it began to try, in order."""
    parts: dict[str, DesiredBundle | None] = field(default_factory=dict)
    """What it followed last, by kind."""
    slide: str | None = None
    """Under way: a candidate goes on looking on until its end."""


class SimulatedFleet:
    """``with SimulatedFleet(url, names, bundles) as fleet:`` all are online with the old bundle."""

    def __init__(
        self,
        port: int,
        names: Iterable[str],
        bundles: dict[str, Target],
        *,
        manners: dict[str, Manner] | None = None,
        every_s: float | None = 0.2,
    ) -> None:
        self.devices = {name: Simulated(name) for name in names}
        self.manners: dict[str, Manner] = dict(manners or {})
        self._bundles = bundles
        self._every_s = every_s
        self._port = port
        self._screened_s = 0.0
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=uuid.uuid4().hex)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._arrived
        self._client.on_connect = self._connected
        self.orders: dict[str, list[Desired]] = defaultdict(list)
        """Every order that came, whether the device was there or not."""
        self.orders_heard = 0
        """All that came, repeats among them."""
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert wait_until(self._client.is_connected, PATIENCE_S)
        with self._lock:
            sent = [say(one) for one in self.devices.values() for say in self.first_words]
        for one in sent:
            one.wait_for_publish(PATIENCE_S)
        self._thread.start()
        return self

    @property
    def first_words(self) -> tuple[Callable[[Simulated], paho.MQTTMessageInfo], ...]:
        """What a daemon says when it has connected."""
        return (self._status, self._update, self._health)

    def _client_of(self, _name: str) -> paho.Client:
        return self._client

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def versions(self, *names: str) -> list[str]:
        """What these devices use, or all."""
        return [self.devices[name].version for name in names or self.devices]

    def daemons(self, *names: str) -> list[str]:
        """Which daemons run on these devices, or on all."""
        return [self.devices[name].daemon for name in names or self.devices]

    def leaves(self, name: str) -> None:
        """It goes off the air; the broker keeps its orders."""
        with self._lock:
            self.devices[name].online = False
            self._status(self.devices[name])

    def comes(self, name: str) -> None:
        """It is back, and finds the order that the broker kept."""
        with self._lock:
            device = self.devices[name]
            device.online = True
            device.boot, device.seq = uuid.uuid4().hex, 0
            self._status(device)
            if device.order is not None:
                self._follow(device, device.order)

    def goes_back(self, name: str) -> None:
        """A person at the device activates the bundle before."""
        with self._lock:
            self.devices[name].version = OLD
            self._status(self.devices[name])

    def ends_its_slide(self, name: str) -> None:
        """And whatever waited for that is done."""
        with self._lock:
            device = self.devices[name]
            device.slide = None
            news = {"waits_for": None, "looked_at": utc_now()}
            device.standing = device.standing.model_copy(update=news)
            self._update(device)

    def forgotten(self, name: str) -> None:
        """The broker keeps no status of it any more; until it says one, nobody knows of it."""
        self._clear(f"leukoedge/v1/{name}/status")

    def forgets_its_order(self, name: str) -> None:
        """The broker keeps no order for it any more."""
        self._clear(f"leukoedge/v1/{name}/desired")

    def _clear(self, topic: str) -> None:
        self._client.publish(topic, b"", 1, retain=True).wait_for_publish(PATIENCE_S)

    def says_how_it_is(self, name: str) -> None:
        """Its status once more."""
        with self._lock:
            self._status(self.devices[name])

    def screen(self) -> None:
        """Each screens some frames more, at most every 5 s, as daemons do."""
        if time.monotonic() - self._screened_s < 5.0:
            return
        self._screened_s = time.monotonic()
        with self._lock:
            for device in self.devices.values():
                self._health(device)

    def says(self, message: Message, topic: str | None = None) -> None:
        """Anything, also what no device would say."""
        self._say(message, topic).wait_for_publish(PATIENCE_S)

    def _connected(self, client: paho.Client, *_: object) -> None:
        client.subscribe("leukoedge/v1/+/+/desired", qos=1)

    def _arrived(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        if not message.payload:
            return
        self.orders_heard += 1
        order = parse_message(message.payload)
        assert isinstance(order, Desired)
        name = f"{order.site}/{order.device}"
        with self._lock:
            device = self.devices.get(name)
            if device is None:
                return
            if not self.orders[name] or self.orders[name][-1] != order:
                self.orders[name].append(order)
            device.order = order
            if device.online and self.manners.get(name) != "deaf":
                self._follow(device, order)

    def _follow(self, device: Simulated, order: Desired) -> None:
        if device.followed == order.id:
            return
        device.followed = order.id
        self._follow_bundle(device, order)
        self._follow_daemon(device, order)
        self._update(device)
        if self._every_s is None:
            for _ in range(2):
                self._health(device)

    def _is_new(self, device: Simulated, order: Desired, kind: Literal["bundle", "daemon"]) -> bool:
        """Whether the order says something else of it than the one before."""
        part = order.first(getattr(order, kind))
        before, device.parts[kind] = device.parts.get(kind), part
        return part is None or part != before

    def _follow_bundle(self, device: Simulated, order: Desired) -> None:
        news: dict[str, Any] = {"order": order.id, "looked_at": utc_now()}
        wanted = order.bundle
        manner = self.manners.get(device.name)
        is_new = self._is_new(device, order, "bundle")
        if is_new:
            news |= {"step": "followed", "refused": None, "waits_for": None}
        if wanted is None and device.standing.step == "candidate":
            said_first = news | {"looked_at": None}  # before anything is done for it
            device.standing = device.standing.model_copy(update=said_first)
            self._update(device)
            if device.slide is not None:
                why = f"{device.slide} is under way, and nothing changes inside a slide"
                news["waits_for"] = why
        if wanted is not None and is_new:
            assert release_order(wanted.version) > release_order(device.version), "never down"
            news |= {"desired": f"{wanted.name}-{wanted.version}", "role": wanted.role}
            if wanted.role == "candidate":
                news["step"] = "candidate"
                self._shadow(device, wanted.version, disagrees=manner == "disagrees")
            elif manner == "fails" and wanted.version != BACK:
                news |= {"step": "failed", "refused": "it fails its golden set"}
            else:
                device.version = wanted.version
                device.ever.append(wanted.version)
                news["step"] = "active"
                self._status(device)
                if manner == "dies" and wanted.version != BACK:
                    device.online = False
                    self._status(device)
        device.standing = device.standing.model_copy(update=news)

    def _follow_daemon(self, device: Simulated, order: Desired) -> None:
        news: dict[str, Any] = {"order": order.id}
        is_new = self._is_new(device, order, "daemon")
        if is_new:
            news |= {"step": "followed", "refused": None}
        self._note_daemon(device, **news)
        if order.daemon is None or not is_new:
            return
        old, new = device.daemon, order.daemon.version
        assert release_order(new) > release_order(old), "never down"
        self._tell_daemon(device, desired=f"leukoedge-{new}")
        device.tried.append(new)
        self._starts(device, new)
        self._tell_daemon(device, step="restarted", runs=new)
        if new != DAEMON_BACK and self.manners.get(device.name) == "fails":
            self._starts(device, old)
            why = f"leukoedge-{new} was tried and does not work: it did not answer within 120 s"
            self._tell_daemon(device, step="failed", runs=old, refused=why)
        else:
            self._tell_daemon(device, step="committed")

    def _starts(self, device: Simulated, version: str) -> None:
        device.online = False
        self._status(device)
        device.daemon, device.online = version, True
        device.boot, device.seq = uuid.uuid4().hex, 0
        device.frames = device.errors = 0
        self._status(device)

    def _tell_daemon(self, device: Simulated, **news: Any) -> None:
        self._note_daemon(device, **news)
        self._update(device)

    def _note_daemon(self, device: Simulated, **news: Any) -> None:
        standing = device.standing.daemon
        assert standing is not None
        told = {"daemon": standing.model_copy(update=news)}
        device.standing = device.standing.model_copy(update=told)

    def _tick(self) -> None:
        while self._every_s is not None and not self._ending.wait(self._every_s):
            with self._lock:
                for device in self.devices.values():
                    if device.online:
                        self._health(device)

    def _status(self, device: Simulated) -> paho.MQTTMessageInfo:
        state = "online" if device.online else "offline"
        reason = None if device.online else "the connection to the device was lost"
        said = Status(**self._envelope(device), state=state, reason=reason, version=device.daemon)
        return self._say(said)

    def _update(self, device: Simulated) -> paho.MQTTMessageInfo:
        return self._say(UpdateReport(**self._envelope(device), standing=device.standing))

    def _health(self, device: Simulated) -> paho.MQTTMessageInfo:
        is_new = device.version == NEW or device.daemon == DAEMON_NEW
        manner = self.manners.get(device.name) if is_new else None
        device.frames += 200
        device.errors += 50 if manner == "loses" else 0
        done = FrameCounts(
            captured=device.frames, analysed=device.frames - device.errors, failed=device.errors
        )
        news = self._envelope(device) | {
            "fps": 5.0 if manner == "slow" else 20.0,
            "temperatures_c": {"gpu": 99.0 if manner == "hot" else 50.0},
            "frames": done,
        }
        return self._say(_HEALTH.model_copy(update=news))

    def _shadow(self, device: Simulated, version: str, *, disagrees: bool) -> None:
        news: dict[str, Any] = {
            "slide": "S-1",
            "candidate": Candidate(bundle=f"paper-{version}", digest=self._digest(version)),
        }
        said = SHADOW if disagrees else SHADOW | _AGREES
        self._say(ShadowReport(**(said | self._envelope(device) | news)))

    def _envelope(self, device: Simulated) -> dict[str, Any]:
        site, name = device.name.split("/")
        device.seq += 1
        return {
            "site": site,
            "device": name,
            "ts": utc_now(),
            "boot_id": device.boot,
            "seq": device.seq,
            "record": 0,
            "bundle": self._digest(device.version),
        }

    def _digest(self, version: str) -> str:
        return self._bundles[version].digest

    def _say(self, message: Message, topic: str | None = None) -> paho.MQTTMessageInfo:
        channel = channel_of(message)
        assert isinstance(message, FromDevice | Desired)
        return self._client_of(f"{message.site}/{message.device}").publish(
            topic or topic_of(message), message.to_json(), channel.qos, channel.retained
        )


_AGREES: dict[str, Any] = {
    "frames": ShadowFrames(analysed=8, compared=8),
    "table": LabelTable(blast=LabelCounts(blast=9), normal=LabelCounts(normal=27)),
    "only_active": LabelCounts(),
    "only_candidate": LabelCounts(),
    "agreement": Agreement(agreed=36, cells=36, estimate=1.0, low=0.9, high=1.0, confidence=0.95),
    "p_blast_shift": ProbabilityShift(mean=0.0, mean_absolute=0.0),
    **{
        side: ShadowSide(
            nucleated_cells=36,
            blasts=9,
            blast_fraction=BlastFraction(estimate=0.25, low=0.1, high=0.5, confidence=0.95),
            disposition="insufficient",
        )
        for side in ("by_active", "by_candidate")
    },
    "disagreements": 0,
    "worst": (),
}


def wait_long(condition: Any, seconds: float = PATIENCE_S) -> bool:
    """As ``wait_until``, without asking a thousand times a second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
