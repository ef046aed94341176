"""The page of a slide: what it says before and after review, how, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy import Connection, func, select

from deploy.dashboard.database.tables import cells, reviews, slides
from deploy.dashboard.queries.slide import Differential, Slide, coverage, points, slide
from deploy.dashboard.review.signing import (
    CONCLUSIONS,
    Seen,
    Signature,
    seen_now,
    signatures,
)
from deploy.dashboard.web.context import Anyone, AskedNumber, Number, PartsOf
from deploy.dashboard.web.coverage_map import coverage_map
from deploy.dashboard.web.formats import MARKS, Bar, bar
from deploy.dashboard.web.gallery import FIRST, cells_as_rows
from deploy.dashboard.web.visitor import Visitor
from edge_daemon.vision.slide import blast_fraction

router = APIRouter()


@dataclass(frozen=True)
class Counts:
    """Nucleated cells of a slide by label, and what follows."""

    blast: int
    uncertain: int
    normal: int
    not_a_cell: int
    fraction: float | None
    bar: Bar | None
    low: float | None
    high: float | None

    @property
    def nucleated(self) -> int:
        """The denominator: what is no cell does not count."""
        return self.blast + self.uncertain + self.normal


@dataclass(frozen=True)
class Delivery:
    """What of a slide is not here, in figures."""

    missing_frames: tuple[tuple[int, int], ...]
    frames_missing: int
    cells_missing: int
    """Nucleated cells that the summary counts and no frame that is here lists."""

    @property
    def whole(self) -> bool:
        """Whether all of it is here, as far as is known."""
        return not self.frames_missing and not self.cells_missing


def counts_before(found: Slide) -> Counts:
    """As the models say: the newest summary, or where there is none yet, the cells that came."""
    row, cells_here = found.row, found.differential
    if found.summary is None:
        return _counts(cells_here.blast, cells_here.uncertain, cells_here.normal, 0)
    return _counts(row.blasts, row.uncertain, row.nucleated - row.blasts - row.uncertain, 0)


def counts_after(before: Counts, cells_here: Differential) -> Counts:
    """The same, with the word of people in place of the models' on the cells they decided about."""
    return _counts(
        before.blast + cells_here.reviewed_blast - cells_here.blast,
        before.uncertain + cells_here.reviewed_uncertain - cells_here.uncertain,
        before.normal + cells_here.reviewed_normal - cells_here.normal,
        cells_here.reviewed_other,
    )


def _counts(blast: int, uncertain: int, normal: int, not_a_cell: int) -> Counts:
    blast, uncertain, normal = max(0, blast), max(0, uncertain), max(0, normal)
    found = blast_fraction(blast, blast + uncertain + normal)
    if found is None:
        return Counts(blast, uncertain, normal, not_a_cell, None, None, None, None)
    return Counts(
        blast,
        uncertain,
        normal,
        not_a_cell,
        found.estimate,
        bar(found.estimate, found.low, found.high),
        found.low,
        found.high,
    )


def delivery_of(found: Slide, before: Counts) -> Delivery:
    """What of a slide did not arrive."""
    here = found.differential
    listed = here.blast + here.uncertain + here.normal
    holes = found.missing_frames
    lost = sum(last - first + 1 for first, last in holes)
    if found.purged_at is not None and found.summary is not None:
        # which numbers is not known any more; how many still is, by what was counted as it came
        arrived = found.quality.analysed + found.quality.rejected
        arrived += found.quality.dropped + found.quality.failed
        lost = max(0, found.summary["frames"]["captured"] - arrived)
    return Delivery(
        holes,
        lost,
        max(0, before.nucleated - listed),
    )


