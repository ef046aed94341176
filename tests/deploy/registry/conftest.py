"""Both databases, for every test that asks for a ``place``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str, None, None]:
    """Where a registry may begin: a file, and an empty database of a PostgreSQL."""
    if request.param == "sqlite":
        yield str(tmp_path / "registry.db")
        return
    server = request.getfixturevalue("postgres")
    url = server.fresh()
    yield url
    server.drop(url)
