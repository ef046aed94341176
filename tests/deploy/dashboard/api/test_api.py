"""The API: who may come in, what is told, and that decisions follow the rules of the pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from deploy.dashboard.access import tokens, users
from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import audit, reviews
from deploy.dashboard.review.anchor import verify_all
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.api.conftest import API
from tests.deploy.dashboard.web.client import Answer, Client
from tests.deploy.dashboard.web.test_access import csrf, sign_in

PROBLEM = "application/problem+json"


def refused(answer: Answer, status: int) -> str:
    assert answer.headers["content-type"] == PROBLEM
    assert answer.status_code == answer.json()["status"] == status
    return str(answer.json()["detail"])


def test_nobody_is_told_anything(client: Client) -> None:
    document = client.get(f"{API}/openapi.json").json()
    assert len(document["paths"]) >= 17

    for path, ways in document["paths"].items():
        asked = path.replace("{number}", "1").replace("{unique_id}", "1")
        for method in ways:
            answer = client.request(method.upper(), f"{API}{asked}", json={})
            assert refused(answer, 401), path
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_acts_for_its_user_and_never_above(caller: Callable[..., Client]) -> None:
    program = caller("lena", "viewer")

    assert program.get(f"{API}/me").json()["role"] == "viewer"
    answer = program.post(f"{API}/slides/1/cells/0/decisions", json={"label": "blast"})
    assert "role reviewer" in refused(answer, 403)


def test_a_token_cannot_be_made_above_its_user(filled: Path) -> None:
    refusal = pytest.raises(AccessError, match="vera is viewer: a token cannot do more")
    with Database(filled) as database, database.writing() as connection, refusal:
        tokens.make(connection, "high", "vera", "lead", 1, utc_now())


@pytest.mark.parametrize("how", ["revoked", "expired", "disabled", "unknown", "of less"])
def test_a_token_that_does_not_count_any_more(
    client: Client, filled: Path, token: Callable[..., str], how: str
) -> None:
    said = token("rosa", "reviewer")
    client.headers = {"Authorization": f"Bearer {said}"}
    assert client.get(f"{API}/me").status_code == 200

    with Database(filled) as database, database.writing() as connection:
        if how == "revoked":
            tokens.revoke(connection, "of-rosa-reviewer", utc_now())
        elif how == "expired":
            later = utc_now() + timedelta(days=31)
            assert tokens.find(connection, said, later) is None
            tokens.revoke(connection, "of-rosa-reviewer", later)
        elif how == "disabled":
            users.set_active(connection, "rosa", False)
        elif how == "of less":
            users.set_role(connection, "rosa", "viewer")
    if how == "unknown":
        client.headers = {"Authorization": f"Bearer {said[:-1]}"}
    if how == "of less":
        assert client.get(f"{API}/me").json()["role"] == "viewer"
    else:
        refused(client.get(f"{API}/me"), 401)


def test_no_token_lies_in_the_database(filled: Path, token: Callable[..., str]) -> None:
    said = token()

    assert said.removeprefix(tokens.BEGIN).encode() not in filled.read_bytes()


def test_pages_lead_through_all_slides_and_cells(caller: Callable[..., Client]) -> None:
    program = caller()

    def all_of(path: str) -> list[int]:
        found, after = [], ""
        while True:
            page = program.get(f"{API}{path}&limit=7{after}").json()
            found += [one.get("unique_id", one.get("id")) for one in page["items"]]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    assert sorted(all_of("/slides?x=1")) == [1, 2, 3, 4]
    cells = all_of("/slides/1/cells?x=1")
    assert len(cells) == len(set(cells)) > 14
    assert len(all_of("/devices?x=1")) == 3


def test_a_page_that_was_never_given_out_is_a_problem(caller: Callable[..., Client]) -> None:
    program = caller()

    for after in ("x", "W10=", "WzEsMiwxZTk5OV0=", "WzEsMixOYU5d"):
        refused(program.get(f"{API}/slides?after={after}"), 422)


def test_what_is_not_there_is_said(caller: Callable[..., Client]) -> None:
    program = caller()

    for path in (
        "/slides/99",
        "/slides/99/cells",
        "/devices/99/gaps",
        "/slides/1/cells/9999/crop.jpg",
        "/slides/1%0A2/undone",
    ):
        refused(program.get(f"{API}{path}"), 404)


def test_a_slide_tells_gaps_and_how_far_it_may_be_trusted(caller: Callable[..., Client]) -> None:
    slide = caller().get(f"{API}/slides/4").json()

    assert slide["status"] == "preliminary"
    assert slide["frames"]["missing"] == [[5, 6], [9, 9]]
    assert slide["before"]["nucleated"] == slide["nucleated"]


def test_deciding_and_signing_are_rows_of_the_same_chain(
    caller: Callable[..., Client], filled: Path
) -> None:
    program = caller("rosa", "reviewer")
    cell = program.get(f"{API}/slides/1/cells?limit=1").json()["items"][0]["unique_id"]
    at = f"{API}/slides/1/cells/{cell}/decisions"

    made = program.post(at, json={"label": "normal", "reason": "small and round"})
    again = program.post(at, json={"label": "normal"})

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json()["kind"] == "override"
    old = {"standing": "0", "decisions": 0, "conclusion": "review", "comment": "seen"}
    assert "has changed" in refused(program.post(f"{API}/slides/1/signatures", json=old), 409)
    seen = program.get(f"{API}/slides/1").json()["seen"]
    signed = program.post(f"{API}/slides/1/signatures", json={**old, **seen})
    assert signed.status_code == 201
    assert program.get(f"{API}/slides/1").json()["status"] == "final"
    refused(program.post(f"{API}/slides/1/reopenings", json={"reason": "x"}), 403)
    assert program.post(f"{API}/slides/1/undo", json={}).status_code == 201
    assert program.get(f"{API}/slides/1").json()["status"] == "amended"
    with Database(filled) as database, database.reading() as connection:
        assert verify_all(connection)["reviews"].rows == 3
        kinds = connection.scalars(select(reviews.c.kind).order_by(reviews.c.id)).all()
    assert list(kinds) == ["override", "sign", "undo"]


def test_a_browsers_session_reads_and_changes_nothing_without_its_token(client: Client) -> None:
    sign_in(client, "rosa")
    token = csrf(client)
    client.headers = {"Accept": "application/json"}
    at, said = f"{API}/slides/1/cells/0/decisions", {"label": "blast"}

    assert client.get(f"{API}/slides").status_code == 200
    assert "X-CSRF-Token" in refused(client.post(at, json=said), 403)
    foreign = {**token, "Origin": "http://elsewhere.example"}
    assert "another site" in refused(client.post(at, json=said, headers=foreign), 403)
    assert client.post(at, json=said, headers=token).status_code in (200, 201)


def test_whatever_is_taken_away_is_written_down(
    caller: Callable[..., Client], filled: Path
) -> None:
    program = caller()

    pdf = program.get(f"{API}/slides/1/report.pdf")
    fhir = program.get(f"{API}/slides/1/fhir")
    table = program.get(f"{API}/slides/1/cells.csv")

    assert pdf.content.startswith(b"%PDF-")
    assert fhir.headers["content-type"].startswith("application/fhir+json")
    assert table.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert table.text.startswith("slide_id,cell,label,")
    with Database(filled) as database, database.reading() as connection:
        rows = connection.execute(select(audit).where(audit.c.what == "export")).all()
    assert [row.subject for row in rows] == [
        "report of slide 1", "FHIR of slide 1", "cells.csv of slide 1",
    ]  # fmt: skip
    assert {row.user_name for row in rows} == {"vera"}
