"""A device that dies is seen by a person who looks at something else; and somebody takes care."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from deploy.dashboard.alerts.watching import WatchSettings
from deploy.dashboard.alerts.words import DEFAULT
from deploy.dashboard.database.opening import Database
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.link import open_link
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.dashboard.fleet_day import Voice, enter, listens
from tests.deploy.dashboard.ingesting import Ingesting, wait_until_listening
from tests.deploy.dashboard.speakers import parcel_of
from tests.deploy.dashboard.web.browser import WITHIN_MS, SignIn
from tests.deploy.dashboard.web.conftest import serving
from tests.mosquitto import Mosquitto

expect.set_options(timeout=WITHIN_MS)
WATCH = WatchSettings(limits=replace(DEFAULT, settle_s=0.0, gap_after_s=1e9))
"""The day has a gap, which is told elsewhere."""


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path) -> Generator[Mosquitto, None, None]:
    with Mosquitto(mosquitto, tmp_path / "broker") as one:
        yield one


@pytest.fixture
def settings(filled: Path) -> WebSettings:
    """It watches as well."""
    return WebSettings(str(filled), port=0, watch=WATCH)


def test_a_device_that_dies_is_seen_on_whatever_page_somebody_is(
    broker: Mosquitto, filled: Path, sign_in: SignIn, tmp_path: Path
) -> None:
    voice = Voice("ward", "scope-7")
    will = parcel_of(voice.status(utc_now(), "offline", "the connection was lost"))
    with Ingesting(str(filled), broker.url, tmp_path / "ingest"):
        wait_until_listening(str(filled), 1)
        device = open_link(BrokerSettings.from_url(broker.url), "ward/scope-7", will=will)
        assert device.publish(parcel_of(voice.status(utc_now()))) is not None
        page = sign_in("rosa", "/account")  # a page that shows nothing live itself
        other = sign_in("ruth", "/alerts")
        page.wait_for_selector('#live[data-state="on"]')
        other.wait_for_selector('#live[data-state="on"]')
        while device.pump(0.1) and not device.take_acknowledgements():
            pass
        expect(other.locator("#unwatched")).to_be_hidden()

        died_s = time.monotonic()
        device._client.socket().close()  # the plug is pulled
        expect(other.locator(".alert")).to_contain_text(["ward/scope-7 is offline"])
        expect(page.locator("#alert-count")).to_be_visible()
        print(f"seen {time.monotonic() - died_s:.2f} s after the plug was pulled")
        expect(page.locator("#alert-count")).to_contain_text("1")
        expect(page.locator("#alert-news")).to_contain_text("ward/scope-7 is offline")

        page.keyboard.press("g")
        page.keyboard.press("l")
        expect(page.locator("h1")).to_have_text("Alerts")
        page.fill("input[name=note]", "gone to look")
        page.keyboard.press("Enter")
        expect(page.locator(".alert-who")).to_contain_text("rosa takes care of it")
        expect(page.locator("#alert-count")).to_be_hidden()
        expect(other.locator(".alert-who")).to_contain_text("gone to look")

        back = open_link(BrokerSettings.from_url(broker.url), "ward/scope-7", will=will)
        back.publish(parcel_of(Voice("ward", "scope-7").status(utc_now())))
        while back.pump(0.1) and not back.take_acknowledgements():
            pass
        expect(other.locator(".alert")).to_have_count(0)
        expect(other.locator("table.audit")).to_contain_text("ward/scope-7 is offline")
        back.close()
    assert sign_in.said == []


def test_what_somebody_types_is_not_taken_away_by_the_next_alert(
    filled: Path, sign_in: SignIn
) -> None:
    with Database(filled) as database:
        listens(database, utc_now(), since=utc_now())
        one, other = Voice("ward", "scope-7"), Voice("ward", "scope-8")
        enter(database, (one.status(utc_now(), "offline", "lost"), utc_now()))
        page = sign_in("rosa", "/alerts")
        page.locator("input[name=note]").first.fill("half a sen")
        news = page.locator("#alert-count .n")
        expect(news).to_have_text("1")
        enter(database, (other.status(utc_now(), "offline", "lost"), utc_now()))
        expect(news).to_have_text("2")
        assert page.locator("input[name=note]").first.input_value() == "half a sen"
        page.locator("input[name=note]").first.fill("")
        page.locator("h1").click()
        expect(page.locator(".alert")).to_have_count(2)


def test_that_nobody_watches_is_said_on_every_page(browser: Browser, filled: Path) -> None:
    with serving(WebSettings(str(filled), port=0)) as url:
        one = SignIn(browser, url)
        page = one("rosa")
        expect(page.locator("#unwatched")).to_be_visible()
        page.goto(f"{url}/alerts")
        expect(page.locator("main")).to_contain_text("nobody watches: this says nothing")
        one.close()


def test_a_viewer_sees_and_does_not_acknowledge(filled: Path, sign_in: SignIn) -> None:
    with Database(filled) as database:
        listens(database, utc_now(), since=utc_now())
        voice = Voice("ward", "scope-7")
        enter(database, (voice.status(utc_now(), "offline", "lost"), utc_now()))
    page = sign_in("vera", "/alerts")
    expect(page.locator(".alert")).to_contain_text("Nobody has acknowledged it.")
    assert page.locator(".alert form").count() == 0
    token = page.locator('meta[name="csrf"]').get_attribute("content")
    answer = page.request.post(
        f"{sign_in.url}/alerts/1/acknowledge",
        form={"csrf": token or ""},
        headers={"Origin": sign_in.url},
    )
    assert answer.status == 403
