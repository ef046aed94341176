"""Where a server that can be made to ask somewhere would ask: on this machine, and asked by Wapiti.

Wapiti hides addresses of this place in what it sends, and asks afterwards which of them came.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Listener(ThreadingHTTPServer):
    """Keeps who came for what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.came: dict[str, dict[str, dict[str, list[dict[str, object]]]]] = {}
        """By kind and session, then by the request and the parameter that led here."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        parts = asked.path.strip("/").split("/")
        if parts[0].startswith("get_"):
            session = parse_qs(asked.query).get("session_id", [""])[0]
            kind = parts[0].removeprefix("get_").removesuffix(".php")
            with self.server.lock:
                self._answer(json.dumps(self.server.came.get(f"{kind} {session}", {})))
            return
        if parts[0] in ("ssrf", "dtd") and len(parts) >= 4:
            kind = "ssrf" if parts[0] == "ssrf" else "xxe"
            entry = {
                "url": f"{self.server.url.rstrip('/')}{self.path}",
                "date": datetime.now(timezone.utc).isoformat(),
                "ip": self.client_address[0],
                "method": "GET",
                "size": 0,
                "payload": parts[-1].partition(".")[0],
            }
            with self.server.lock:
                of_session = self.server.came.setdefault(f"{kind} {parts[1]}", {})
                of_session.setdefault(parts[2], {}).setdefault(parts[3], []).append(entry)
        self._answer("{}")

    def _answer(self, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[Listener]:
    """One that listens."""
    with Listener() as one:
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        try:
            yield one
        finally:
            one.shutdown()
            thread.join(10)
