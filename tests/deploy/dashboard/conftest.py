"""Both databases, for every test that asks for a ``place``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str, None, None]:
    """The address of an empty database: a file, and a PostgreSQL."""
    if request.param == "sqlite":
        yield str(tmp_path / "dashboard.db")
        return
    server = request.getfixturevalue("postgres")
    url = server.fresh()
    yield url
    server.drop(url)


@pytest.fixture
def database(place: str) -> Generator[Database, None, None]:
    """One with its tables."""
    with Database(place) as opened:
        migrate(opened)
        yield opened
