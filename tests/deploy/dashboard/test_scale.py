"""Ten million frames and a hundred thousand slides: how long the worklist and a slide take.

Rows are made by the database itself, for what is timed is how they are found.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from string import Template

import pytest
from sqlalchemy import Connection, text

from deploy.dashboard.database.opening import Database
from deploy.dashboard.queries.cells import cells_of
from deploy.dashboard.queries.fleet import device_list
from deploy.dashboard.queries.models import models
from deploy.dashboard.queries.slide import coverage, slide
from deploy.dashboard.queries.worklist import Filters, counts, worklist
from edge_daemon.contract.envelope import utc_now
from tests.soak import SOAKING, repeated

SLIDES = repeated(2_000, 100_000)
FRAMES_OF_A_SLIDE = 100
DEVICES = 1_000
LARGE, CELLS = 1, 5_000
"""A slide with many cells."""
MOST_MS = 150
PROMISED = ("worklist", "worklist of a site", "worklist, unreviewed", "slide", "its first cells")

_NUMBERS = {
    "sqlite": "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
    "SELECT i FROM n)",
    "postgresql": "(SELECT i FROM generate_series(0::bigint, {last}) AS g(i))",
}


def numbers(connection: Connection, count: int) -> str:
    return _NUMBERS[connection.dialect.name].format(last=count - 1)


def fill(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    values = {
        "at": "1795000000000000" if sqlite else "now()",
        "no": "0" if sqlite else "false",
        "yes": "1" if sqlite else "true",
        "blob": "x'00'" if sqlite else "'\\x00'::bytea",
        "share": "((i * 7919) % 1000) / 1000.0",
    }
    counts_of = {
        "devices": DEVICES,
        "slides": SLIDES,
        "frames": SLIDES * FRAMES_OF_A_SLIDE,
        "large": CELLS,
        "cells": (SLIDES - 1) * 20,
        "summaries": SLIDES * 10,
    }
    values |= {name: numbers(connection, count) for name, count in counts_of.items()}
    script = Template(Path(__file__).with_name("scale.sql").read_text()).substitute(values)
    for statement in script.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement if sqlite else statement.replace("%", "%%"))


@pytest.mark.soak
def test_pages_are_quick_whatever_lies_in_the_database(database: Database) -> None:
    began_s = time.monotonic()
    with database.writing() as connection:
        fill(connection)
    if not database.is_sqlite:
        with database.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("VACUUM ANALYZE"))
    filled_s = time.monotonic() - began_s
    now = utc_now()
    middle = SLIDES // 2

    def third_page(connection: Connection) -> object:
        after = None
        for _ in range(3):
            after = worklist(connection, Filters(), after).after
        return after

    pages: dict[str, Callable[[Connection], object]] = {
        "worklist": lambda c: worklist(c, Filters()),
        "worklist, three pages": third_page,
        "worklist of a site": lambda c: worklist(c, Filters(site="site-7")),
        "worklist, unreviewed": lambda c: worklist(c, Filters(unreviewed=True)),
        "worklist, running": lambda c: worklist(c, Filters(state="running")),
        "worklist, unsigned of a site": lambda c: worklist(
            c, Filters(site="site-7", unsigned=True, unreviewed=True)
        ),
        "counts": counts,
        "slide": lambda c: slide(c, middle),
        "slide, coverage": lambda c: coverage(c, middle),
        "slide of 5,000 cells": lambda c: slide(c, LARGE),
        "its first cells": lambda c: cells_of(c, LARGE),
        "its uncertain cells": lambda c: cells_of(c, LARGE, label="uncertain"),
        "devices": lambda c: device_list(c, now),
        "models": models,
    }
    took: dict[str, float] = {}
    for name, ask in pages.items():
        times_ms = []
        for _ in range(3):
            with database.reading() as connection:
                began_s = time.monotonic()
                assert ask(connection)
                times_ms.append((time.monotonic() - began_s) * 1000)
        took[name] = min(times_ms)
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    print(
        f"{kind}: {SLIDES} slides, {SLIDES * FRAMES_OF_A_SLIDE} frames, filled in {filled_s:.0f} s"
    )
    for name, took_ms in took.items():
        print(f"  {name}: {took_ms:.1f} ms")
    if SOAKING:
        late = {name: ms for name, ms in took.items() if ms >= MOST_MS and name in PROMISED}
        assert late == {}
