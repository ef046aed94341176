"""Devices, fleet, alerts and models: what stands on the pages, and that nobody meets a barrier."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from deploy.dashboard.alerts.watch import Watch
from deploy.dashboard.database.opening import Database
from deploy.dashboard.rollouts import rollouts
from deploy.dashboard.web.previews import Place, Previews
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import ConfigError
from tests.deploy.dashboard.fleet_day import CANDIDATE, fill_fleet, listens
from tests.deploy.dashboard.fleet_files import entries, make_registry, make_rollout
from tests.deploy.dashboard.web.browser import WITHIN_MS, SignIn
from tests.deploy.dashboard.web.client import Answer, Client
from tests.deploy.dashboard.web.conftest import opened
from tests.deploy.dashboard.web.test_access import sign_in as enter_as
from tests.deploy.dashboard.web.test_browser import faults

expect.set_options(timeout=WITHIN_MS)
PATHS = (
    "/devices", "/devices/1", "/devices/3", "/fleet", "/alerts", "/alerts/1", "/models",
    f"/models/slides/1?candidate={CANDIDATE}",
)  # fmt: skip
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


@pytest.fixture(scope="session")
def fleet_day(day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The day, and what its devices said of themselves, with alerts raised."""
    file = Path(shutil.copy(day, tmp_path_factory.mktemp("fleet") / "day.db"))
    with Database(file) as database:
        fill_fleet(database, utc_now())
        Watch(database, name="then").round()
    return file


@pytest.fixture
def filled(fleet_day: Path, tmp_path: Path) -> Path:
    """A copy of it, listened to now."""
    file = Path(shutil.copy(fleet_day, tmp_path / "dashboard.db"))
    with Database(file) as database:
        listens(database, utc_now())
    return file


@pytest.fixture
def settings(filled: Path, tmp_path: Path) -> WebSettings:
    """With a registry, and a rollout that a gate stopped."""
    make_registry(tmp_path / "registry.db", utc_now())
    make_rollout(tmp_path / "rollouts" / "one")
    return WebSettings(
        str(filled), port=0, registry=tmp_path / "registry.db", rollouts=tmp_path / "rollouts"
    )


