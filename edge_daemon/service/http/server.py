"""The HTTP interface as a part of the daemon: a context manager with a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import uvicorn
from typing_extensions import Self

from edge_daemon.errors import ServiceError
from edge_daemon.http_settings import HttpSettings
from edge_daemon.service.http.app import make_app
from edge_daemon.service.http.commands import Commands
from edge_daemon.service.http.preview import Preview
from edge_daemon.service.metrics import DeviceMetrics
from edge_daemon.service.view import DeviceView, Execute

STOP_WITHIN_S = 2.0
_ANSWERS_FINISH_WITHIN_S = 1
"""What is being answered may go on for so long; streams end by themselves before."""
_START_WITHIN_S = 30.0
_MOST_CONNECTIONS = 64

_log = logging.getLogger(__name__)


class HttpServer:
    """Shows a device over HTTP from entry to exit."""

    def __init__(
        self,
        settings: HttpSettings,
        view: DeviceView,
        *,
        site: str,
        device: str,
        metrics: DeviceMetrics | None = None,
        execute: Execute | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to show ``view``; nothing is opened before entry.

        Args:
            settings: where to listen and who may ask.
            view: what is shown.
            site: of the device, for the commands that come in here.
            device: its name.
            metrics: what ``/metrics`` says.
            execute: carries out commands; without it every command is refused.
            clock: seconds, monotonic; the one that the view's frames are dated by.
        """
        self._settings = settings
        token = None if settings.token is None else settings.token.get_secret_value()
        self.preview = Preview(view, lambda: self._server.should_exit, clock)
        app = make_app(view, self.preview, Commands(site, device, execute), metrics, token)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,  # an address may hold a token
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_ANSWERS_FINISH_WITHIN_S,
            )
        )
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without the token."""
        if self._socket is None:
            raise RuntimeError("the HTTP interface is not open")
        port = self._socket.getsockname()[1]
        host = self._settings.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def __enter__(self) -> Self:
        """Listen, and answer from a thread of its own.

        Raises:
            ServiceError: the address is taken, not this machine's, or not allowed.
        """
        self._socket = _listen(self._settings.host, self._settings.port)
        self._thread.start()
        _log.info("http interface at %s", self.url)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_WITHIN_S)
        if self._thread.is_alive():  # a thread that ends with the process holds nothing up
            self._server.force_exit = True
            _log.warning("the http interface did not stop within %g s", STOP_WITHIN_S)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        try:
            assert self._socket is not None  # noqa: S101 - opened before the thread starts
            asyncio.run(self._server.serve(sockets=[self._socket]))
        except Exception:  # noqa: BLE001 - the daemon screens on without it, and says so
            _log.exception("the http interface has failed")


def _listen(host: str, port: int) -> socket.socket:
    where = f"http.host {host!r}, http.port {port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServiceError(f"{where}: {error.strerror}; name an address of this machine") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ServiceError(
            f"{where}: {error.strerror}; stop what listens there, or choose another port"
        ) from None
    return listening
