"""What Prometheus is told, and whom nothing is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from deploy.dashboard.application import create_application
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import alerts
from deploy.dashboard.metrics.collected import DatabaseCollector
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.api.conftest import (  # noqa: F401 - fixtures
    client,
    day,
    filled,
    opened,
    settings,
    token,
)
from tests.deploy.dashboard.filled import fill
from tests.deploy.dashboard.web.client import Client
from tests.deploy.dashboard.web.conftest import SMALL_DAY


def figures(text: str) -> dict[tuple[str, ...], float]:
    return {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_a_scrape_tells_counts_gaps_devices_and_alerts(database: Database) -> None:
    fill(database, utc_now(), SMALL_DAY)
    with database.writing() as connection:
        now = utc_now()
        row = {"level": "urgent", "line": "it is silent", "raised_at": now, "changed_at": now}
        connection.execute(insert(alerts).values(kind="silent", subject="north/scope-1", **row))

    found = {
        (one.name, *one.labels.values()): one.value
        for family in DatabaseCollector(database, utc_now).collect()
        for one in family.samples
    }

    assert found["leuko_dashboard_database_up",] == 1
    assert found["leuko_ingest_results_total",] > 100
    assert found["leuko_device_missing_results", "south", "scope-3"] == 3
    assert found["leuko_device_missing_results", "north", "scope-1"] == 0
    assert sum(value for name, value in found.items() if name[0] == "leuko_devices") == 3
    assert found["leuko_alerts", "urgent", "no"] == 1
    assert sum(value for name, value in found.items() if name[0] == "leuko_slides") == 4


def test_requests_are_timed_by_route_and_not_by_address(client: Client) -> None:  # noqa: F811
    client.get("/login")
    client.get("/api/v1/slides/1")
    client.get("/api/v1/slides/2")
    client.get("/nothing/of/the/kind")

    found = figures(client.get("/metrics").text)

    name = "leuko_dashboard_request_seconds_count"
    assert found[name, "GET", "/login", "200"] == 1
    assert found[name, "GET", "/api/v1/slides/{number}", "401"] == 2
    assert found[name, "GET", "other", "404"] == 1


def test_elsewhere_a_token_is_needed(
    settings: WebSettings,  # noqa: F811
    token: Callable[..., str],  # noqa: F811
) -> None:
    behind = replace(settings, trusted_proxy=("127.0.0.1",))
    with opened(behind) as one:
        assert one.get("/metrics").status_code == 401

        answer = one.get("/metrics", headers={"Authorization": f"Bearer {token()}"})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_a_database_that_is_away_is_said(settings: WebSettings) -> None:  # noqa: F811
    app = create_application(settings)
    database = app.state.parts.database
    with Client(app) as one:
        database.url = database.url.set(database="/nowhere/at/all.db")
        database.engine.dispose()
        database.engine = Database("/nowhere/at/all.db").engine

        found = figures(one.get("/metrics").text)

    assert found["leuko_dashboard_database_up",] == 0
