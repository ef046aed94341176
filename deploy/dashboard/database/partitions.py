"""Frames of PostgreSQL lie in a partition a month, made ahead of time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

AHEAD_MONTHS = 3


def make_partitions(connection: Connection, now: datetime) -> None:
    """Make those of this month and of the next ones; SQLite has none.

    ``frames_rest`` takes what no month takes, so that nothing is ever refused for want of one.
    """
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text("CREATE TABLE IF NOT EXISTS frames_rest PARTITION OF frames DEFAULT"))
    year, month = now.year, now.month
    for _ in range(AHEAD_MONTHS + 1):
        later_year, later_month = (year, month + 1) if month < 12 else (year + 1, 1)
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS frames_{year}_{month:02} PARTITION OF frames "
                f"FOR VALUES FROM ('{year}-{month:02}-01T00:00Z') "
                f"TO ('{later_year}-{later_month:02}-01T00:00Z')"
            )
        )
        year, month = later_year, later_month
