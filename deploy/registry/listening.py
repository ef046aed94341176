"""The listener: what devices say over MQTT goes into the registry, many messages to a commit.

It keeps the fleet in memory and writes what changed twice a second in one transaction. A kill
costs that half second, and no more than until each device speaks again: a status is retained, and
health comes at intervals. While the registry's server is away it goes on listening, and writes what
it heard when the server is back.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from deploy.identity.authority import JOURNAL
from deploy.identity.errors import IdentityError
from deploy.identity.journal import read_journal
from deploy.registry.drift import DEFAULT
from deploy.registry.enrolled import enrolments
from deploy.registry.errors import RegistryAwayError
from deploy.registry.heard import taken
from deploy.registry.record import Aside, Listened, Reported, Why
from deploy.registry.store import MOST_ASIDE, Registry
from edge_daemon.contract.envelope import FromDevice, utc_now
from edge_daemon.contract.messages import MESSAGES, parse_message
from edge_daemon.contract.topics import ROOT, Topic, parse_topic, topic_of
from edge_daemon.delivery.backoff import Redial
from edge_daemon.delivery.link import Arrival, Link, open_link
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError, MessageError

TOPICS = ("status", "health", "control/+", "slide/+/summary")
"""What is heard, below each device. Frames and crops stay where they belong."""
COMMIT_EVERY_S = 0.5
TRY_AGAIN_AFTER_S = 2.0
"""Where the registry's server was away."""
SAY_LISTENING_EVERY_S = 10.0
_PUMP_S = 0.05
_KNOWN = {str(model.model_fields["schema_id"].default) for model in MESSAGES}

_log = logging.getLogger(__name__)


