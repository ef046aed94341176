"""What the daemon tells systemd: ready, alive, stopping; one datagram each (``sd_notify(3)``).

Without a service manager nobody listens, and every call does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

_log = logging.getLogger(__name__)


class Notifier:
    """Speaks to the service manager that started this process. Any thread may call it."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        """Speak to ``address``: a path, ``@name`` for an abstract socket, or None for nobody.

        Args:
            address: the value of ``NOTIFY_SOCKET``.
            watchdog_s: how often a sign of life is expected at the latest; None for never.
        """
        self.watchdog_s = watchdog_s
        self._address = address
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # a service manager that is busy must not stop a frame

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Notifier:
        """What systemd asks for in the environment of a service; nothing outside of one."""
        given = os.environ if environment is None else environment
        watchdog_s = None
        if given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                watchdog_s = int(given.get("WATCHDOG_USEC", "")) / 1e6
        return cls(given.get("NOTIFY_SOCKET") or None, watchdog_s)

    def ready(self, status: str) -> None:
        """The service is up."""
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={_one_line(status)}")

    def alive(self) -> None:
        """Feed the watchdog. Only what makes progress may call this, never a timer."""
        self._send("WATCHDOG=1")

    def watch_every(self, period_s: float) -> None:
        """Expect the next sign of life within ``period_s``, and as often from now on."""
        self._send(f"WATCHDOG_USEC={int(period_s * 1e6)}")

    def extend(self, within_s: float) -> None:
        """Start or stop may take ``within_s`` longer from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    def stopping(self, status: str) -> None:
        """The service has begun to stop."""
        self._send("STOPPING=1", f"STATUS={_one_line(status)}")

    def _send(self, *lines: str) -> None:
        if self._socket is None or self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _log.debug("the service manager does not listen at %s: %s", self._address, error)


def _one_line(status: str) -> str:
    return " ".join(status.split())[:200]
