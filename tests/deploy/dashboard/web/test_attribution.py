"""What moved the verdict, as pages offer it: who may ask, and what is said where none is."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from deploy.dashboard.access import users
from deploy.dashboard.attribution import desk as desks
from deploy.dashboard.attribution.computed import Attribution, attribution
from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.web import app
from deploy.dashboard.web.attribution import said_of
from deploy.dashboard.web.context import Parts
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.errors import ConfigError
from edge_daemon.sources.base import Frame
from edge_daemon.sources.simulated import open_simulated
from tests.deploy.dashboard.judged import SHIPPED, enter_slide
from tests.deploy.dashboard.web.browser import PASSWORD, WITHIN_MS, SignIn
from tests.deploy.dashboard.web.conftest import opened, serving
from tests.deploy.dashboard.web.test_access import csrf
from tests.deploy.dashboard.web.test_access import sign_in as come_in
from tests.deploy.dashboard.web.test_browser import faults
from tests.edge_daemon.scenes import LENIENT, frame
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

expect.set_options(timeout=WITHIN_MS)
COMPUTED_WITHIN_MS = 180_000
"""It steps back behind everything else that runs, other tests among it."""


def begin(file: Path) -> Database:
    database = Database(file)
    migrate(database)
    with database.writing() as connection:
        for name, role in {"vera": "viewer", "rosa": "reviewer"}.items():
            users.add(connection, name, role, PASSWORD, name.title())
    return database


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def tiny(bundle: Path, tmp_path: Path) -> WebSettings:
    """One slide of two cells, both blasts, judged by the tiny bundle, which lies at hand."""
    with begin(tmp_path / "dashboard.db") as database:
        enter_slide(database, [frame(0, white=2)], bundle, tmp_path, quality=LENIENT)
    return WebSettings(str(tmp_path / "dashboard.db"), port=0, bundles=(bundle.parent,))


def changed(settings: WebSettings, statement: str, *values: object) -> None:
    with sqlite3.connect(settings.database) as file:
        assert file.execute(statement, values).rowcount > 0


def ask(settings: WebSettings, path: str = "/slides/1/cells/0/attribution"):
    with opened(settings) as client:
        come_in(client, "vera")
        return client.get(path, headers={"Accept": "application/json"})


def test_whoever_may_see_the_cell_may_see_what_moved_its_verdict(tiny: WebSettings) -> None:
    with opened(tiny) as client:
        for name in ("attribution", "attribution.jpg"):
            assert client.get(f"/slides/1/cells/0/{name}").status_code == 303, "nobody is in"
        come_in(client, "vera")
        said = client.get("/slides/1/cells/0/attribution").json()
        picture = client.get(said["picture"])

    assert "the device said" in said["figures"]
    assert said["by"].startswith("tiny-0.1.0 on ")
    assert said["warning"] is None, "computed here it is what the device said"
    assert picture.headers["content-type"] == "image/jpeg"
    assert "private" in picture.headers["cache-control"]
    drawn = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
    assert max(drawn.shape) == 420


def test_without_bundles_nothing_is_offered_and_the_page_does_not_ask(tiny: WebSettings) -> None:
    without = replace(tiny, bundles=())
    answer = ask(without)

    assert answer.status_code == 404
    assert "started without --bundles" in answer.json()["error"]
    with opened(without) as client:
        come_in(client, "vera")
        page = client.get("/slides/1").text
    assert 'data-attribution="no"' in page
    assert "What moved the verdict" not in page


def test_a_missing_bundle_is_named_with_what_to_do(tiny: WebSettings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = ask(replace(tiny, bundles=(tmp_path / "empty",)))

    assert answer.status_code == 409
    assert (
        "is not on this server: copy it into a folder that --bundles names"
        in (answer.json()["error"])
    )


def test_the_bundle_is_called_by_its_name_where_a_message_told_it(
    tiny: WebSettings, tmp_path: Path
) -> None:
    changed(tiny, "UPDATE bundles SET name = 'tiny-0.1.0'")
    (tmp_path / "empty").mkdir()

    assert (
        "the bundle tiny-0.1.0 (sha256:"
        in (ask(replace(tiny, bundles=(tmp_path / "empty",))).json()["error"])
    )


def test_another_bundle_of_that_name_is_not_asked_in_its_place(
    tiny: WebSettings, tmp_path: Path
) -> None:
    changed(tiny, "UPDATE bundles SET name = 'tiny-0.1.0'")
    other = write_tiny_bundle(tmp_path / "other", novelty_limit=3.0)

    assert (
        "is another one than judged this cell"
        in (ask(replace(tiny, bundles=(other,))).json()["error"])
    )


def test_a_broken_bundle_is_told_in_a_line(tiny: WebSettings, tmp_path: Path) -> None:
    broken = write_tiny_bundle(tmp_path / "broken")
    (broken / "golden.npz").write_bytes(b"rotten")
    answer = ask(replace(tiny, bundles=(broken,)))

    assert answer.status_code == 409
    assert "cannot be used" in answer.json()["error"]


def test_no_folder_is_refused_before_anything_is_served(tiny: WebSettings, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="is no folder: name one of bundles"),
        opened(replace(tiny, bundles=(tmp_path / "nowhere",))),
    ):
        pass


@pytest.mark.parametrize(
    "path", ["/slides/1/cells/99/attribution", "/slides/9/cells/0/attribution"]
)
def test_without_a_picture_there_is_none(tiny: WebSettings, path: str) -> None:
    answer = ask(tiny, path)

    assert (answer.status_code, answer.json()) == (404, {"error": "no picture of this cell came"})


def test_a_purged_picture_is_gone_from_what_was_kept_as_well(tiny: WebSettings) -> None:
    with opened(tiny) as client:
        come_in(client, "vera")
        assert client.get("/slides/1/cells/0/attribution.jpg").status_code == 200
        changed(tiny, "DELETE FROM crops")
        assert client.get("/slides/1/cells/0/attribution.jpg").status_code == 404


def test_a_damaged_picture_is_told_in_a_line(tiny: WebSettings) -> None:
    changed(tiny, "UPDATE crops SET jpeg = ?", b"\xff\xd8\xff\xd9")
    answer = ask(tiny)

    assert (answer.status_code, answer.json()["error"]) == (
        409, "the picture of this cell cannot be read: it came damaged",
    )  # fmt: skip


def test_another_figure_than_the_devices_is_said_beside_it(tiny: WebSettings) -> None:
    changed(tiny, "UPDATE crops SET p_blast = 0.31")
    said = ask(tiny).json()

    assert "The device said 31.0" in said["warning"]
    assert "The colours show what moves the second figure." in said["warning"]


def test_without_its_frame_the_slides_bundle_is_asked_and_the_guess_is_told(
    tiny: WebSettings,
) -> None:
    with sqlite3.connect(tiny.database) as file:
        (digest,) = file.execute("SELECT bundle FROM frames").fetchone()
    changed(tiny, "UPDATE slides SET bundle = ?", digest)
    changed(tiny, "DELETE FROM frames")
    changed(tiny, "UPDATE crops SET p_blast = 0.31")

    assert "where the cell lies in its picture was guessed" in ask(tiny).json()["warning"]


def test_a_device_that_did_not_say_its_bundle_is_told(tiny: WebSettings) -> None:
    changed(tiny, "UPDATE frames SET bundle = NULL")
    changed(tiny, "UPDATE slides SET bundle = NULL")

    assert "did not say which bundle judged this cell" in ask(tiny).json()["error"]


def test_what_the_classifier_does_not_know_is_told() -> None:
    one = Attribution(b"", 0.9, 0.9, 0.897, 0.9, True, 1.0, True, 4, "tiny-0.1.0 on onnxruntime")
    said = said_of(7, one)

    assert "does not know what it sees here" in said["warning"]
    assert "No single part decides" in said["decides"]
    assert said["raises"] == "covering it raises P(blast): no part does"
    assert "Cell 7 in grey" in said["alt"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Computing takes until this is set."""
    let = threading.Event()

    def slow(models, told) -> Attribution:
        assert let.wait(60)
        return attribution(models, told)

    monkeypatch.setattr(app, "Desk", partial(desks.Desk, compute=slow))
    yield let
    let.set()


