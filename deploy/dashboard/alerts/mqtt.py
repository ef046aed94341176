"""Alerts over MQTT: what is open lies retained at the broker, and so does whether anybody watches.

``leukoedge/alerts/v1/alert/SITE/DEVICE/NUMBER`` holds an alert while it is open (``-/-`` in the
place of site and device: the central side's own). When it is over, its last word is sent without
being retained, and the topic is emptied. ``leukoedge/alerts/v1/watch`` says whether somebody
watches; its will says when nobody does, since no alert is no news then. No topic of a device begins
so (deploy/broker/rights.py lets a dashboard write here, and nothing else).
"""

from __future__ import annotations

import json
import time
from datetime import datetime

from sqlalchemy import select

from deploy.broker.rights import ALERTS
from deploy.dashboard.alerts.book import message_of, open_alerts
from deploy.dashboard.alerts.message import AlertMessage
from deploy.dashboard.alerts.outbox import Due, NotTakenError
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import alerts
from edge_daemon.delivery.link import Link, open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError

WATCH_TOPIC = f"{ALERTS}/watch"
WATCH_SCHEMA = "leukoedge.watch/1"
_ANSWER_WITHIN_S = 10.0


def topic_of(alert: AlertMessage) -> str:
    """Where an alert lies."""
    return f"{ALERTS}/alert/{alert.site or '-'}/{alert.device or '-'}/{alert.id}"


class Broker:
    """The connection of whoever watches; used by one thread."""

    name = "MQTT broker"

    def __init__(self, settings: BrokerSettings, database: Database, client_id: str) -> None:
        self._settings = settings
        self._database = database
        self._client_id = client_id
        self.said: str | None = None
        """What was last told of it to whoever runs this."""
        self._link: Link | None = None
        self._address = 0

    def tell(self, due: Due, now: datetime) -> None:
        """Send an event, and leave at the broker what is so now.

        Raises:
            NotTakenError: it was not taken, and why.
            DatabaseError: the database cannot be read.
        """
        link = self._connected(now)
        said = AlertMessage.model_validate_json(due.document)
        topic = topic_of(said)
        if said.state == "cleared":
            self._publish(link, topic, due.document.encode(), retain=False)
            self._publish(link, topic, b"", retain=True)
            return
        with self._database.reading() as connection:
            over = connection.scalar(select(alerts.c.cleared_at).where(alerts.c.id == said.id))
        # an old word is not left for whoever comes now
        self._publish(link, topic, due.document.encode(), retain=over is None)

    def idle(self, now: datetime) -> None:
        """Keep the connection while nothing is to be told.

        Raises:
            NotTakenError: there is none.
        """
        link = self._connected(now)
        if not link.pump(0.2):
            self._lost(link)

    def close(self) -> None:
        """Say that nobody watches here, and go."""
        if self._link is not None:
            self._link.publish(_watch(None))
            self._link.close()
            self._link = None

    def _connected(self, now: datetime) -> Link:
        if self._link is not None and self._link.lost is not None:
            self._lost(self._link)
        if self._link is None:
            settings = self._settings.at(self._address)
            try:
                self._link = open_link(settings, self._client_id, will=_watch(None))
            except BrokerError as error:
                self._address += 1
                raise NotTakenError(str(error)) from None
            with self._database.reading() as connection:
                said = [
                    message_of(connection, one.id, "raised", one.raised_at)
                    for one in open_alerts(connection)
                ]
            for one in said:
                self._publish(self._link, topic_of(one), one.to_json().encode(), retain=True)
            watch = _watch(now)
            self._publish(self._link, watch.topic, watch.payload, retain=True)
        return self._link

    def _publish(self, link: Link, topic: str, payload: bytes, *, retain: bool) -> None:
        mid = link.publish(Parcel(topic, payload, "", 0, 1, retain))
        until_s = time.monotonic() + _ANSWER_WITHIN_S
        while mid is not None and time.monotonic() < until_s:
            for answer in link.take_acknowledgements():
                if answer.mid == mid and answer.refusal is not None:
                    raise NotTakenError(f"the broker refused it ({answer.refusal}): {topic}")
                if answer.mid == mid:
                    return
            if not link.pump(0.05):
                break
        self._lost(link)

    def _lost(self, link: Link) -> None:
        self._link = None
        why = link.lost or "no answer"
        if link.lost is None:
            link.close()
        raise NotTakenError(f"broker {self._settings.at(self._address).url}: {why}")


def _watch(since: datetime | None) -> Parcel:
    said = {
        "schema": WATCH_SCHEMA,
        "watching": since is not None,
        "since": None if since is None else since.isoformat(timespec="seconds"),
    }
    return Parcel(WATCH_TOPIC, json.dumps(said).encode(), "", 0, 1, True)
