"""The pages as people use them: by keyboard, two at once, in the light and in the dark."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as TooLateError

from deploy.dashboard.database.opening import Database
from deploy.dashboard.ingest.arrived import Arrived
from deploy.dashboard.ingest.entering import Entering
from deploy.dashboard.review.anchor import verify_all
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.topics import parse_topic, topic_of
from tests.deploy.dashboard.filled import DAY, Plan, messages_of
from tests.deploy.dashboard.web.browser import WITHIN_MS, SignIn
from tests.deploy.dashboard.web.conftest import serving

expect.set_options(timeout=WITHIN_MS)


def slide_number(filled: Path, name: str = DAY[0].name) -> int:
    with sqlite3.connect(filled) as file:
        return int(file.execute("SELECT id FROM slides WHERE name = ?", (name,)).fetchone()[0])


def open_slide(page: Page, filled: Path, name: str = DAY[0].name) -> None:
    origin = page.url[: page.url.index("/", len("http://"))]
    page.goto(f"{origin}/slides/{slide_number(filled, name)}")
    page.wait_for_selector('#gallery[aria-busy="false"] .tile')
    page.wait_for_selector('#live[data-state="on"]')


def test_the_worklist_is_worst_first_and_walked_by_keyboard(sign_in: SignIn) -> None:
    page = sign_in("rosa")
    names = page.locator(".slide-link").all_inner_texts()
    assert names[0] == "S26-1047"
    assert len(names) == 4

    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == names[1]
    page.keyboard.press("k")
    page.keyboard.press("Enter")

    expect(page.locator("h1")).to_have_text(names[0])
    page.wait_for_selector('#live[data-state="on"]')
    for _ in range(10):  # the second key counts for 1.5 s, which a slow machine may let pass
        page.keyboard.press("g")
        page.keyboard.press("w")
        with suppress(TooLateError):
            page.wait_for_url("**/worklist*", timeout=3000)
            break
    expect(page.locator("h1")).to_have_text("Worklist")
    assert sign_in.said == []


def test_filters_of_the_worklist_are_addresses(sign_in: SignIn) -> None:
    page = sign_in("rosa")
    page.select_option("select[name=site]", "south")
    page.wait_for_url("**/worklist?site=south*")
    expect(page.locator(".slide-link")).to_have_text(["S26-0987"])
    page.keyboard.press("f")
    page.select_option("select[name=state]", "running")
    expect(page.locator(".empty")).to_contain_text("No slide is like that")


def test_a_slide_is_reviewed_and_signed_by_keyboard_alone(sign_in: SignIn, filled: Path) -> None:
    page = sign_in("rosa")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector('#gallery[aria-busy="false"] .tile')
    blasts = int(page.locator(".differential tbody td").nth(0).inner_text())

    page.keyboard.press("c")
    for key in "bnux":
        page.keyboard.press(key)
        expect(page.locator("#said")).to_contain_text("saved")
        expect(page.locator(".saving")).to_have_count(0)
    page.keyboard.press("z")
    expect(page.locator("#said")).to_contain_text("Taken back")
    page.keyboard.press("ArrowLeft")
    expect(page.locator('.tile[aria-selected="true"] .mark')).to_contain_text("rosa")

    reviewed = page.locator(".differential tbody tr:nth-child(1) td:nth-child(3)")
    expect(reviewed).to_have_text(str(blasts - 2))
    page.keyboard.press("s")
    expect(page.locator("#sign")).to_be_visible()
    expect(page.locator("#sign-about")).to_contain_text("Nobody has looked at")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("two of them are lymphocytes")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.locator(".slide-title .review")).to_have_text("Signed")
    expect(page.locator("#signatures")).to_contain_text("two of them are lymphocytes")
    with Database(filled) as database, database.reading() as connection:
        heads = verify_all(connection)
    assert heads["reviews"].rows == 6
    assert sign_in.said == []


def test_a_second_browser_sees_a_review_at_once(sign_in: SignIn, filled: Path) -> None:
    rosa, ruth, list_of_lena = sign_in("rosa"), sign_in("ruth"), sign_in("lena")
    open_slide(rosa, filled)
    open_slide(ruth, filled)
    list_of_lena.wait_for_selector('#live[data-state="on"]')
    first = list_of_lena.locator("#rows tr").first.locator("td").nth(4)
    to_look_at = int(first.locator("b").inner_text())

    rosa.keyboard.press("c")
    rosa.keyboard.press("n")

    expect(ruth.locator(".tile").first.locator(".mark")).to_contain_text("rosa")
    expect(ruth.locator(".tile").first).to_have_class(re.compile("is-normal"))
    expect(first.locator("b")).to_have_text(str(to_look_at - 1))
    assert sign_in.said == []


def test_what_comes_in_is_shown_without_asking(sign_in: SignIn, filled: Path) -> None:
    page = sign_in("vera")
    page.wait_for_selector('#live[data-state="on"]')
    plan = Plan("west", "scope-9", "S26-2000", 0.6, fields=4, pictures=False, seed=5)
    with Database(filled) as database:
        Entering(database).enter(
            [
                Arrived(parse_topic(topic_of(message)), message, at, jpeg)  # type: ignore[arg-type]
                for message, at, jpeg in messages_of(plan, utc_now())
            ],
            utc_now(),
        )

    expect(page.locator(".slide-link", has_text="S26-2000")).to_be_visible()


def test_a_server_that_is_gone_is_told_and_nothing_is_said_to_be_saved(
    browser: Browser, settings: WebSettings, filled: Path
) -> None:
    with serving(settings) as url:
        one = SignIn(browser, url)
        page = one("rosa")
        open_slide(page, filled)
    page.keyboard.press("c")
    page.keyboard.press("n")

    expect(page.locator("#refused")).to_contain_text("was not changed")
    expect(page.locator("#live")).to_have_attribute("data-state", "off")
    expect(page.locator(".tile").first).to_have_class(re.compile("is-blast"))
    one.close()


def test_a_viewer_looks_and_has_no_button_to_decide(sign_in: SignIn, filled: Path) -> None:
    page = sign_in("vera")
    open_slide(page, filled)
    page.keyboard.press("c")
    page.keyboard.press("n")
    expect(page.locator("#cell h3")).to_be_visible()
    assert page.locator(".decide button, #sign-open").count() == 0
    assert page.locator(".tile .mark:not(.second)").count() == 0


def test_gaps_are_told_plainly(sign_in: SignIn, filled: Path) -> None:
    page = sign_in("vera")
    open_slide(page, filled, "S26-0987")
    expect(page.locator(".delivery")).to_contain_text("3 frames did not arrive (5 to 6, 9)")
    expect(page.locator(".delivery")).to_contain_text("not in the gallery below")


def test_the_chart_is_drawn_when_it_is_seen_and_not_before(sign_in: SignIn, filled: Path) -> None:
    page = sign_in("vera", viewport={"width": 1024, "height": 600})
    assert not any("plotly" in url and url.endswith(".js") for url in sign_in.asked)
    open_slide(page, filled)
    page.locator("#chart").scroll_into_view_if_needed()
    page.wait_for_selector("#chart .main-svg")
    assert "Blast fraction as cells were counted" in (
        page.locator("#chart").get_attribute("aria-label") or ""
    )
    assert sign_in.said == []


def test_no_page_asks_anybody_else(sign_in: SignIn, filled: Path) -> None:
    page = sign_in("lena")
    for path in ("/worklist", f"/slides/{slide_number(filled)}", "/audit", "/account", "/none"):
        page.goto(f"{sign_in.url}{path}")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_load_state("load")
    open_slide(page, filled)
    page.locator("#chart").scroll_into_view_if_needed()
    page.wait_for_selector("#chart .main-svg")

    assert len(sign_in.asked) > 20
    assert sign_in.foreign() == set()


def test_the_policy_keeps_out_what_is_not_ours(sign_in: SignIn) -> None:
    page = sign_in("vera")
    assert (
        page.evaluate("fetch('https://example.org/').then(() => 'asked', () => 'refused')")
        == "refused"
    )
    assert (
        page.evaluate(
            "(() => { const s = document.createElement('script'); s.textContent = 'window.bad = 1';"
            "document.body.append(s); return window.bad ?? 'kept out'; })()"
        )
        == "kept out"
    )


def test_help_and_theme_are_a_key_away_and_remembered(sign_in: SignIn) -> None:
    page = sign_in("vera", color_scheme="light")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    page.keyboard.press("t")
    assert ground() == light, "light by choice"
    page.keyboard.press("t")
    assert ground() != light
    page.reload()
    assert ground() != light


def test_the_skip_link_is_first(sign_in: SignIn) -> None:
    page = sign_in("vera")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def faults(page: Page) -> list[Any]:
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_is_found(sign_in: SignIn, filled: Path, scheme: str) -> None:
    page = sign_in(None, "/login", color_scheme=scheme)
    assert faults(page) == []
    page = sign_in("lena", color_scheme=scheme)
    page.keyboard.press("j")
    assert faults(page) == []
    open_slide(page, filled)
    page.keyboard.press("c")
    page.keyboard.press("n")
    expect(page.locator("#said")).to_contain_text("saved")
    expect(page.locator(".saving")).to_have_count(0)
    page.locator("#chart").scroll_into_view_if_needed()
    page.wait_for_selector("#chart .main-svg")
    assert faults(page) == []
    page.keyboard.press("s")
    assert faults(page) == []
    for path in ("/audit", "/account", "/none"):
        page.goto(f"{sign_in.url}{path}")
        assert faults(page) == [], path
    page.keyboard.press("?")
    assert faults(page) == []