def test_while_one_is_computed_pages_and_decisions_go_on(
    tiny: WebSettings, held: threading.Event
) -> None:
    with opened(tiny) as client, ThreadPoolExecutor(60) as browsers:
        come_in(client, "rosa")
        token = csrf(client)
        # more than there are threads for requests: none of them is held while it waits
        asked = [browsers.submit(client.get, "/slides/1/cells/0/attribution") for _ in range(60)]
        page = client.get("/slides/1")
        decision = client.post(
            "/slides/1/cells/0/decision", json={"label": "normal", "reason": None}, headers=token
        )
        waiting = [one for one in asked if not one.done()]
        held.set()
        answers = [one.result(60) for one in asked]

    assert (page.status_code, decision.status_code) == (200, 200)
    assert len(waiting) == 60
    assert {one.status_code for one in answers} == {200}
    assert len({one.content for one in answers}) == 1


def test_who_asks_for_too_many_is_told_to_wait(
    tiny: WebSettings, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "MOST_OF_ONE", 1)
    with opened(tiny) as client, ThreadPoolExecutor(1) as browser:
        come_in(client, "vera")
        parts: Parts = client.app.state.parts
        assert parts.attributions is not None
        first = browser.submit(client.get, "/slides/1/cells/0/attribution")
        while not parts.attributions.waiting:
            assert not first.done()
        answer = client.get("/slides/1/cells/1/attribution", headers={"Accept": "*/*"})
        held.set()
        assert first.result(60).status_code == 200

    assert answer.status_code == 503
    assert "ask again in a moment" in answer.json()["error"]


