"""The line between a device and its broker, as bad as a test wants it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Literal, TypeAlias

from typing_extensions import Self

Fault: TypeAlias = Literal["refused", "stalled", "unreachable"]

_WAITING_CONNECTIONS = 3  # more than a queue of length 0 holds: further ones are not answered


class BadLine:
    """Listens on 127.0.0.1 and passes everything on to ``port``, until told otherwise.

    * ``refused``: connections are closed, and nobody listens;
    * ``stalled``: connections stay open, new ones too, and nothing passes;
    * ``unreachable``: connections stay open and nothing passes, new ones are never answered.
    """

    def __init__(self, port: int) -> None:
        self._broker = port
        self._flows = threading.Event()
        self._flows.set()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self._port}"

    def break_down(self, fault: Fault) -> None:
        """From now on."""
        self._flows.clear()
        if fault == "stalled":
            return
        self._stop_listening()
        if fault == "refused":
            self._hang_up()
            return
        deaf = socket.create_server(("127.0.0.1", self._port), backlog=0)
        self._listener = deaf
        for _ in range(_WAITING_CONNECTIONS):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", self._port))
            self._open.append(waiting)

    def heal(self) -> None:
        """Everything passes again; what was stalled arrives late."""
        if not self._flows.is_set():
            self._stop_listening()
            self._listener = socket.create_server(("127.0.0.1", self._port))
            self._accept_in_background()
            self._flows.set()

    def __enter__(self) -> Self:
        self._accept_in_background()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop_listening()
        self._hang_up()
        self._flows.set()

    def _accept_in_background(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                device, _ = listener.accept()
                self._open.append(device)
                threading.Thread(target=self._join, args=(device,), daemon=True).start()

    def _join(self, device: socket.socket) -> None:
        self._flows.wait()
        try:
            broker = socket.create_connection(("127.0.0.1", self._broker))
        except OSError:  # the broker was killed
            _close(device)
            return
        self._open.append(broker)
        threading.Thread(target=self._pass_on, args=(device, broker), daemon=True).start()
        self._pass_on(broker, device)

    def _pass_on(self, sender: socket.socket, receiver: socket.socket) -> None:
        with suppress(OSError):
            while chunk := sender.recv(65536):
                self._flows.wait()
                receiver.sendall(chunk)
        _close(sender)
        _close(receiver)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            _close(self._listener)
            self._listener = None

    def _hang_up(self) -> None:
        ends, self._open = self._open, []
        for end in ends:
            _close(end)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
