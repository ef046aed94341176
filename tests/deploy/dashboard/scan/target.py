"""The application as it is scanned: its own, with a count of what was asked of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.dashboard.api.app import PATH
from deploy.dashboard.application import create_application
from deploy.dashboard.web.app import ROUTERS
from deploy.dashboard.web.settings import WebSettings
from tests.deploy.dashboard.scan.holes import make_holes

Way = tuple[str, str]
"""Method and path of a route, with the names of its numbers."""

_PAGES = {"after", "before"}
_MOMENT = "2026-11-20T12:00:00Z"


class Asked:
    """What came in: how often, of which route, and how it was answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: Counter[tuple[str, str, int]] = Counter()
        """By method, route and status; one that was sent to the login is counted as 401."""
        self.broke: list[str] = []
        """What was answered with 500 or more, and how it was asked."""

    def note(self, scope: Scope, status: int) -> None:
        path = getattr(scope.get("route"), "path", None)
        route = "none" if path is None else f"{scope.get('root_path', '')}{path}"
        with self._lock:
            self.answers[(scope["method"], route, status)] += 1
            if status >= 500:
                query = str(scope["query_string"], "latin-1")
                self.broke.append(f"{scope['method']} {scope['path']}?{query}: {status}")

    def count(self) -> int:
        """Of all requests."""
        with self._lock:
            return sum(self.answers.values())

    def answered(self, *statuses: int) -> set[Way]:
        """The routes that gave one of these answers at least once."""
        return {(way, route) for way, route, status in self.answers if status in statuses}

    def met_by_somebody(self) -> set[Way]:
        """The routes that answered to somebody who was in."""
        return {(way, route) for way, route, status in self.answers if status != 401}


class _Noting:
    """ASGI middleware, around everything."""

    def __init__(self, app: ASGIApp, *, asked: Asked) -> None:
        self._app = app
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                where = dict(message["headers"]).get(b"location", b"")
                to_login = where.startswith(b"/login?next=")
                self._asked.note(scope, 401 if to_login else message["status"])
            await send(message)

        await self._app(scope, receive, noting)


def noted(asked: Asked, *, holes: bool = False) -> Callable[[WebSettings], FastAPI]:
    """Makes the whole application, and notes into ``asked``; ``holes``: with some in it."""

    def create(settings: WebSettings) -> FastAPI:
        app = create_application(settings)
        if holes:
            make_holes(app)
        app.add_middleware(_Noting, asked=asked)
        return app

    return create


def all_ways(openapi: Mapping[str, Any]) -> set[Way]:
    """All that can be asked; ``openapi``: the API's own document."""
    return {(method.upper(), path) for path, ways in _paths(openapi).items() for method in ways}


def document(
    openapi: Mapping[str, Any],
    numbers: Mapping[str, Mapping[str, str]],
    left_alone: Sequence[str] = (),
) -> dict[str, Any]:
    """All that can be asked, as OpenAPI: the pages' routes beside those of the API's own document.

    Scripts ask for much that no link leads to, and a crawler without scripts would miss it.
    ``numbers``: what stands in an address, by what its path contains; ``left_alone``: paths.
    """
    paths = {
        _with_numbers(path, numbers): {
            method: {**way, "parameters": _of_query(way)} for method, way in ways.items()
        }
        for path, ways in _paths(openapi).items()
        if path not in left_alone
    }
    schemas = _pages()["components"]["schemas"] | openapi["components"]["schemas"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "all", "version": "1"},
        "paths": _sendable(paths),
        "components": {"schemas": _sendable(schemas)},
    }


def _pages() -> dict[str, Any]:
    routes = [route for one in ROUTERS for route in one.routes]
    return get_openapi(title="pages", version="1", routes=routes)


def _paths(openapi: Mapping[str, Any]) -> dict[str, Any]:
    api = {f"{PATH}{path}": ways for path, ways in openapi["paths"].items()}
    return {**_pages()["paths"], **api}


def _with_numbers(path: str, numbers: Mapping[str, Mapping[str, str]]) -> str:
    for contained, known in numbers.items():
        if contained in path:
            for name, value in known.items():
                path = path.replace(f"{{{name}}}", value)
    return path


def _of_query(way: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but where a page begins: a wrong one is refused before anything else is looked at."""
    given = way.get("parameters", [])
    return [one for one in given if one["in"] == "query" and one["name"] not in _PAGES]


def _sendable(said: Any) -> Any:
    """The same, so that Wapiti sends what is taken, but for the one value that it attacks.

    It would send an empty object for what may be null, and a word for one of a few and for a time.
    """
    if isinstance(said, list):
        return [_sendable(one) for one in said]
    if not isinstance(said, dict):
        return said
    ways = [one for one in said.get("anyOf", []) if one.get("type") != "null"]
    if len(ways) == 1:
        rest = {name: value for name, value in said.items() if name != "anyOf"}
        return _sendable(rest | ways[0])
    known = {name: _sendable(one) for name, one in said.items()}
    if "enum" in known and known.get("default") is None:
        known["default"] = known["enum"][0]
    if known.get("format") == "date-time" and known.get("default") is None:
        known["default"] = _MOMENT
    return known
