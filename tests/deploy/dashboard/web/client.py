"""A browser without scripts, in the process of the application: requests, answers and cookies."""

from __future__ import annotations

import asyncio
import json as text
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from typing_extensions import Self


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status_code: int
    headers: Headers
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return text.loads(self.content)


@dataclass
class Client:
    """``with Client(app) as client:``; follows no redirect."""

    app: FastAPI
    base: str = "http://127.0.0.1"
    headers: dict[str, str] = field(default_factory=lambda: {"Accept": "text/html"})
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Value and path, by name."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._life = self.app.router.lifespan_context(self.app)
        self._wait(self._life.__aenter__())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wait(self._life.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, **more: Any) -> Answer:
        return self.request("POST", path, **more)

    def request(
        self,
        method: str,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**self.headers, **(headers or {})}
        if data is not None:
            content, sent["Content-Type"] = urlencode(data).encode(), _FORM
        elif json is not None:
            content, sent["Content-Type"] = text.dumps(json).encode(), "application/json"
        base, target = urlsplit(self.base), urlsplit(path)
        kept = [
            f"{name}={value}"
            for name, (value, below) in self.cookies.items()
            if target.path.startswith(below)
        ]
        if kept:
            sent["Cookie"] = "; ".join(kept)
        sent = {"Host": base.netloc, "Content-Length": str(len(content)), **sent}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": base.scheme,
            "path": unquote(target.path),
            "raw_path": target.path.encode(),
            "query_string": target.query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()
            ],
            "client": ("127.0.0.1", 4711),
            "server": (base.hostname, base.port or 80),
        }
        answer: Answer = self._wait(self._call(scope, content))
        for line in answer.headers.getlist("set-cookie"):
            self._keep(line)
        return answer

    async def _call(self, scope: dict[str, Any], content: bytes) -> Answer:
        parts = [{"type": "http.request", "body": content, "more_body": False}]
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await asyncio.Event().wait()  # the browser stays, and sends no more
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await self.app(scope, receive, send)
        body = b"".join(one.get("body", b"") for one in said[1:])
        return Answer(said[0]["status"], Headers(raw=said[0]["headers"]), body)

    def _keep(self, line: str) -> None:
        for name, one in SimpleCookie(line).items():
            if one["max-age"] == "0":
                self.cookies.pop(name, None)
            elif not one["secure"] or self.base.startswith("https"):
                self.cookies[name] = (one.value, one["path"] or "/")


_FORM = "application/x-www-form-urlencoded"
