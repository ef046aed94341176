"""Alerts: what is so, who takes care of it, what was; and whether anybody watches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from deploy.dashboard.alerts import book, lease
from deploy.dashboard.alerts.words import KINDS
from deploy.dashboard.queries import alerts as queries
from deploy.dashboard.queries.fleet import listening
from deploy.dashboard.web.context import Anyone, AskedNumber, AskedText, Number, PartsOf, Reviewer
from edge_daemon.contract.envelope import utc_now

router = APIRouter()
_ROWS = 50

KIND_WORDS = {
    "positive": "Positive slide",
    "device": "Device",
    "gaps": "Results missing",
    "control": "Control",
    "scores": "Scores drift",
    "stain": "Stain drifts",
    "disk": "Disk",
    "ingest": "Ingest",
    "channel": "Alerts not delivered",
}
EVENT_WORDS = {
    "raised": "raised",
    "worse": "became worse",
    "better": "became better",
    "acknowledged": "acknowledged",
    "cleared": "over",
}


@router.get("/alerts")
def page(
    request: Request,
    parts: PartsOf,
    visitor: Anyone,
    kind: AskedText = "",
    before: AskedNumber = None,
    part: bool = False,
) -> HTMLResponse:
    """What is open, worst first, and what was."""
    kind = kind if kind in KINDS else ""
    now = utc_now()
    with parts.database.reading() as connection:
        now_open = queries.open_alerts(connection, kind or None)
        past = queries.past_alerts(connection, kind or None, before, _ROWS + 1)
        channels = queries.channels(connection)
        watched = lease.holder(connection, now) is not None
        heard = listening(connection, now)
    return parts.pages.page(
        request,
        "alerts_body.html" if part else "alerts.html",
        visitor,
        open=now_open,
        past=past[:_ROWS],
        more=past[_ROWS - 1].id if len(past) > _ROWS else None,
        before=before,
        channels=channels,
        watched=watched,
        heard=heard,
        kind=kind,
        kinds=KINDS,
        kind_words=KIND_WORDS,
    )


@router.get("/alerts/standing")
def standing(parts: PartsOf, _visitor: Anyone) -> JSONResponse:
    """For the head of every page: how many nobody acknowledged, and the newest of them."""
    with parts.database.reading() as connection:
        found = queries.standing(connection)
        watched = lease.holder(connection, utc_now()) is not None
    return JSONResponse(
        {
            "open": found.open,
            "unacknowledged": found.unacknowledged,
            "urgent": found.urgent,
            "newest": found.newest,
            "line": found.line,
            "watched": watched,
        }
    )


@router.get("/alerts/{number}")
def one(request: Request, parts: PartsOf, visitor: Anyone, number: Number) -> HTMLResponse:
    """One alert, and all that became of it."""
    with parts.database.reading() as connection:
        found = queries.alert(connection, number)
        if found is None:
            raise HTTPException(404, f"there is no alert {number} here")
        events = queries.events_of(connection, number)
    return parts.pages.page(
        request,
        "alert.html",
        visitor,
        alert=found,
        events=events,
        kind_words=KIND_WORDS,
        event_words=EVENT_WORDS,
    )


@router.post("/alerts/{number}/acknowledge")
def acknowledge(
    parts: PartsOf,
    visitor: Reviewer,
    number: Number,
    note: Annotated[str, Form(max_length=book.LONGEST_NOTE)] = "",
) -> Response:
    """Say that one takes care of it."""
    with parts.database.writing() as connection:
        book.acknowledge(connection, visitor.user, number, note, utc_now(), visitor.address)
    return RedirectResponse("/alerts", 303)
