"""The simulated fleet with a connection for each device, as devices have: mutual TLS, own names.

One connection that speaks for all is another thing to a broker: it takes one message of a
connection in a turn of its loop, and saves after each turn.
"""

from __future__ import annotations

import selectors
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from typing_extensions import Self

from deploy.identity.enrolment import CERTIFICATE, KEY, TRUSTED
from deploy.rollout.targets import Target
from tests.deploy.rollout.fleet import SimulatedFleet, wait_long

_TURN_S, _KEEP_ALIVE_EVERY = 0.05, 100
_ALL_SAID_S = 120.0


class ConnectedFleet(SimulatedFleet):
    """``identities``: the folder that was handed out to each device."""

    def __init__(
        self, port: int, identities: Mapping[str, Path], bundles: dict[str, Target]
    ) -> None:
        super().__init__(port, identities, bundles, every_s=None)
        self._clients = {name: self._make(name, folder) for name, folder in identities.items()}
        self._selector = selectors.DefaultSelector()
        self._pumping = threading.Thread(target=self._pump, daemon=True)

    def _make(self, name: str, identity: Path) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        context = ssl.create_default_context(cafile=str(identity / TRUSTED))
        context.load_cert_chain(identity / CERTIFICATE, identity / KEY)
        client.tls_set_context(context)
        client.on_message = self._arrived
        client.on_connect = lambda *_: client.subscribe(f"leukoedge/v1/{name}/desired", qos=1)
        return client

    def _client_of(self, name: str) -> paho.Client:
        return self._clients[name]

    def __enter__(self) -> Self:
        for client in self._clients.values():
            client.connect("127.0.0.1", self._port)
            self._selector.register(client.socket(), selectors.EVENT_READ, client)
        self._pumping.start()
        connected = lambda: all(client.is_connected() for client in self._clients.values())  # noqa: E731
        assert wait_long(connected, _ALL_SAID_S)
        with self._lock:
            sent = [say(one) for one in self.devices.values() for say in self.first_words]
        assert wait_long(lambda: all(one.is_published() for one in sent), _ALL_SAID_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._pumping.join()
        for client in self._clients.values():
            client.disconnect()
        self._selector.close()

    def _pump(self) -> None:
        """All of them in one thread, as a thousand threads would only wait for each other."""
        turn = 0
        while not self._ending.is_set():
            turn += 1
            with self._lock:
                for client in self._clients.values():
                    if client.want_write():
                        client.loop_write()
                    if turn % _KEEP_ALIVE_EVERY == 0:
                        client.loop_misc()
            for key, _ in self._selector.select(_TURN_S):
                with self._lock:
                    client, end = key.data, key.fileobj
                    client.loop_read()
                    while isinstance(end, ssl.SSLSocket) and end.fileno() >= 0 and end.pending():
                        client.loop_read()