def values_of(connection: Connection, number: int, visitor: Visitor) -> dict[str, Any]:
    """What the page and its live part show.

    Raises:
        HTTPException: 404, there is no such slide.
    """
    found = slide(connection, number)
    if found is None:
        raise HTTPException(404, f"there is no slide {number} here")
    before = counts_before(found)
    row = connection.execute(select(slides).where(slides.c.id == number)).one()
    signed = signatures(connection, number)
    return {
        "slide": found,
        "row": found.row,
        "summary": found.summary or {},  # as it was said: a field of now may be absent
        "before": before,
        "after": counts_after(before, found.differential),
        "decided": decided_of(connection, number),
        "delivery": delivery_of(found, before),
        "signed": signed,
        "standing": standing_signatures(signed),
        "stale": is_stale(signed, row.summary_order, found.row.review),
        "seen": seen_now(connection, row),
        "visitor": visitor,
        "marks": MARKS,
        "conclusions": CONCLUSIONS,
    }


@router.get("/slides/{number}")
def page(request: Request, parts: PartsOf, visitor: Anyone, number: Number) -> HTMLResponse:
    """The whole page, with the first cells in it."""
    with parts.database.reading() as connection:
        values = values_of(connection, number, visitor)
        rows, after = cells_as_rows(connection, number, None, FIRST)
        where = coverage_map(coverage(connection, number))
    values.pop("visitor")
    return parts.pages.page(
        request,
        "slide.html",
        visitor,
        first_cells={"rows": rows, "after": after},
        coverage=where,
        attribution=parts.attributions is not None,
        **values,
    )


@router.get("/slides/{number}/news")
def news(parts: PartsOf, visitor: Anyone, number: Number, since: AskedNumber = 0) -> JSONResponse:
    """What an open page shows now: its live part, and cells that were decided about ``since``."""
    with parts.database.reading() as connection:
        values = values_of(connection, number, visitor)
        seen: Seen = values["seen"]
        decided = select(reviews.c.unique_id).where(
            reviews.c.slide_id == number,
            reviews.c.id > (since or 0),
            reviews.c.unique_id.is_not(None),
        )
        rows = connection.execute(
            select(cells.c.unique_id, cells.c.reviewed_label, cells.c.reviewed_by).where(
                cells.c.slide_id == number, cells.c.unique_id.in_(decided)
            )
        ).all()
        total = connection.scalar(
            select(func.count()).select_from(cells).where(cells.c.slide_id == number)
        )
    return JSONResponse(
        {
            "head": parts.pages.part("slide_head.html", **values),
            "signatures": parts.pages.part("slide_signatures.html", **values),
            "quality": parts.pages.part("slide_quality.html", **values),
            "seen": {"standing": seen.standing, "decisions": seen.decisions},
            "decided": [list(row) for row in rows],
            "cells": total,
        }
    )


@router.get("/slides/{number}/points")
def interval_over_time(parts: PartsOf, _visitor: Anyone, number: Number) -> JSONResponse:
    """The interval as cells came in, for the chart."""
    with parts.database.reading() as connection:
        found = points(connection, number)
    return JSONResponse(
        [
            {
                "at": one.at.isoformat(timespec="seconds"),
                "cells": one.nucleated,
                "fraction": one.fraction,
                "low": one.low,
                "high": one.high,
            }
            for one in found
            if one.fraction is not None
        ]
    )


def decided_of(connection: Connection, number: int) -> int:
    """How many of its cells a person decided about."""
    query = select(func.count()).where(
        cells.c.slide_id == number, cells.c.reviewed_label.is_not(None)
    )
    return int(connection.scalar(query.select_from(cells)) or 0)


def standing_signatures(signed: list[Signature]) -> list[Signature]:
    """Those that still count: the last first signature, and what came after it."""
    found: list[Signature] = []
    for one in signed:
        if one.kind == "second":
            found.append(one)
        else:
            found = [one] if one.kind == "sign" else []
    return found


def is_stale(signed: list[Signature], standing: str, review: str) -> bool:
    """Whether results came in after the slide was signed."""
    if review not in ("signed", "first") or not signed:
        return False
    return signed[-1].standing != standing
