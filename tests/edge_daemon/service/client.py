"""A plain HTTP client, as curl would be one: it follows nothing and hides nothing."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import Self

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str,
    path: str,
    method: str = "GET",
    body: Any = None,
    headers: dict[str, str] | None = None,
    *,
    chunked: bool = False,
) -> Answer:
    """One request and its whole answer."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read())
    finally:
        connection.close()


class Watcher:
    """Somebody who watches the preview: reads parts of the stream until closed."""

    def __init__(self, url: str, path: str = "/preview") -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection(
            (where.hostname or "", where.port or 80), timeout=PATIENCE_S
        )
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        self._response = http.client.HTTPResponse(self._socket)

    def __enter__(self) -> Self:
        self._response.begin()
        assert self._response.readline() == b"--leukoedge-frame\r\n"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._response.close()
        self._socket.close()

    @property
    def kind(self) -> str:
        return self._response.headers["content-type"]

    def picture(self) -> bytes:
        """The next picture of the stream, whole: its end is there before the next one begins."""
        length = 0
        while (line := self._response.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        picture = self._response.read(length)
        assert self._response.read(2) == b"\r\n"
        assert self._response.readline() == b"--leukoedge-frame\r\n"
        return picture
