"""The day of the pages, for what is exported of it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import select

from deploy.dashboard.access import users
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import slides
from deploy.dashboard.exports.record import SlideRecord, record_of
from deploy.dashboard.review import decisions, signing
from deploy.dashboard.review.signing import Seen
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.web.conftest import day, filled  # noqa: F401 - fixtures


class Desk:
    """Somebody who decides and signs, and looks at what is exported then."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, slide: int = 1, cells: int = 0) -> SlideRecord:
        with self.database.reading() as connection:
            found = record_of(connection, slide, utc_now(), most_cells=cells)
        assert found is not None
        return found

    def decide(self, label: str, cell: int = 0, slide: int = 1, user: str = "rosa") -> None:
        with self.database.writing() as connection:
            who = users.find(connection, user)
            decisions.decide(connection, who, slide, cell, label, utc_now())

    def sign(
        self, conclusion: str, slide: int = 1, user: str = "rosa", second: str = "optional"
    ) -> None:
        with self.database.writing() as connection:
            row = connection.execute(select(slides).where(slides.c.id == slide)).one()
            seen: Seen = signing.seen_now(connection, row)
            who = users.find(connection, user)
            signing.sign(
                connection, who, slide, conclusion, "=looked at all", seen, utc_now(), second  # type: ignore[arg-type]
            )  # fmt: skip

    def reopen(self, slide: int = 1) -> None:
        with self.database.writing() as connection:
            lena = users.find(connection, "lena")
            signing.reopen(connection, lena, slide, "asked again", utc_now())


@pytest.fixture
def desk(filled: Path) -> Generator[Desk, None, None]:  # noqa: F811
    with Database(filled) as database:
        yield Desk(database)
