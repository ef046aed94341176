"""Who may ask: a token for everyone where there is one, and this machine's own pages otherwise.

Without a token the interface listens on a loopback address only. That alone is not enough: a page
from anywhere, open in a browser on this machine, can send requests to 127.0.0.1. So a request must
name this machine in ``Host`` (or a foreign name that resolves to 127.0.0.1 could read everything),
and one that comes from another page, by its ``Origin``, is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OWN_NAMES = {"localhost", "127.0.0.1", "::1"}

SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address may hold the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Access:
    """Lets through who may ask; ASGI middleware. Tokens are compared in constant time."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403, or pass the request on and make its answer safe to show."""
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(Headers(scope=scope), QueryParams(scope["query_string"]))
        app = self._app if refusal is None else refusal
        await app(scope, receive, send_safely)

    def _refusal(self, headers: Headers, query: QueryParams) -> JSONResponse | None:
        if self._token is not None:
            if not _is_known(self._token, _offered(headers, query)):
                answer = {"error": "a valid token is needed: Authorization: Bearer TOKEN"}
                return JSONResponse(answer, 401, {"WWW-Authenticate": "Bearer"})
        elif _name_in(f"//{headers.get('host', '')}") not in _OWN_NAMES:
            return JSONResponse({"error": "this interface answers to 127.0.0.1 only"}, 403)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return JSONResponse({"error": "requests of another site's pages are refused"}, 403)
        return None


def _offered(headers: Headers, query: QueryParams) -> Iterable[str]:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield token.strip()
    yield from query.getlist("token")


def _is_known(token: bytes, offered: Iterable[str]) -> bool:
    return any(hmac.compare_digest(token, one.encode(errors="replace")) for one in offered)


def _name_in(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
