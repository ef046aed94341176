"""Models: which bundle said what, and two of them on the same slides."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from deploy.dashboard.queries import comparing
from deploy.dashboard.queries import models as queries
from deploy.dashboard.queries.comparing import LABELS, table_of
from deploy.dashboard.web.context import Anyone, AskedText, Number, PartsOf
from deploy.dashboard.web.devices import bundle_names
from deploy.dashboard.web.formats import MARKS, Bar, bar
from deploy.dashboard.web.worklist import DISPOSITIONS

router = APIRouter()
_SLIDES = 100


@dataclass(frozen=True)
class Side:
    """What one bundle says of a slide."""

    title: str
    digest: str | None
    disposition: str | None
    fraction: float | None
    low: float | None
    high: float | None
    bar: Bar | None
    nucleated: int
    blasts: int
    uncertain: int


@router.get("/models")
def page(
    request: Request, parts: PartsOf, visitor: Anyone, candidate: AskedText = "", part: bool = False
) -> HTMLResponse:
    """Every bundle with what it said, every pair, and the slides that two looked at."""
    with parts.database.reading() as connection:
        values: dict[str, Any] = {
            "models": queries.models(connection),
            "pairs": comparing.pairs(connection),
            "seconds": comparing.seconds(connection),
            "slides": queries.side_by_side(connection, candidate or None, _SLIDES),
            "names": bundle_names(connection),
        }
    return parts.pages.page(
        request,
        "models_body.html" if part else "models.html",
        visitor,
        candidate=candidate,
        labels=LABELS,
        dispositions=tuple(reversed(DISPOSITIONS)),
        **values,
    )


@router.get("/models/slides/{number}")
def compared(
    request: Request, parts: PartsOf, visitor: Anyone, number: Number, candidate: AskedText = ""
) -> HTMLResponse:
    """Two bundles side by side on one slide."""
    with parts.database.reading() as connection:
        report = comparing.report(connection, number, candidate)
        if report is None:
            raise HTTPException(404, "no report of this candidate about this slide is here")
        seconds = comparing.seconds(connection, number)
        names = bundle_names(connection)
    said = report.said
    active, shadow = said.get("bundle"), said.get("candidate", {})
    sides = (
        _side("Active", active, said.get("by_active", {})),
        _side("Candidate", shadow.get("digest"), said.get("by_candidate", {})),
    )
    return parts.pages.page(
        request,
        "compared.html",
        visitor,
        report=report,
        candidate=candidate,
        said=said,
        sides=sides,
        table=table_of(said),
        labels=LABELS,
        seconds=seconds,
        marks=MARKS,
        names=names | {candidate: str(shadow.get("bundle", ""))},
    )


@router.get("/models/slides/{number}/pictures/{place}")
def picture(
    parts: PartsOf, _visitor: Anyone, number: Number, place: Number, candidate: AskedText = ""
) -> Response:
    """A cell that two bundles judge differently, as the report shows it."""
    with parts.database.reading() as connection:
        report = comparing.report(connection, number, candidate)
    worst = [] if report is None else report.said.get("worst", [])
    try:
        jpeg = base64.b64decode(worst[place]["jpeg"], validate=True)
    except (IndexError, KeyError, TypeError, binascii.Error):
        raise HTTPException(404, "there is no such picture") from None
    return Response(jpeg, media_type="image/jpeg")


def _side(title: str, digest: str | None, said: dict[str, Any]) -> Side:
    share = said.get("blast_fraction") or {}
    fraction, low, high = share.get("estimate"), share.get("low"), share.get("high")
    return Side(
        title,
        digest,
        said.get("disposition"),
        fraction,
        low,
        high,
        bar(fraction, low, high),
        said.get("nucleated_cells", 0),
        said.get("blasts", 0),
        said.get("uncertain", 0),
    )