class Listener:
    """``with Listener(...) as listener: listener.step()``, all of it in one thread."""

    def __init__(
        self,
        settings: BrokerSettings,
        registry: Registry,
        pki: Path | None = None,
        on_heard: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """``on_heard`` is called with a device's name when what it said has been committed."""
        self._registry = registry
        self._pki = pki
        self._on_heard = on_heard
        self._client_id = f"leukoedge-registry-{uuid.uuid4().hex[:12]}"
        self._redial = Redial(settings, _log, "nobody hears the devices")
        self._link: Link | None = None
        self._told: set[tuple[str, str, str]] = set()
        self._said_away = ""
        self._since: datetime | None = None
        self._journal_of: int | None = None
        self._journal_fault = ""
        self.fleet: dict[str, Reported] = {}
        """What is known of each device, by name; ahead of the registry by what is not committed."""
        self._changed: dict[str, Reported] = {}
        self._aside: dict[tuple[str, str, str], Aside] = {}
        self._commit_at_s = time.monotonic() + COMMIT_EVERY_S
        self._said_listening_s = float("-inf")
        self.read_journal()
        self._load()

    @property
    def connected(self) -> bool:
        """Whether it listens now."""
        return self._link is not None

    @property
    def registry_away(self) -> bool:
        """Whether its server did not answer last; :meth:`step` asks again from time to time."""
        return self._said_away != ""

    def connect(self) -> None:
        """Connect and subscribe now.

        Raises:
            BrokerError: one line that says why not.
            RegistryError: the registry cannot be read.
        """
        before = self._registry.listened
        link = open_link(self._redial.settings, self._client_id, on_arrival=self._arrived)
        try:
            # QoS 0: a broker that saves after each change takes every acknowledgement for one
            link.subscribe(*(f"{ROOT}/+/+/{path}" for path in TOPICS), qos=0)
        except BrokerError:
            link.close()
            raise
        now = utc_now()
        unbroken = before is not None and now - before.until < _gap()
        self._since = before.since if before is not None and unbroken else now
        self._link = link
        self._redial.held()
        self._said_listening_s = float("-inf")

    def step(self) -> None:
        """Hear for a moment, and commit what is due; connects again where it was cut off.

        A registry whose server is away is waited for.

        Raises:
            RegistryError: the registry cannot be written.
        """
        if self._link is None:
            self._connect_when_due()
        elif not self._link.pump(_PUMP_S):
            self._down(f"broker {self._redial.settings.url}: {self._link.lost}")
        if time.monotonic() >= self._commit_at_s:
            try:
                self.commit()
            except RegistryAwayError as error:
                self.wait_for_registry(error)

    def wait_for_registry(self, error: RegistryAwayError) -> None:
        """Tell once that its server is away, and write nothing for a moment."""
        if not self.registry_away:  # its words differ from one attempt to the next
            _log.warning("%s; what devices say is kept in memory meanwhile", error)
        self._said_away = str(error)
        self._commit_at_s = time.monotonic() + TRY_AGAIN_AFTER_S

    def commit(self) -> None:
        """Write what changed, in one transaction. Raises :class:`RegistryError`."""
        now_s, now = time.monotonic(), utc_now()
        self._commit_at_s = now_s + COMMIT_EVERY_S
        say = self._link is not None and now_s - self._said_listening_s >= SAY_LISTENING_EVERY_S
        if not (self._changed or self._aside or say or self.registry_away):
            return
        with self._registry.batch():
            gone = self._registry.report(self._changed)
            self._registry.put_aside(self._aside.values())
            if self._link is not None and self._since is not None:
                self._registry.listened_to(Listened(since=self._since, until=now))
                self._said_listening_s = now_s
        if self.registry_away:
            _log.warning("registry %s is back", self._registry.name)
            self._said_away = ""
        for name in gone:  # forgotten meanwhile
            self.fleet.pop(name, None)
        changed, self._changed, self._aside = self._changed, {}, {}
        for name in changed:
            if name not in gone:
                self._on_heard(name)

    def close(self) -> None:
        """Commit and go. Raises :class:`RegistryError`."""
        try:
            self.commit()
        finally:
            if self._link is not None:
                self._link.close()
                self._link = None

    def read_journal(self) -> bool:
        """Enter who is enrolled, where the authority's journal has changed; True if it had.

        Raises:
            IdentityError: it cannot be read.
        """
        if self._pki is None:
            return False
        path = self._pki / JOURNAL
        stamp = None
        with suppress(OSError):
            stamp = path.stat().st_mtime_ns
        if stamp is not None and stamp == self._journal_of:
            return False
        known = enrolments(read_journal(path), utc_now())
        self._registry.enrol(known)
        self._aside = {  # whoever is enrolled by now was no stranger
            key: one
            for key, one in self._aside.items()
            if one.why != "unknown device" or one.name not in known
        }
        self._journal_of, self._journal_fault = stamp, ""
        return True

    def read_journal_again(self) -> bool:
        """The same while it listens: a journal that cannot be read is told once, and waited for."""
        if self.registry_away:
            return False
        try:
            return self.read_journal()
        except RegistryAwayError as error:
            self.wait_for_registry(error)
            return False
        except IdentityError as error:
            if self._journal_fault != str(error):
                _log.warning("%s; who is enrolled is known as of before", error)
            self._journal_fault = str(error)
            return False

    def _load(self) -> None:
        stored = {device.name: device.reported for device in self._registry.devices()}
        self.fleet = stored | {name: self.fleet[name] for name in stored if name in self.fleet}

    def _connect_when_due(self) -> None:
        if not self._redial.is_due:
            time.sleep(_PUMP_S)
            return
        try:
            self.connect()
        except RegistryAwayError as error:
            self._redial.put_off(TRY_AGAIN_AFTER_S)
            self.wait_for_registry(error)
        except BrokerError as error:
            self._down(str(error))

    def _down(self, why: str) -> None:
        self._link = None
        self._redial.failed(why)

    def _arrived(self, arrival: Arrival) -> None:
        if not arrival.payload:  # a retained message was cleared
            return
        try:
            topic = parse_topic(arrival.topic)
        except MessageError:
            return  # below our root and not of this contract: nobody's device
        try:
            message = parse_message(arrival.payload)
            if topic_of(message) != arrival.topic:
                raise MessageError("message refused: it is not of the topic that it came on")
        except MessageError as error:
            schema = _schema_of(arrival.payload)
            if schema is not None and schema not in _KNOWN:
                line = f"speaks {schema[:64]!r}, which this program does not know: update it"
                self._keep_aside(topic, "unknown schema", line)
            else:
                self._keep_aside(topic, "refused", str(error))
            return
        if not isinstance(message, FromDevice):
            return
        name = f"{topic.site}/{topic.device}"
        if name not in self.fleet and not self._came_meanwhile(name):
            self._keep_aside(topic, "unknown device", "speaks and is not enrolled here")
            return
        known = self.fleet[name]
        historical = arrival.historical or message.historical
        now_known = taken(
            known, message, utc_now(), retained=arrival.retained, historical=historical
        )
        if now_known is not known:
            self.fleet[name] = self._changed[name] = now_known

    def _came_meanwhile(self, name: str) -> bool:
        """Whether a device was enrolled, or entered by another program, since it was looked."""
        if self.registry_away:
            return False
        try:
            if self.read_journal_again():
                self._load()
            for device in self._registry.named([name]):
                self.fleet.setdefault(name, device.reported)
        except RegistryAwayError as error:
            self.wait_for_registry(error)
        return name in self.fleet

    def _keep_aside(self, topic: Topic, why: Why, line: str) -> None:
        name = f"{topic.site}/{topic.device}"
        key = (name, topic.leaf, why)
        line = "".join(one for one in line if one.isprintable())[:300]
        if key not in self._told and len(self._told) < 10_000:
            self._told.add(key)
            _log.warning("%s: %s: %s", name, topic.leaf, line)
        now, before = utc_now(), self._aside.get(key)
        first, count = (now, 1) if before is None else (before.first_at, before.count + 1)
        if before is None and len(self._aside) >= MOST_ASIDE:
            del self._aside[next(iter(self._aside))]
        self._aside[key] = Aside(
            name=name, leaf=topic.leaf, why=why, line=line, first_at=first, last_at=now, count=count
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _gap() -> timedelta:
    """A break in listening that is none: shorter than the time after which it is told."""
    return timedelta(seconds=DEFAULT.listener_s)


def _schema_of(payload: bytes) -> str | None:
    """What a message that cannot be read says it is."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    schema = found.get("schema") if isinstance(found, dict) else None
    return schema if isinstance(schema, str) else None
