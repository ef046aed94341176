"""The application behind a socket, until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from deploy.dashboard.web.app import create_app
from deploy.dashboard.web.context import Parts
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.errors import ConfigError, ServiceError

_ANSWERS_FINISH_WITHIN_S = 3


class Server(uvicorn.Server):
    """uvicorn's, which lets those who watch go before it waits for answers to finish."""

    def __init__(self, app: FastAPI, settings: WebSettings) -> None:
        """Prepare; nothing is opened.

        Raises:
            ConfigError: certificate and key do not fit, or cannot be read.
        """
        self._parts: Parts = app.state.parts
        config = uvicorn.Config(
            app,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the application trusts whom it was told to
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_ANSWERS_FINISH_WITHIN_S,
        )
        try:
            config.load()
        except OSError as error:  # ssl.SSLError among them
            raise ConfigError(
                f"{settings.certificate} and {settings.key} cannot be used for TLS: "
                f"{error.strerror or error}"
            ) from None
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything."""
        self._parts.hub.end_streams()
        await super().shutdown(sockets)


def serve(
    settings: WebSettings,
    say: Callable[[str], None],
    create: Callable[[WebSettings], FastAPI] = create_app,
) -> None:
    """Serve what ``create`` makes until SIGINT or SIGTERM.

    Raises:
        LeukoError: of the settings, the database, or the address.
    """
    app = create(settings)
    listening = listen(settings.host, settings.port)
    server = Server(app, settings)
    say(f"dashboard at {url_of(settings, listening)}")
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again when it is done
        server.run(sockets=[listening])


def url_of(settings: WebSettings, listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    scheme = "https" if settings.certificate is not None else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listening.getsockname()[1]}/"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises :class:`ServiceError`: the address is taken or not ours."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServiceError(
            f"--host {host}: {error.strerror}; name an address of this machine"
        ) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ServiceError(
            f"--host {host} --port {port}: {error.strerror}; stop what listens there, or choose "
            "another port"
        ) from None
    return listening
