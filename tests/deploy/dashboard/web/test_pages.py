"""Every page on both databases, whatever is asked; the stream of changes; the program itself."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from deploy.dashboard.access import users
from deploy.dashboard.changes import Change, announce
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import sessions
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.filled import DAY, fill
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.deploy.dashboard.web.client import Client
from tests.deploy.dashboard.web.conftest import opened, serving
from tests.deploy.dashboard.web.test_access import csrf, sign_in, ways
from tests.soak import repeated

PLAN = replace(DAY[3], fields=12, missing=(5, 6, 9), pictures=False)
WITHIN_S = 30


@pytest.fixture
def both(database: Database, place: str) -> Generator[Client, None, None]:
    """A lead at a small database of each kind."""
    fill(database, utc_now(), (PLAN,))
    with database.writing() as connection:
        users.add(connection, "lena", "lead", PASSWORD)
    with opened(WebSettings(place)) as client:
        sign_in(client, "lena")
        yield client


def test_every_page_is_shown_from_both_databases(both: Client) -> None:
    assert PLAN.name in both.get("/worklist?site=south&state=complete&show=unreviewed").text
    page = both.get("/slides/1").text
    assert "3 frames did not arrive" in page
    assert both.get("/slides/1/points").json()[-1]["cells"] > 0
    found = both.get("/slides/1/cells").json()
    assert (found["after"], len(found["rows"]) > 10) == (None, True)

    unique_id = found["rows"][0][0]
    path = f"/slides/1/cells/{unique_id}"
    made = both.post(f"{path}/decision", json={"label": "normal"}, headers=csrf(both))
    assert made.json() == {"decided": [unique_id, "normal", "lena"]}
    news = both.get("/slides/1/news?since=0").json()
    assert news["decided"] == [[unique_id, "normal", "lena"]]
    assert both.get(path).json()["decisions"][0]["did"] == "changed"
    body = {"conclusion": "negative", "comment": "x\0y", **news["seen"]}
    assert both.post("/slides/1/signature", json=body, headers=csrf(both)).status_code == 200
    assert re.search(r"<b>Negative</b>, unlike the model", both.get("/worklist").text)
    assert "the model says: " in both.get("/slides/1").text
    assert "The chains hold" in both.get("/audit").text
    assert "sign in" in both.get("/audit?chain=access").text


ODD = ("0", "1", "-1", "99999999999999999999", "x", "%00", "1e9", "ü", "../1", "")


@given(data=st.data())
@settings(max_examples=repeated(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_is_answered(both: Client, data: st.DataObject) -> None:
    """No address, query or body makes the server fail."""
    method, path = data.draw(st.sampled_from(ways()))
    if path in ("/logout", "/events"):
        return
    odd = st.one_of(st.sampled_from(ODD), st.text("abc123%&=\0/", max_size=9).map(quoted))
    path = re.sub(r"(?<=/)1(?=/|$)", lambda _: data.draw(odd), path)
    names = ("site", "after", "since", "before", "user", "show", "state", "chain", "next")
    query = "&".join(
        f"{name}={data.draw(odd)}" for name in data.draw(st.sets(st.sampled_from(names)))
    )
    more = {}
    if method == "POST":
        json = st.recursive(
            st.one_of(st.none(), st.integers(), st.text(max_size=5), st.just("blast")),
            lambda inner: st.dictionaries(
                st.sampled_from(["label", "reason", "unique_id", "conclusion", "comment"]), inner
            ),
            max_leaves=5,
        )
        more = {"json": data.draw(json)}
    answer = both.request(
        method, f"{path}?{query}", headers=TOKEN.setdefault(id(both), csrf(both)), **more
    )
    assert answer.status_code < 500, answer.text


TOKEN: dict[int, dict[str, str]] = {}


def quoted(text: str) -> str:
    return urllib.request.quote(text, safe="%&=")


class Listener:
    """A page that is open: what it was told, line by line."""

    def __init__(self, url: str, cookie: str, context: ssl.SSLContext | None = None) -> None:
        request = urllib.request.Request(url, headers={"Cookie": cookie})  # noqa: S310
        self._answer = urllib.request.urlopen(request, timeout=WITHIN_S, context=context)  # noqa: S310

    def until(self, word: str) -> str:
        """The line that says it; empty when the stream ended before."""
        for line in self._answer:
            if word.encode() in line:
                return str(line.decode())
        return ""


def cookie_of(url: str, context: ssl.SSLContext | None = None) -> str:
    """Come in over the network as a program, and keep what a browser would hold."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_arguments: object) -> None:
            return None

    handlers: list[urllib.request.BaseHandler] = [Stay()]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    page = opener.open(f"{url}/login", timeout=WITHIN_S)
    token = re.search(r'name="csrf" value="([^"]+)"', page.read().decode())
    assert token is not None
    held = SimpleCookie(page.headers["set-cookie"])
    form = urllib.parse.urlencode({"name": "lena", "password": PASSWORD, "csrf": token[1]})
    request = urllib.request.Request(  # noqa: S310
        f"{url}/login",
        form.encode(),
        {"Cookie": "; ".join(f"{name}={one.value}" for name, one in held.items())},
    )
    with pytest.raises(urllib.error.HTTPError) as answer:
        opener.open(request, timeout=WITHIN_S)
    assert answer.value.code == 303
    found = SimpleCookie(answer.value.headers.get_all("set-cookie")[0])
    return "; ".join(f"{name}={one.value}" for name, one in found.items())


