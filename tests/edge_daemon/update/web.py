"""A web server of plain files on 127.0.0.1, that can be as bad as servers and lines are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Web:
    """What it serves, and how; may be changed while it runs."""

    folder: Path
    url: str = ""
    knows_ranges: bool = True
    breaks_after: int | None = None
    """Bytes of a target, then the line is gone."""
    endless: str | None = None
    """A file of this name never ends."""
    says_length: bool = True
    status: HTTPStatus | None = None
    """In answer to everything."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of every request."""

    def ranges_of(self, suffix: str) -> list[str | None]:
        return [asked for path, asked in self.asked if path.endswith(suffix)]


@contextmanager
def served(folder: Path) -> Iterator[Web]:
    web = Web(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, web)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}/fleet"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, web: Web) -> None:
    wanted = handler.headers.get("Range")
    web.asked.append((handler.path, wanted))
    file = web.folder / unquote(handler.path.removeprefix("/fleet/"))
    if web.status is not None or not file.is_file():
        handler.send_response(web.status or HTTPStatus.NOT_FOUND)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.close_connection = True
    if file.name == web.endless:
        _never_end(handler)
        return
    content = file.read_bytes()
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
    if start and web.knows_ranges:
        handler.send_response(HTTPStatus.PARTIAL_CONTENT)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        content = content[start:]
    else:
        handler.send_response(HTTPStatus.OK)
    if web.says_length:
        handler.send_header("Content-Length", str(len(content)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    if web.breaks_after is not None and "/targets/" in handler.path:
        content = content[: web.breaks_after]
    handler.wfile.write(content)


def _never_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(HTTPStatus.OK)
    handler.send_header("Connection", "close")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:  # the client has had enough
        return
