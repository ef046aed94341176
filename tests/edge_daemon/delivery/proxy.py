"""Brokers that behave badly, made of a good one and a proxy that spoils the conversation."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

from typing_extensions import Self

Verdict = Callable[[bytes], bytes | None]
"""Sees what a client sends: None lets it pass, bytes are answered instead and end the connection
(``b""`` ends it without a word)."""

_CONNECT = 0x10
_CONNACK_WRONG_VERSION = bytes([0x20, 0x02, 0x00, 0x01])  # MQTT 3.1.1, section 3.2.2.3


def knows_no_mqtt_5(answer: bool) -> Verdict:
    """A broker of MQTT 3.1.1 only: refuses version 5 as the standard says, or just hangs up."""

    def verdict(sent: bytes) -> bytes | None:
        if sent[0] != _CONNECT or sent[sent.index(b"MQTT") + 4] != 5:
            return None
        return _CONNACK_WRONG_VERSION if answer else b""

    return verdict


def chokes_on(poison: bytes) -> Verdict:
    """A broker that closes the connection on some message, without a word."""
    return lambda sent: b"" if poison in sent else None


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes on to ``port`` what ``verdict`` lets pass."""

    def __init__(self, port: int, verdict: Verdict) -> None:
        self._upstream = port
        self._verdict = verdict
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End every connection as a broken network would, without a goodbye."""
        for end in self._open:
            _close(end)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._upstream))
            self._open += [client, broker]
            for pump in (self._to_broker, self._to_client):
                threading.Thread(target=pump, args=(client, broker), daemon=True).start()

    def _to_broker(self, client: socket.socket, broker: socket.socket) -> None:
        for sent in _chunks(client):
            answer = self._verdict(sent)
            if answer is not None:
                client.sendall(answer)
                break
            broker.sendall(sent)
        _close(client)
        _close(broker)

    def _to_client(self, client: socket.socket, broker: socket.socket) -> None:
        for said in _chunks(broker):
            with suppress(OSError):
                client.sendall(said)
        _close(client)


def _chunks(end: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while chunk := end.recv(65536):
            yield chunk


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
