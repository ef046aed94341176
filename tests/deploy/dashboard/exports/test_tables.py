"""CSV as RFC 4180 has it, whole, and without a formula that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dashboard.database.opening import Database
from deploy.dashboard.exports import tables
from deploy.dashboard.exports.tables import cell_of, cells_csv, line, slides_csv
from deploy.dashboard.queries.cells import cells_of
from deploy.dashboard.queries.worklist import Filters
from tests.deploy.dashboard.exports.conftest import Desk
from tests.deploy.dashboard.filled import fill
from tests.deploy.dashboard.web.conftest import SMALL_DAY


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2))
def test_any_text_comes_back_as_it_was_and_is_no_formula(values: list[str]) -> None:
    text = line(values)

    assert text.endswith("\r\n")
    back = next(csv.reader(io.StringIO(text, newline=""), strict=True))
    for one, other in zip(values, back, strict=True):
        assert other in (one, f"'{one}")
        assert not other.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_numbers_stay_numbers() -> None:
    assert cell_of(-0.5) == -0.5
    assert cell_of(True) == "yes"
    east = timezone(timedelta(hours=2))
    assert cell_of(datetime(2026, 3, 1, 2, tzinfo=east)) == "2026-03-01T00:00:00+00:00"


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_every_slide_and_cell_is_there_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    fill(database, datetime(2026, 11, 20, tzinfo=timezone.utc), SMALL_DAY[:2])
    monkeypatch.setattr(tables, "_AT_ONCE", at_once)

    rows = read("".join(slides_csv(database, Filters())))
    cells = read("".join(cells_csv(database, 1)))

    assert [row["slide"] for row in rows] == [one.name for one in SMALL_DAY[:2]]
    assert float(rows[0]["interval_low"]) < float(rows[0]["blast_fraction"])
    with database.reading() as connection:
        here = cells_of(connection, 1, limit=500).rows
    assert [int(row["cell"]) for row in cells] == sorted(one.unique_id for one in here)
    told = {int(row["cell"]): (row["label"], float(row["p_blast"])) for row in cells}
    assert told == {one.unique_id: (one.label, one.p_blast) for one in here}


def test_filters_are_those_of_the_worklist(desk: Desk) -> None:
    desk.sign("review")

    unsigned = read("".join(slides_csv(desk.database, Filters(unsigned=True))))
    every = read("".join(slides_csv(desk.database, Filters())))

    assert {row["id"] for row in every} - {row["id"] for row in unsigned} == {"1"}
    assert next(row["signed_by"] for row in every if row["id"] == "1") == "rosa"