@pytest.fixture
def text(client: Client) -> Callable[[str], str]:
    """A page as lena sees it."""
    enter_as(client, "lena")

    def get(path: str) -> str:
        answer = client.get(path)
        assert answer.status_code == 200, path
        return answer.text

    return get


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_is_found(sign_in: SignIn, scheme: str) -> None:
    page = sign_in("rosa", "/devices", color_scheme=scheme)
    for path in PATHS:
        page.goto(f"{sign_in.url}{path}")
        page.wait_for_selector('#live[data-state="on"]')
        assert faults(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert sign_in.said == []
    assert sign_in.foreign() == set()


@pytest.mark.parametrize("width", [820, 1366, 1920])
def test_no_page_scrolls_sideways(sign_in: SignIn, width: int) -> None:
    page = sign_in("lena", "/devices", viewport={"width": width, "height": 900})
    for path in PATHS:
        page.goto(f"{sign_in.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_devices_that_need_somebody_come_first(text: Callable[[str], str]) -> None:
    page = text("/devices")
    places = [page.index(f">{name}</a>") for name in ("scope-5", "scope-2", "scope-1")]
    assert places == sorted(places)
    assert "the lamp flickers" in page
    assert ">scope-1</a>" not in text("/devices?standing=degraded")
    assert ">scope-1</a>" not in text("/devices?site=south&part=true")


def test_a_device_is_shown_in_full(text: Callable[[str], str]) -> None:
    page = text("/devices/2")
    for said in (
        "It says: the lamp flickers",
        "Held back: too hot: the GPU is held back",
        "the classifier was busy",
        "1.4 GB of disk are free",
        "Hottest sensor",
        "33.6",  # milliseconds of a stage
        "Passed",
        '<dt>Detector</dt><dd>int8 <small class="inline">tensorrt:Orin</small></dd>',
    ):
        assert said in page, said
    assert "The live picture of this device is not shown here" in page


def test_how_orders_stand_is_told_of_models_and_daemon(text: Callable[[str], str]) -> None:
    page = " ".join(text("/devices/3").split())
    assert "Models: <b>leukoedge-0.7.0</b>" in page
    assert "Daemon: <b>leukoedge 1.1.0</b>" in page
    assert "failed; 1.0.0 in use" in page
    assert "1.1.0 did not answer within 120 s" in page
    assert "None that it has told" in text("/devices/1")


def test_a_device_that_is_not_there_is_said(client: Client) -> None:
    enter_as(client, "lena")
    assert client.get("/devices/99").status_code == 404
    assert client.get("/devices/99/picture").status_code == 404
    assert client.get("/alerts/99").status_code == 404
    assert client.get("/models/slides/1?candidate=none").status_code == 404


def test_the_fleet_shows_what_shall_run_and_what_a_gate_stopped(text: Callable[[str], str]) -> None:
    page = text("/fleet")
    assert "2 devices</b> of 4 not as they should be" in page
    assert "was never heard" in page
    assert "Gate errors at north/scope-2: errors are 4.1 % of frames" in page
    assert "under way" in page


def test_without_a_registry_and_rollouts_the_fleet_says_so(filled: Path) -> None:
    with opened(WebSettings(str(filled), port=0)) as client:
        enter_as(client, "lena")
        page = client.get("/fleet").text
    assert "No registry of devices is configured" in page
    assert "No folder of rollouts is configured" in page


def test_a_registry_that_is_gone_is_said(settings: WebSettings, tmp_path: Path) -> None:
    with opened(replace(settings, registry=tmp_path / "gone.db")) as client:
        enter_as(client, "lena")
        assert 'role="alert"' in client.get("/fleet").text


def test_models_are_counted_and_compared(text: Callable[[str], str], client: Client) -> None:
    page = text("/models")
    assert "leukoedge-0.8.0" in page
    assert "91.4\u202f%" in page
    page = text(f"/models/slides/1?candidate={CANDIDATE}")
    assert "139 of 152 alike" in page
    assert page.count("/models/slides/1/pictures/") == 6
    assert picture_of(client, 0).content.startswith(b"\xff\xd8")
    assert picture_of(client, 6).status_code == 404


def picture_of(client: Client, place: int) -> Answer:
    return client.get(f"/models/slides/1/pictures/{place}?candidate={CANDIDATE}")


class Daemon:
    """What a daemon's HTTP interface answers to ``/preview.jpg``; the rest of it is elsewhere."""

    def __init__(self, body: bytes = JPEG, status: int = 200) -> None:
        self.asked: list[tuple[str, str | None]] = []
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                daemon.asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def daemon() -> Generator[Daemon, None, None]:
    one = Daemon()
    yield one
    one.close()


def test_a_picture_is_fetched_by_the_server_where_a_site_allows_it(
    settings: WebSettings, daemon: Daemon, tmp_path: Path
) -> None:
    file = tmp_path / "previews.toml"
    file.write_text(
        f'[devices."north/scope-1"]\nurl = "{daemon.url}"\ntoken = "sixteen-letters-and-more"\n'
    )
    with opened(replace(settings, previews=file)) as client:
        assert client.get("/devices/1/picture").status_code == 303  # not to nobody
        enter_as(client, "vera")
        page = client.get("/devices/1").text
        assert 'src="/devices/1/picture"' in page
        assert daemon.url not in page
        assert "sixteen-letters" not in page
        answers = [client.get("/devices/1/picture") for _ in range(3)]
        assert client.get("/devices/2/picture").status_code == 404
    assert {one.content for one in answers} == {JPEG}
    assert answers[0].headers["content-type"] == "image/jpeg"
    assert daemon.asked == [("/preview.jpg", "Bearer sixteen-letters-and-more")]  # once a second


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"<html>", 200, "no picture"),
        (JPEG, 302, "answered 302"),
        (b"", 404, "no frame"),
        (b"", 401, "token"),
        (b"\xff\xd8" + bytes(5_000_000), 200, "no picture"),
    ],
)
def test_what_is_no_picture_is_not_passed_on(body: bytes, status: int, line: str) -> None:
    daemon = Daemon(body, status)
    found = Previews({"a/b": Place(url=daemon.url, token=SecretStr("x"))}).picture("a/b")
    daemon.close()
    assert found.jpeg is None
    assert line in (found.line or "")
    assert len(daemon.asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        "nonsense",
        '[devices."a/b"]\nurl = "file:///etc/passwd"',
        '[devices."a/b"]\nurl = "http://user:word@host"',
        '[devices."a/b"]\nurl = "http://host/path"',
        '[devices."a/b"]\nurl = "http://host"\nother = 1',
    ],
)
def test_a_file_of_previews_that_is_wrong_is_refused(said: str, tmp_path: Path) -> None:
    file = tmp_path / "previews.toml"
    file.write_text(said)
    with pytest.raises(ConfigError, match="previews"):
        Previews.from_file(file)


