"""One connection to a broker, from CONNECT to its end, with every refusal as one clear line.

A link is used by the thread that opened it and by no other: it works only inside :meth:`Link.pump`,
so the publisher needs no locks and no callback surprises it. After the end it is thrown away and a
new one is opened; the client library's own reconnection and memory queue are never used, because
what they still hold after a crash or a refusal nobody can tell.

MQTT 5 is tried first and MQTT 3.1.1 when the broker does not know it, unless the settings name
one. Over 3.1.1 a forbidden publish is acknowledged like any other, so refusals can be seen over
MQTT 5 only, and what MQTT 5 carries beside a message travels inside it.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_daemon.delivery import own_certificate
from edge_daemon.delivery.inside import payload_with_all
from edge_daemon.delivery.parcel import JSON_TYPE, Parcel
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError

Protocol: TypeAlias = Literal["MQTT 5", "MQTT 3.1.1"]

_UNSUPPORTED_VERSION = 0x84
_FIRST_FAILURE = 0x80
_SESSION_TAKEN_OVER = 0x8E

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Acknowledgement:
    """The broker's answer to one publish; ``refusal`` is None when it took the message."""

    mid: int
    refusal: str | None


@dataclass(frozen=True)
class Arrival:
    """A message that came in.

    ``about`` is the description that travels beside a binary payload; ``historical``: it waited on
    the device for a connection. Both only over MQTT 5; see :mod:`edge_daemon.delivery.inside`.
    """

    topic: str
    payload: bytes
    retained: bool
    about: str | None
    historical: bool = False
    mid: int | None = None
    """What :meth:`Link.acknowledge` takes; None at QoS 0."""


class _VersionRefusedError(BrokerError):
    """The broker does not speak the protocol version asked for."""


