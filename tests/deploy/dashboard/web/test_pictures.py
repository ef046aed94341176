"""Pictures of cells: as they were sent, many in one answer, on both databases and in a browser."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Generator
from dataclasses import replace

import pytest
from sqlalchemy import insert, select

from deploy.dashboard.access import users
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import crops
from deploy.dashboard.web.gallery import MOST_PICTURES
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.filled import DAY, fill
from tests.deploy.dashboard.web.browser import PASSWORD, SignIn
from tests.deploy.dashboard.web.client import Client
from tests.deploy.dashboard.web.conftest import opened
from tests.deploy.dashboard.web.test_access import sign_in as enter

PLAN = replace(DAY[3], fields=12, missing=())


@pytest.fixture
def client(database: Database, place: str) -> Generator[Client, None, None]:
    """A viewer at a small database of each kind."""
    fill(database, utc_now(), (PLAN,))
    with database.writing() as connection:
        users.add(connection, "vera", "viewer", PASSWORD)
    with opened(WebSettings(place)) as one:
        enter(one, "vera")
        yield one


def asked(client: Client, *cells: int, slide: int = 1) -> dict[int, bytes]:
    answer = client.get(f"/slides/{slide}/pictures?cells={','.join(map(str, cells))}")
    assert answer.status_code == 200
    return {int(cell): b64decode(jpeg) for cell, jpeg in answer.json().items()}


def test_those_that_came_are_answered_and_the_latest_of_each(
    client: Client, database: Database
) -> None:
    with database.writing() as connection:
        rows = connection.execute(select(crops).order_by(crops.c.unique_id)).mappings().all()
        first, second = rows[0], rows[1]
        newer = {**first, "seq": first["seq"] + 1_000_000, "frame": first["frame"] + 1}
        connection.execute(insert(crops), [{**newer, "jpeg": b"\xff\xd8 a better view \xff\xd9"}])

    found = asked(client, second["unique_id"], 987654, first["unique_id"])

    assert found == {
        first["unique_id"]: b"\xff\xd8 a better view \xff\xd9",
        second["unique_id"]: second["jpeg"],
    }
    assert asked(client, 987654) == {}
    assert asked(client, first["unique_id"], slide=2) == {}, "of no other slide"


@pytest.mark.parametrize(
    "cells", ["", "1,", "one", "-1", "1;2", "9" * 16, ",".join(["1"] * (MOST_PICTURES + 1))]
)
def test_what_names_no_cells_is_refused(client: Client, cells: str) -> None:
    assert client.get(f"/slides/1/pictures?cells={cells}").status_code in (404, 422)


def test_a_gallery_shows_them_and_asks_seldom(sign_in: SignIn) -> None:
    page = sign_in("vera")
    page.goto(f"{sign_in.url}/slides/1")
    pictures = "[...document.querySelectorAll('.tile img')]"
    page.wait_for_function(
        f"() => {pictures}.length > 20 && {pictures}.every((one) => one.naturalWidth > 0)"
    )
    large = page.locator("#cell img.large")
    assert large.evaluate("(image) => image.naturalWidth") > 0

    shown = page.evaluate(f"{pictures}.length")
    asked = [url for url in sign_in.asked if re.search(r"/pictures\?", url)]
    numbers = [number for url in asked for number in url.partition("=")[2].split(",")]
    assert len(numbers) == len(set(numbers)) == shown, "each once"
    assert len(asked) <= 2 + shown / 20
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#cell img.large').naturalWidth > 0")
    assert [url for url in sign_in.asked if re.search(r"/pictures\?", url)] == asked
    assert sign_in.said == []


def test_a_picture_that_did_not_come_is_asked_for_again(sign_in: SignIn) -> None:
    page = sign_in("vera")
    refused: list[str] = []

    def refuse_once(route, request):  # type: ignore[no-untyped-def]
        if refused:
            route.continue_()
        else:
            refused.append(request.url)
            route.abort()

    page.route(re.compile(r"/pictures\?"), refuse_once)
    page.goto(f"{sign_in.url}/slides/1")

    pictures = "[...document.querySelectorAll('.tile img')]"
    page.wait_for_function(
        f"() => {pictures}.length > 20 && {pictures}.every((one) => one.naturalWidth > 0)"
    )
    assert refused