def test_a_rollout_is_followed_through_its_journal(tmp_path: Path) -> None:
    said = entries()
    resumed: list[dict[str, Any]] = [{"kind": "resumed", "by": "lena"}]
    unknown: list[dict[str, Any]] = [{"kind": "of a later version"}]
    make_rollout(tmp_path / "a", said[:3])
    make_rollout(tmp_path / "b", said + resumed + unknown)
    make_rollout(tmp_path / "c", [*said, {"kind": "undoing", "why": "lena said so"}])
    make_rollout(tmp_path / "d", [*said, {"kind": "ended", "how": "undone", "late": []}])
    states = {one.folder: one.state for one in rollouts(tmp_path)}
    assert states == {"a": "running", "b": "running", "c": "undoing", "d": "undone"}
    (first,) = (one for one in rollouts(tmp_path) if one.folder == "a")
    assert [wave.state for wave in first.waves] == ["under way", "to come", "to come"]
    assert first.waves[0].devices == (("north/scope-1", "well"),)


def test_a_candidate_that_was_taken_back_looks_on_until_it_said_otherwise(tmp_path: Path) -> None:
    def ordered(purpose: str) -> dict[str, Any]:
        orders = {"north/scope-1": {"id": "a" * 32}}
        return {"kind": "ordered", "wave": 0, "purpose": purpose, "orders": orders}

    said = [entries()[0], ordered("candidate"), ordered("withdraw")]
    answered = {"kind": "answered", "purpose": "withdraw", "good": ["north/scope-1"], "failed": {}}
    make_rollout(tmp_path / "a", said)
    make_rollout(tmp_path / "b", [*said, answered])
    words = {one.folder: one.waves[0].devices[0][1] for one in rollouts(tmp_path)}
    assert words == {"a": "ordered", "b": "kept what it had"}


def test_a_journal_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    file = make_rollout(tmp_path / "a")
    file.write_bytes(file.read_bytes().replace(b"4.1 %", b"0.1 %"))
    (one,) = rollouts(tmp_path)
    assert one.state == "unreadable"
    assert "0.1 %" not in str(one)


def test_a_line_that_was_cut_off_was_never_acted_upon(tmp_path: Path) -> None:
    file = make_rollout(tmp_path / "a")
    file.write_bytes(file.read_bytes()[:-20])
    (one,) = rollouts(tmp_path)
    assert one.state == "running"
    assert rollouts(tmp_path / "a")[0].name == "leukoedge-0.8"
    assert rollouts(tmp_path / "none")[0].state == "unreadable"
