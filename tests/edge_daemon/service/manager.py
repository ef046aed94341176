"""The service manager's end of the socket that a daemon speaks to."""

from __future__ import annotations

import socket
from contextlib import suppress


class Manager:
    """The end of the socket at which systemd listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """All lines since the last call; a datagram sent is there at once."""
        lines: list[str] = []
        with suppress(BlockingIOError):
            while True:
                lines += self._socket.recv(4096).decode().split("\n")
        return lines

    def close(self) -> None:
        self._socket.close()
