"""A laboratory's day behind the API, and programs that call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.dashboard.access import tokens
from deploy.dashboard.database.opening import Database
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.web.client import Client
from tests.deploy.dashboard.web.conftest import (  # noqa: F401 - fixtures
    client,
    day,
    filled,
    opened,
    server,
    settings,
)

API = "/api/v1"


@pytest.fixture
def token(filled: Path) -> Callable[..., str]:  # noqa: F811
    """``token("rosa", "reviewer")``: what a program of that user comes in with."""

    def make(user: str = "vera", role: str = "viewer", days: float = 30) -> str:
        with Database(filled) as database, database.writing() as connection:
            return tokens.make(connection, f"of-{user}-{role}", user, role, days, utc_now())

    return make


@pytest.fixture
def caller(
    client: Client,  # noqa: F811
    token: Callable[..., str],
) -> Callable[..., Client]:
    """``caller("rosa", "reviewer")``: a program with such a token."""

    def make(user: str = "vera", role: str = "viewer") -> Client:
        client.headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token(user, role)}",
        }
        return client

    return make
