"""Watching as a whole: the rounds, and a thread for each channel that is told."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol

from typing_extensions import Self

from deploy.dashboard.alerts.mqtt import Broker
from deploy.dashboard.alerts.outbox import Due, NotTakenError, Outbox
from deploy.dashboard.alerts.watch import Watch
from deploy.dashboard.alerts.webhook import Webhook, WebhookSettings
from deploy.dashboard.alerts.words import DEFAULT, Limits
from deploy.dashboard.database.opening import Database
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.review.chain import identity_of
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.settings import BrokerSettings

_LOOK_EVERY_S = 0.5
_RETRY_S = 5.0
_STOP_WITHIN_S = 12.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchSettings:
    """What whoever watches can be told."""

    webhooks: tuple[WebhookSettings, ...] = ()
    broker: BrokerSettings | None = None
    limits: Limits = DEFAULT

    def check(self) -> None:
        """Refuse what cannot be. Raises :class:`ConfigError`."""
        for one in self.webhooks:
            one.check()


class Channel(Protocol):
    """Somebody who is told; used by one thread."""

    def tell(self, due: Due, now: datetime) -> None:
        """Send an event. Raises :class:`NotTakenError`."""

    def close(self) -> None:
        """Let go; it may be used again."""


class Watching:
    """``with Watching(database, settings): ...`` watches in threads of its own."""

    def __init__(self, database: Database, settings: WatchSettings) -> None:
        """Prepare.

        Raises:
            ConfigError: of the settings.
            DatabaseError: the database cannot be read.
        """
        settings.check()
        self.watch = Watch(database, settings.limits)
        self._database = database
        self._stopped = threading.Event()
        channels: list[tuple[str, Channel]] = [
            (one.name, Webhook(one)) for one in settings.webhooks
        ]
        if settings.broker is not None:
            with database.reading() as connection:
                client_id = f"leukoedge-alerts-{identity_of(connection)[:12]}"
            channels.append((Broker.name, Broker(settings.broker, database, client_id)))
        self._threads = [threading.Thread(target=self.watch.run, name="watch", daemon=True)] + [
            threading.Thread(target=self._tell, args=one, name=one[0][:15], daemon=True)
            for one in channels
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and let another process begin at once; idempotent."""
        self._stopped.set()
        until_s = time.monotonic() + _STOP_WITHIN_S
        for thread in reversed(self._threads):  # channels before whoever holds the lease
            if thread.name == "watch":
                self.watch.stop()
            if thread.ident is not None:
                thread.join(max(0.1, until_s - time.monotonic()))

    def _tell(self, name: str, channel: Channel) -> None:
        outbox = Outbox(self._database, name)
        known = False
        while not self._stopped.wait(0 if isinstance(channel, Broker) else _LOOK_EVERY_S):
            try:
                known = self._step(name, channel, outbox, known)
            except DatabaseError as error:  # noqa: PERF203 - a database that is away is waited for
                _log.warning("%s: nothing is told: %s", name, error)
                self._stopped.wait(_RETRY_S)
            except Exception:  # noqa: BLE001 - a fault of one event must not be the silence of all that follow
                _log.exception("%s: nothing is told; trying again", name)
                self._stopped.wait(_RETRY_S)
        channel.close()

    def _step(self, name: str, channel: Channel, outbox: Outbox, known: bool) -> bool:
        if not known:
            outbox.begin()
        if self.watch.leads:
            _tell_next(name, channel, outbox)
        else:
            channel.close()
            self._stopped.wait(_LOOK_EVERY_S)
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _tell_next(name: str, channel: Channel, outbox: Outbox) -> None:
    """All that is due, or where nothing is, what a channel does meanwhile."""
    while (due := outbox.due(utc_now())) is not None:
        try:
            channel.tell(due, utc_now())
        except NotTakenError as error:
            if not due.tries:
                _log.warning("%s does not take alerts: %s", name, error)
            if outbox.not_taken(due, error, utc_now()):
                _log.warning("%s: event %d is given up: %s", name, due.id, error)
            return
        outbox.taken(due, utc_now())
    if isinstance(channel, Broker):
        try:
            channel.idle(utc_now())
        except NotTakenError as error:
            if channel.said != str(error):
                _log.warning("%s takes no alerts: %s", name, error)
            channel.said = str(error)
            time.sleep(_LOOK_EVERY_S * 4)
        else:
            channel.said = None
