"""A pin with a known vulnerability fails the audit, and an audit that cannot be done says so."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.house.audit import LOCKS, unreachable
from tests.house.checkout import REPOSITORY

DAEMON = REPOSITORY / "requirements" / "daemon.txt"


@contextmanager
def advisories(*vulnerable: str) -> Iterator[str]:
    """A service that speaks OSV on 127.0.0.1 and knows these vulnerable packages."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            known = {
                "id": "OSV-TEST-1",
                "published": "2026-01-01T00:00:00Z",
                "modified": "2026-01-01T00:00:00Z",
                "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": []}],
            }
            answer = json.dumps({"vulns": [known]} if name in vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audited(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.house.audit", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_a_pin_with_a_known_vulnerability_is_named_and_fails() -> None:
    with advisories("jinja2", "pydantic") as url:
        done = audited("--osv-url", url, str(DAEMON))
    assert done.returncode == 1
    assert "pydantic" in done.stdout
    assert "OSV-TEST-1" in done.stdout


def test_pins_of_which_nothing_is_known_pass() -> None:
    with advisories("jinja2") as url:
        done = audited("--osv-url", url, str(DAEMON))
    assert done.returncode == 0, done.stderr
    assert "NOT DONE" not in done.stderr


def test_a_service_that_knows_no_vulnerability_at_all_makes_no_pin_sound() -> None:
    with advisories() as url:
        done = audited("--osv-url", url, str(DAEMON))
    assert "NOT DONE" in done.stderr
    assert "nobody knows anything of jinja2" in done.stderr


def test_every_lock_is_audited() -> None:
    assert {lock.name for lock in LOCKS} == {
        "bootstrap.txt",
        "central.txt",
        "daemon.txt",
        "dev.txt",
        "headless.txt",
    }


def test_a_service_that_cannot_be_reached_is_told() -> None:
    assert "127.0.0.1" in str(unreachable("http://127.0.0.1:9/v1/query"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_a_hash_for_everything(lock: Path) -> None:
    """Without one, pip-audit and pip would take what the index gives."""
    text = lock.read_text("utf-8")
    assert text.count("==") <= text.count("--hash=sha256:")
