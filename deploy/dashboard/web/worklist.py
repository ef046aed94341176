"""The worklist: slides, worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from deploy.dashboard.queries.worklist import Filters, SlideRow, counts, worklist
from deploy.dashboard.review.signing import conclusions_of
from deploy.dashboard.web.context import Anyone, AskedText, PartsOf, page_after
from deploy.dashboard.web.formats import MARKS, Bar, bar
from edge_daemon.contract.terms import Disposition

router = APIRouter()
STATES = ("running", "paused", "complete", "cut short")
DISPOSITIONS: tuple[Disposition, ...] = get_args(Disposition)
_ROWS = 50


@dataclass(frozen=True)
class Line:
    """A slide as it is drawn."""

    row: SlideRow
    bar: Bar | None
    conclusion: str | None
    """What a person concluded, where the slide is signed."""


@router.get("/worklist")
def page(
    request: Request,
    parts: PartsOf,
    visitor: Anyone,
    site: AskedText = "",
    state: AskedText = "",
    disposition: AskedText = "",
    show: AskedText = "",
    after: AskedText = "",
    part: bool = False,
) -> HTMLResponse:
    """A page of it, or with ``part`` only its rows."""
    asked = {"site": site, "state": state, "disposition": disposition, "show": show}
    filters = Filters(
        site=site or None,
        state=state if state in STATES else None,
        disposition=disposition if disposition in DISPOSITIONS else None,
        unreviewed=show == "unreviewed",
        unsigned=show == "unsigned",
        controls=show == "controls",
    )
    with parts.database.reading() as connection:
        found = worklist(connection, filters, page_after(after, 3), _ROWS)
        summary = counts(connection)
        signed = [row.id for row in found.rows if row.review in ("signed", "first")]
        concluded = conclusions_of(connection, signed) if signed else {}
    return parts.pages.page(
        request,
        "worklist_rows.html" if part else "worklist.html",
        visitor,
        lines=[
            Line(row, bar(row.fraction, row.low, row.high), concluded.get(row.id))
            for row in found.rows
        ],
        more=None if found.after is None else _address(asked, found.after),
        first=_address(asked, "") if after else None,
        counts=summary,
        asked=asked,
        filtered=any(asked.values()),
        states=STATES,
        dispositions=DISPOSITIONS,
        marks=MARKS,
    )


def _address(asked: dict[str, str], after: str) -> str:
    query = {name: value for name, value in {**asked, "after": after}.items() if value}
    return "/worklist" + (f"?{urlencode(query)}" if query else "")