# ---- in a browser, with the bundle that ships


@pytest.fixture(scope="module")
def simulated_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of the simulated microscope, as the shipped bundle judges them."""
    folder = tmp_path_factory.mktemp("simulated")
    with (
        begin(folder / "dashboard.db") as database,
        open_simulated("sim://?seed=11&blasts=0.5&white=4&fields=4&overlap=0.3") as source,
    ):
        frames = [one for one in source if isinstance(one, Frame)]
        enter_slide(database, frames, SHIPPED, folder, name="S26-1100")
    return folder / "dashboard.db"


@pytest.fixture
def server(simulated_day: Path) -> Generator[str, None, None]:
    settings = WebSettings(str(simulated_day), port=0, bundles=(SHIPPED.parent,))
    with serving(settings) as url:
        yield url


def test_the_key_a_shows_what_moved_the_verdict_on_the_chosen_cell(
    sign_in: SignIn, server: str
) -> None:
    page = sign_in("rosa", "/slides/1")
    page.wait_for_selector('#gallery[aria-busy="false"] .tile')
    page.keyboard.press("?")
    expect(page.locator("#help")).to_contain_text("What moved the verdict, shown or not")
    page.keyboard.press("Escape")
    assert not [one for one in sign_in.asked if "attribution" in one and "static" not in one]

    page.keyboard.press("c")
    page.keyboard.press("a")

    expect(page.locator("#cell .state")).to_contain_text("Each part of the picture is covered once")
    picture = page.locator("#cell .slot img")
    expect(picture).to_have_attribute(
        "alt", re.compile("Violet, in a whole line: covering it lowers"), timeout=COMPUTED_WITHIN_MS
    )
    expect(page.locator("#cell")).to_contain_text("not what makes a cell a blast")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 100
    first = picture.get_attribute("src")

    began = time.monotonic()
    page.keyboard.press("ArrowRight")  # the next one follows by itself
    expect(picture).not_to_have_attribute("src", first or "", timeout=COMPUTED_WITHIN_MS)
    print(f"\nanother cell: its attribution stands {time.monotonic() - began:.1f} s after the key")
    page.keyboard.press("b")  # and a decision does not wait for it
    expect(page.locator("#said")).to_contain_text("saved")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        assert faults(page) == []

    page.keyboard.press("a")
    expect(page.locator("#cell .slot")).to_be_hidden()
    assert sign_in.said == []
    assert sign_in.foreign() == set()