def test_an_open_page_is_told_what_is_committed(database: Database, place: str) -> None:
    with database.writing() as connection:
        users.add(connection, "lena", "lead", PASSWORD)
    with serving(WebSettings(place, port=0)) as url:
        cookie = cookie_of(url)
        every, one = Listener(f"{url}/events", cookie), Listener(f"{url}/events?slide=7", cookie)
        assert every.until("open")
        assert one.until("open")
        for key in (8, 7):
            with database.writing() as connection:
                announce(connection, [Change("slide", key)])
        assert every.until('["slide", 8]')
        assert '["slide", 8]' not in one.until('["slide", 7]')


def test_a_stream_ends_with_its_session(settings: WebSettings, filled: Path) -> None:
    with serving(settings) as url:
        listener = Listener(f"{url}/events", cookie_of(url))
        assert listener.until("open")
        with Database(filled) as database, database.writing() as connection:
            connection.execute(delete(sessions))
        assert listener.until("event: over")


def test_the_program_serves_over_tls_and_ends_when_told(filled: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    program = "import sys; from deploy.cli import main; sys.argv[0] = 'leuko-deploy'; main()"
    with subprocess.Popen(
        [
            *(sys.executable, "-c", program, "dashboard", "serve", "--database", str(filled)),
            *("--port", "0", "--certificate", str(certificate), "--key", str(key)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
    ) as process:
        guard = threading.Timer(3 * WITHIN_S, process.kill)
        guard.start()
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("dashboard at ").strip().rstrip("/")
        assert url.startswith("https://127.0.0.1:")
        cookie = cookie_of(url, trusting)
        assert cookie.startswith("__Host-leuko=")
        listener = Listener(f"{url}/events", cookie, trusting)
        assert listener.until("open")

        process.send_signal(signal.SIGTERM)

        assert listener.until("never said") == ""
        assert process.wait(WITHIN_S) in (0, -signal.SIGTERM)
        guard.cancel()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["serve", "--host", "0.0.0.0"], "in the clear"),  # noqa: S104
        (["serve", "--second-reader", "sometimes"], "optional, positive, always"),
        (["serve", "--database", "nowhere.db"], "dashboard migrate"),
        (["verify", "--public-key", "x.pem"], "give --anchor too"),
        (["verify", "--anchor", "nowhere.json"], "cannot be read"),
    ],
)
def test_bad_input_gets_one_line(
    filled: Path, tmp_path: Path, arguments: list[str], word: str
) -> None:
    program = "from deploy.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "dashboard", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LEUKO_DATABASE": str(filled),
        },
    )
    assert done.returncode > 0
    assert done.stderr.count("\n") == 1, done.stderr
    assert word in done.stderr
