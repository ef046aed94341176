"""What a scanner is shown: every route, with values that are taken, and a place to be lured to."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from deploy.dashboard.application import create_application
from deploy.dashboard.web.settings import WebSettings
from tests.deploy.dashboard.scan.listener import Listener
from tests.deploy.dashboard.scan.target import Asked, all_ways, document, noted
from tests.deploy.dashboard.web.client import Client
from tests.deploy.dashboard.web.conftest import opened


def openapi_of(settings: WebSettings) -> dict[str, Any]:
    with opened(settings) as client:
        found: dict[str, Any] = client.get("/api/v1/openapi.json").json()
        return found


def test_the_document_knows_every_route_and_leaves_no_number_open(settings: WebSettings) -> None:
    openapi = openapi_of(settings)
    numbers = {"/": {"number": "1", "unique_id": "7", "place": "0"}}

    paths = document(openapi, numbers, ("/logout",))["paths"]

    ways = {(method.upper(), path) for path, known in paths.items() for method in known}
    assert len(ways) == len(all_ways(openapi)) - 1
    assert {("POST", "/slides/1/cells/7/decision"), ("GET", "/api/v1/slides/1/fhir")} <= ways
    assert "{" not in "".join(paths)


def test_the_document_sends_what_is_taken(settings: WebSettings) -> None:
    said = document(openapi_of(settings), {})
    (label,) = [
        one["schema"]
        for one in said["paths"]["/api/v1/slides/{number}/cells"]["get"]["parameters"]
        if one["name"] == "label"
    ]
    reason = said["components"]["schemas"]["Decided"]["properties"]["reason"]

    assert label["default"] in label["enum"]
    assert reason["type"] == "string"
    assert "after" not in json.dumps(said["paths"]["/worklist"])


def test_what_was_asked_is_counted_by_route(settings: WebSettings) -> None:
    asked = Asked()
    with Client(noted(asked)(settings)) as client:
        client.get("/slides/1")
        client.get("/api/v1/slides/1")
        client.get("/nowhere")

    assert asked.count() == 3
    assert asked.answered(401) == {
        ("GET", "/slides/{number}"),
        ("GET", "/api/v1/slides/{number}"),
    }
    assert asked.met_by_somebody() == {("GET", "none")}
    assert asked.broke == []


def test_the_holes_of_the_control_are_not_in_the_application(settings: WebSettings) -> None:
    for application, status in ((create_application, 404), (noted(Asked(), holes=True), 200)):
        with Client(application(settings)) as client:
            assert client.get("/holes/").status_code == status


def test_who_was_lured_to_the_listener_is_told_by_session(listener: Listener) -> None:
    def get(path: str) -> dict[str, dict[str, list[dict[str, str]]]]:
        with urllib.request.urlopen(f"{listener.url}{path}") as answer:  # noqa: S310
            found: dict[str, dict[str, list[dict[str, str]]]] = json.load(answer)
            return found

    get("ssrf/abc/17/75726c/")

    assert get("get_ssrf.php?session_id=abc")["17"]["75726c"][0]["method"] == "GET"
    assert get("get_ssrf.php?session_id=other") == {}
    assert get("get_xxe.php?session_id=abc") == {}
