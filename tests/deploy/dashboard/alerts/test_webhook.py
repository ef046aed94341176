"""A real receiver on this machine that fails first: nothing is lost, all in order, all signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from deploy.dashboard.alerts import outbox as outbox_module
from deploy.dashboard.alerts.options import settings_of
from deploy.dashboard.alerts.outbox import MOST_REFUSALS, NotTakenError, Outbox
from deploy.dashboard.alerts.watching import Watching, WatchSettings
from deploy.dashboard.alerts.webhook import Webhook, WebhookSettings
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import alert_channels
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import ConfigError
from tests.deploy.dashboard.alerts.conftest import QUICK, Fleet
from tests.deploy.dashboard.fleet_day import Voice, enter, listens

KEY = bytes(range(32))
SECRET = SecretStr("whsec_" + base64.b64encode(KEY).decode())
WITHIN_S = 30.0


class Receiver:
    """Answers as it is told: each answer once, the last one for ever."""

    def __init__(self) -> None:
        self.answers = [200]
        self.heard: list[tuple[dict[str, str], bytes, int]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers = receiver.answers
                status = answers.pop(0) if len(answers) > 1 else answers[0]
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.heard.append((headers, body, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.settings = WebhookSettings(
            f"http://127.0.0.1:{self._server.server_port}/alerts/secret-path", SECRET
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def taken(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body, status in self.heard if status == 200]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Generator[Receiver, None, None]:
    one = Receiver()
    yield one
    one.close()


def wait_for(so: Callable[[], object]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not so():
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.02)


def test_events_are_told_in_order_by_a_receiver_that_fails_first(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_WAIT_S", 0.1)
    receiver.answers = [503, 500, 200]
    listens(database, utc_now())
    voice = Voice("lab", "scope-1")
    enter(database, (voice.status(utc_now()), utc_now()))
    with Watching(database, WatchSettings((receiver.settings,), None, QUICK)) as watching:
        wait_for(lambda: watching.watch.leads)
        with database.reading() as connection:
            wait_for(lambda: connection.scalar(select(alert_channels.c.name)) or True)
        wait_for(lambda: _known(database))
        enter(database, (voice.status(utc_now(), "offline", "connection lost"), utc_now()))
        wait_for(lambda: receiver.taken)
        enter(database, (voice.status(utc_now()), utc_now()))
        wait_for(lambda: len(receiver.taken) == 2)
    assert [one["event"] for one in receiver.taken] == ["raised", "cleared"]
    ids = [headers["webhook-id"] for headers, _, _ in receiver.heard]
    assert len(set(ids[:3])) == 1  # the same event, told again
    assert ids[3] != ids[0]
    for headers, body, _ in receiver.heard:
        said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(KEY, said, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert headers["content-type"] == "application/json"


def _known(database: Database) -> bool:
    with database.reading() as connection:
        return connection.scalar(select(alert_channels.c.name)) is not None


def raise_two(fleet: Fleet) -> None:
    fleet.pass_time(minutes=20)
    fleet.watch().round()
    assert len(fleet.open) == 2


def test_what_the_other_side_will_never_take_does_not_hold_up_the_rest(
    fleet: Fleet, receiver: Receiver
) -> None:
    outbox = Outbox(fleet.database, receiver.settings.name)
    outbox.begin()
    raise_two(fleet)
    receiver.answers = [422] * MOST_REFUSALS + [200]
    webhook = Webhook(receiver.settings)
    given_up = False
    for _ in range(MOST_REFUSALS):
        fleet.pass_time(minutes=30)
        due = outbox.due(fleet.now)
        assert due is not None
        with pytest.raises(NotTakenError, match="answered 422") as refused:
            webhook.tell(due, fleet.now)
        given_up = outbox.not_taken(due, refused.value, fleet.now)
    assert given_up
    rest = outbox.due(fleet.now)
    assert rest is not None
    webhook.tell(rest, fleet.now)
    outbox.taken(rest, fleet.now)
    assert outbox.due(fleet.now) is None
    webhook.close()


def test_a_receiver_that_is_away_is_tried_less_and_less_often(fleet: Fleet) -> None:
    outbox = Outbox(fleet.database, "webhook x")
    outbox.begin()
    raise_two(fleet)
    waits = []
    for _ in range(8):
        due = outbox.due(fleet.now)
        assert due is not None
        assert not outbox.not_taken(due, NotTakenError("nothing listens there"), fleet.now)
        waited = 0
        while outbox.due(fleet.now) is None:
            fleet.pass_time(seconds=1)
            waited += 1
        waits.append(waited)
    assert waits[-1] > 8 * waits[0]
    assert waits[-1] <= outbox_module.LONGEST_WAIT_S
    fleet.pass_time(days=4)
    due = outbox.due(fleet.now)
    assert due is not None
    assert outbox.not_taken(due, NotTakenError("nothing listens there"), fleet.now)


def test_a_channel_that_is_new_is_told_from_now_on(fleet: Fleet) -> None:
    raise_two(fleet)
    outbox = Outbox(fleet.database, "webhook x")
    outbox.begin()
    assert outbox.due(fleet.now) is None
    fleet.say(fleet.voices["scope-1"].health(fleet.now))
    fleet.watch().round()
    due = outbox.due(fleet.now)
    assert due is not None
    Outbox(fleet.database, "webhook x").begin()  # known already: nothing is skipped
    assert outbox.due(fleet.now) == due


def test_a_redirect_is_not_followed(fleet: Fleet, receiver: Receiver) -> None:
    outbox = Outbox(fleet.database, "webhook x")
    outbox.begin()
    raise_two(fleet)
    receiver.answers = [302]
    due = outbox.due(fleet.now)
    assert due is not None
    with pytest.raises(NotTakenError, match="answered 302"):
        Webhook(receiver.settings).tell(due, fleet.now)
    assert len(receiver.heard) == 1


def test_the_name_of_a_channel_holds_no_secret(receiver: Receiver) -> None:
    assert "secret-path" not in receiver.settings.name
    assert "127.0.0.1" in receiver.settings.name


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://lis.example/alerts", "in the clear"),
        ("ftp://lis.example/alerts", "is none"),
        ("https://user:password@lis.example/", "holds a password"),
        ("https://", "is none"),
    ],
)
def test_an_address_that_would_give_something_away_is_refused(url: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        WebhookSettings(url, SECRET).check()


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "plain words", "whsec_###"])
def test_a_weak_secret_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="openssl rand"):
        WebhookSettings("https://lis.example/", SecretStr(secret)).check()


def test_a_webhook_without_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEUKO_WEBHOOK_SECRET", raising=False)
    with pytest.raises(ConfigError, match="--webhook-secret"):
        settings_of(["https://lis.example/"], None, None, None)
