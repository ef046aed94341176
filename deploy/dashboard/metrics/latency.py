"""How long requests take until their answer begins, by route; ASGI middleware."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Latency:
    """Counts every request, except that an unknown address makes no label of its own."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        self._app = app
        self._took = Histogram(
            "leuko_dashboard_request_seconds",
            "From a request to the beginning of its answer",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and note when the answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                labels = (_method(scope), _route(scope), str(message["status"]))
                self._took.labels(*labels).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, noting)


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


def _route(scope: Scope) -> str:
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        return "other"
    below = scope.get("root_path", "")
    return f"{below}{path}"