class Link:
    """An open connection. Made by :func:`open_link`."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        protocol: Protocol,
        will: Parcel | None,
        on_arrival: Callable[[Arrival], None],
        keep_session_s: int,
        most_unacknowledged: int | None = None,
    ) -> None:
        self.protocol: Protocol = protocol
        self.max_in_flight = settings.max_in_flight
        self.max_packet_bytes: int | None = None
        """Largest message the broker takes, or None when it sets no limit."""
        self.lost: str | None = None
        """Why the connection ended, or None while it lasts."""
        self._settings = settings
        self._is_v5 = protocol == "MQTT 5"
        self._keep_session_s = keep_session_s
        self._most_unacknowledged = most_unacknowledged
        self._connack: ReasonCode | None = None
        self._acknowledgements: list[Acknowledgement] = []
        self._subscribed: list[ReasonCode] | None = None
        self._on_arrival = on_arrival
        self._client = self._make_client(client_id, will)

    def _make_client(self, client_id: str, will: Parcel | None) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if self._is_v5 else not self._keep_session_s,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.manual_ack_set(self._most_unacknowledged is not None)
        client.max_inflight_messages_set(settings.max_in_flight + 10)  # room for status messages
        if settings.username is not None:
            password = settings.password
            client.username_pw_set(
                settings.username, None if password is None else password.get_secret_value()
            )
        if settings.tls:
            client.tls_set_context(_tls_context(settings))
        if will is not None:
            client.will_set(
                will.topic,
                will.payload,
                will.qos,
                will.retain,
                self._properties(PacketTypes.WILLMESSAGE, will),
            )
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._suback
        client.on_message = self._arrived
        return client

    def open(self) -> None:
        """Connect and wait for the broker's answer.

        Raises:
            BrokerError: one line that says why there is no connection.
        """
        settings = self._settings
        deadline = time.monotonic() + settings.connect_timeout_s
        try:
            if self._is_v5:
                session: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                session.SessionExpiryInterval = self._keep_session_s
                if self._most_unacknowledged is not None:
                    session.ReceiveMaximum = self._most_unacknowledged
                self._client.connect(
                    settings.host,
                    settings.port,
                    settings.keepalive_s,
                    clean_start=not self._keep_session_s,
                    properties=session,
                )
            else:
                self._client.connect(settings.host, settings.port, settings.keepalive_s)
        except (OSError, ValueError) as error:
            raise BrokerError(f"broker {settings.url}: {_why(error, settings)}") from error
        while self._connack is None and self.pump(0.1) and time.monotonic() < deadline:
            pass
        if self._connack is None:
            silent = self.lost is None
            self._client.disconnect()
            if silent:
                raise BrokerError(
                    f"broker {settings.url}: no answer in {settings.connect_timeout_s:g} s: "
                    "is this an MQTT port?"
                )
            guess = "is this an MQTT port, and does it want TLS or a client certificate?"
            raise _VersionRefusedError(
                f"broker {settings.url}: it closed the connection before answering: "
                f"{own_certificate.fault(settings) or guess}"
            )
        if self._connack.value == _UNSUPPORTED_VERSION:
            raise _VersionRefusedError(f"broker {settings.url}: it does not speak {self.protocol}")
        if self._connack.is_failure:
            raise BrokerError(
                f"broker {settings.url}: it refused the connection "
                f"({str(self._connack).lower()}): check username, password and client certificate"
            )

    def pump(self, timeout_s: float) -> bool:
        """Read and write for at most ``timeout_s``; False when the connection has ended."""
        if self.lost is None and self._client.loop(timeout_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.lost = self.lost or "connection lost"
        return self.lost is None

    def publish(self, parcel: Parcel, *, historical: bool = False) -> int | None:
        """Send a parcel; its acknowledgement comes by ``mid``. None when the connection ended.

        ``historical``: it waited for a connection.
        """
        properties = self._properties(PacketTypes.PUBLISH, parcel, historical=historical)
        payload = parcel.payload
        if not self._is_v5:
            payload = payload_with_all(parcel, historical=historical)
        sent = self._client.publish(parcel.topic, payload, parcel.qos, parcel.retain, properties)
        return sent.mid if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def take_acknowledgements(self) -> list[Acknowledgement]:
        """The answers that came since the last call."""
        taken, self._acknowledgements = self._acknowledgements, []
        return taken

    def acknowledge(self, mid: int) -> None:
        """Tell the broker that a message is safe here, where ``most_unacknowledged`` was given."""
        self._client.ack(mid, 1)

    def subscribe(
        self, *topic_filters: str, retained_again: bool = True, qos: Literal[0, 1] = 1
    ) -> None:
        """Subscribe and wait for the broker's answer.

        All at once where there are many retained messages: those of one filter would come before
        the answer for the next. ``retained_again``: what the broker keeps is sent even where the
        session holds this subscription already (MQTT 3.1.1 knows nothing else). ``qos`` 0: for who
        hears states, which the broker keeps, and not events: nothing is acknowledged, and what is
        lost with a connection comes again with the next.

        Raises:
            BrokerError: it refused, or did not answer.
        """
        self._subscribed = None
        how: Any = qos
        if self._is_v5:
            again = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            new_only = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            how = SubscribeOptions(qos=qos, retainHandling=again if retained_again else new_only)
        self._client.subscribe([(one, how) for one in topic_filters])
        deadline = time.monotonic() + self._settings.connect_timeout_s
        while self._subscribed is None and self.pump(0.1) and time.monotonic() < deadline:
            pass
        if self._subscribed is None or any(code.is_failure for code in self._subscribed):
            answer = self.lost or "no answer"
            refused = topic_filters[0]
            codes: list[ReasonCode] = self._subscribed or []
            for one, code in zip(topic_filters, codes, strict=False):
                if code.is_failure:
                    refused, answer = one, str(code).lower()
            raise BrokerError(
                f"broker {self._settings.url}: subscribing to {refused} failed ({answer}): "
                "check the rights of this client"
            )

    def close(self) -> None:
        """Say goodbye: the broker then forgets the will."""
        self._client.disconnect()
        while self.pump(0.05):
            pass

    def _properties(self, packet: int, parcel: Parcel, *, historical: bool = False) -> Any:
        if not self._is_v5:
            return None
        properties: Any = Properties(packet)  # type: ignore[no-untyped-call]
        properties.ContentType = parcel.content_type
        if parcel.content_type == JSON_TYPE:
            properties.PayloadFormatIndicator = 1
        if parcel.about is not None:
            properties.UserProperty = ("about", parcel.about)
        if historical:
            properties.UserProperty = ("historical", "true")
        if parcel.expires_s is not None:
            properties.MessageExpiryInterval = parcel.expires_s
        return properties

    def _connected(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, properties: Any
    ) -> None:
        self._connack = reason
        receive_maximum = getattr(properties, "ReceiveMaximum", None)
        if receive_maximum is not None:
            self.max_in_flight = min(self.max_in_flight, receive_maximum)
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)

    def _disconnected(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, _props: object
    ) -> None:
        self.lost = str(reason).lower()
        if reason.value == _SESSION_TAKEN_OVER:
            self.lost += ": another client has the same id; does a second daemon run?"

    def _published(
        self, _client: object, _data: object, mid: int, reason: ReasonCode, _props: object
    ) -> None:
        refusal = str(reason).lower() if reason.value >= _FIRST_FAILURE else None
        self._acknowledgements.append(Acknowledgement(mid, refusal))

    def _suback(
        self, _client: object, _data: object, _mid: int, codes: list[ReasonCode], _props: object
    ) -> None:
        self._subscribed = codes

    def _arrived(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        pairs = getattr(message.properties, "UserProperty", [])
        about = next((text for key, text in pairs if key == "about"), None)
        historical = ("historical", "true") in pairs
        mid = message.mid if message.qos else None
        self._on_arrival(
            Arrival(message.topic, bytes(message.payload), message.retain, about, historical, mid)
        )


def open_link(
    settings: BrokerSettings,
    client_id: str,
    *,
    will: Parcel | None = None,
    on_arrival: Callable[[Arrival], None] = lambda _arrival: None,
    keep_session_s: int = 0,
    most_unacknowledged: int | None = None,
) -> Link:
    """Connect as the settings say: with MQTT 5, and with 3.1.1 if the broker does not know that.

    ``keep_session_s``: how long the broker shall collect messages for this client while it is
    away (MQTT 3.1.1 knows only "for ever"). ``most_unacknowledged``: messages are acknowledged by
    :meth:`Link.acknowledge`, and the broker sends no more than so many ahead of that (MQTT 3.1.1
    knows only the broker's own limit); without it each is acknowledged as it arrives.

    Raises:
        BrokerError: one line that says why there is no connection.
    """
    if settings.protocol != "3.1.1":
        try:
            link = Link(
                settings,
                client_id,
                "MQTT 5",
                will,
                on_arrival,
                keep_session_s,
                most_unacknowledged,
            )
            link.open()
            return link
        except _VersionRefusedError:
            if settings.protocol == "5":
                raise
    link = Link(
        settings,
        client_id,
        "MQTT 3.1.1",
        will,
        on_arrival,
        keep_session_s,
        most_unacknowledged,
    )
    link.open()
    if settings.protocol == "auto":
        _log.warning(
            "broker %s speaks MQTT 3.1.1 only: messages it refuses cannot be told from those it "
            'takes; use receipts or an MQTT 5 broker, or set protocol = "3.1.1" in [broker]',
            settings.url,
        )
    return link


def check_broker(settings: BrokerSettings, timeout_s: float = 5.0) -> str:
    """Connect once and say in one line what was found.

    Raises:
        BrokerError: one line that says why there is no connection.
    """
    began = time.monotonic()
    limited = settings.model_copy(update={"connect_timeout_s": timeout_s})
    link = open_link(limited, f"leukoedge-check-{uuid.uuid4().hex[:8]}")
    took_ms = (time.monotonic() - began) * 1000
    link.close()
    tls = " over TLS" if settings.tls else ""
    return f"broker {settings.url} answers with {link.protocol}{tls} in {took_ms:.0f} ms"


def _tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (settings.ca_file, settings.cert_file) if f is not None)
        raise BrokerError(f"TLS files of the broker ({files}) cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _why(error: Exception, settings: BrokerSettings) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: start the broker or correct the address"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown: correct the address or the name service"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}): check ca_file and host"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason}): does this port speak TLS?"
    if isinstance(error, ConnectionResetError):
        return f"it hung up: does this port speak {'TLS' if settings.tls else 'MQTT'}?"
    if isinstance(error, TimeoutError):
        return f"no answer in {settings.connect_timeout_s:g} s: check address and firewall"
    return f"cannot be reached ({error})"
