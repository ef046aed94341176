"""Slides, and cells of a slide, as CSV by RFC 4180: UTF-8, CRLF, a header line.

Rows come by pages in the order of their number, which never changes, so that a table of a million
cells takes no memory and one that is written while results come in has every row once.
Spreadsheets run what looks like a formula: text that begins like one gets an apostrophe in front
(OWASP, "CSV Injection"). Numbers are written as numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Row, Select, case, exists, func, select

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import cells, crops, devices, opinions, reviews, slides
from deploy.dashboard.queries.worklist import Filters, filtered

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
_AT_ONCE = 1000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

SLIDE_COLUMNS = (
    "id", "site", "device", "slide", "control", "state", "completion", "disposition",
    "blast_fraction", "interval_low", "interval_high", "nucleated", "blasts", "uncertain",
    "cells_to_look_at", "cells_decided", "review", "signed_at", "signed_by", "started_at",
    "ended_at", "heard_at", "frames_analysed", "frames_rejected", "frames_dropped",
    "frames_failed", "frames_deleted_at", "bundle",
)  # fmt: skip
CELL_COLUMNS = (
    "slide_id", "cell", "label", "p_blast", "reviewed_label", "reviewed_by", "reviewed_at",
    "second_label", "second_p_blast", "detector_score", "frame", "x_px", "y_px", "width_px",
    "height_px", "um_per_px", "views", "whole", "has_picture",
)  # fmt: skip


def slides_csv(database: Database, filters: Filters) -> Iterator[str]:
    """A table of slides, in parts."""

    def some(connection: Connection, after: int) -> Sequence[Row[Any]]:
        query = filtered(_slides(), filters).where(slides.c.id > after)
        return connection.execute(query.order_by(slides.c.id).limit(_AT_ONCE)).all()

    return _table(database, SLIDE_COLUMNS, some, lambda row: int(row.id), list)


def cells_csv(database: Database, slide_id: int) -> Iterator[str]:
    """A table of the cells of a slide, in parts."""

    def some(connection: Connection, after: int) -> Sequence[Row[Any]]:
        query = _cells().where(cells.c.slide_id == slide_id, cells.c.unique_id > after)
        return connection.execute(query.order_by(cells.c.unique_id).limit(_AT_ONCE)).all()

    return _table(database, CELL_COLUMNS, some, lambda row: int(row.unique_id), list)


def line(values: Iterable[Any]) -> str:
    """One line of CSV, with its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([cell_of(one) for one in values])
    return text.getvalue()


def cell_of(value: Any) -> Any:
    """A value as a spreadsheet may safely see it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds")
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _table(
    database: Database,
    columns: Sequence[str],
    some: Callable[[Connection, int], Sequence[Row[Any]]],
    number: Callable[[Row[Any]], int],
    values: Callable[[Row[Any]], list[Any]],
) -> Iterator[str]:
    yield line(columns)
    after = -1
    while True:
        with database.reading() as connection:
            rows = some(connection, after)
        if rows:
            yield "".join(line(values(row)) for row in rows)
        if len(rows) < _AT_ONCE:
            return
        after = number(rows[-1])


def _slides() -> Select[Any]:
    decided = (
        select(func.count())
        .select_from(cells)
        .where(cells.c.slide_id == slides.c.id, cells.c.reviewed_label.is_not(None))
        .scalar_subquery()
    )
    # cells of a slide that nobody touched are not gone through
    touched = exists().where(reviews.c.slide_id == slides.c.id)
    given = case((touched, decided), else_=0)
    signer = (
        select(reviews.c.user_name)
        .where(reviews.c.slide_id == slides.c.id, reviews.c.kind.in_(("sign", "second")))
        .order_by(reviews.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    it = slides.c
    return select(
        it.id, it.site, devices.c.name, it.name.label("slide"), it.control, it.state,
        it.completion, it.disposition, func.nullif(it.fraction, -1), it.low, it.high,
        it.nucleated, it.blasts, it.uncertain, it.unreviewed, given, it.review, it.signed_at,
        signer, it.started_at, it.ended_at, it.newest_at, it.analysed, it.rejected, it.dropped,
        it.failed, it.purged_at, it.bundle,
    ).join(devices, devices.c.id == it.device_id)  # fmt: skip


def _cells() -> Select[Any]:
    it = cells.c

    def second(column: Any) -> Any:
        return (
            select(column)
            .where(opinions.c.slide_id == it.slide_id, opinions.c.unique_id == it.unique_id)
            .order_by(opinions.c.frame.desc(), opinions.c.boot.desc(), opinions.c.seq.desc())
            .limit(1)
            .scalar_subquery()
        )

    pictured = exists().where(crops.c.slide_id == it.slide_id, crops.c.unique_id == it.unique_id)
    return select(
        it.slide_id, it.unique_id, it.label, it.p_blast, it.reviewed_label, it.reviewed_by,
        it.reviewed_at, second(opinions.c.second_label), second(opinions.c.second_p_blast),
        it.score, it.frame, it.x, it.y, it.width, it.height, it.um_per_px, it.views, it.whole,
        pictured,
    )  # fmt: skip
