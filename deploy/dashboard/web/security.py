"""What every answer carries, and what no request may bring: pure ASGI, around everything.

The policy allows what this program serves itself and nothing else: no inline script or style, no
frame, no plug-in, no other host. So a page works in a network without a way out, and text that
came from a device can never become code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # pictures of cells, which come many in one answer
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
LARGEST_BODY = 64 * 1024
"""Bytes of a request: a comment is the longest thing anybody sends."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_TLS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}


_log = logging.getLogger(__name__)


class Security:
    """Sets the headers, cuts off bodies that are too large, shows no traceback; ASGI middleware."""

    def __init__(
        self, app: ASGIApp, *, secure: bool, failed: Callable[[Request], Response]
    ) -> None:
        """``failed``: what is said when the application broke."""
        self._app = app
        self._failed = failed
        self._headers = HEADERS | (_TLS_ONLY if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and make its answer safe to show."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        taken = 0

        async def receive_some() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY:
                raise HTTPException(413, "this is larger than anything a page sends")
            return message

        try:
            await self._app(scope, receive_some, send_safely)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if begun:
                raise
            await self._failed(Request(scope))(scope, receive, send_safely)
