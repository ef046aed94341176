"""Who decided what, when, with which model; and whether the chain of it holds."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection, func, select

from deploy.dashboard.database.tables import audit as audit_table
from deploy.dashboard.database.tables import reviews
from deploy.dashboard.review.anchor import verify_all
from deploy.dashboard.review.chain import Head
from deploy.dashboard.review.errors import ChainError
from deploy.dashboard.review.records import record
from deploy.dashboard.web.context import AskedNumber, AskedText, Lead, PartsOf
from edge_daemon.contract.envelope import utc_now

router = APIRouter()
_ROWS = 100
_AT_ONCE = 20_000
"""Rows that are gone through whenever the page is opened; more than that when somebody asks."""


@dataclass(frozen=True)
class Entry:
    """A row as it is shown."""

    number: int
    at: datetime
    user: str
    kind: str
    subject: str
    slide_id: int | None
    unique_id: int | None
    label: str | None
    was: str | None
    reason: str | None
    bundle: str | None
    role: str | None
    hash: str


@dataclass(frozen=True)
class Checked:
    """What came of going through the chains."""

    at: datetime
    seconds: float
    heads: dict[str, Head]
    fault: str | None


Chain = Annotated[str, Query(pattern="^(reviews|access)$")]


@router.get("/audit")
def page(
    request: Request,
    parts: PartsOf,
    visitor: Lead,
    chain: Chain = "reviews",
    user: AskedText = "",
    before: AskedNumber = None,
) -> HTMLResponse:
    """The newest rows, and what came of going through the chains."""
    with parts.database.reading() as connection:
        rows = _rows(connection, chain, user, before)
        names = connection.scalars(
            select(reviews.c.user_name).distinct().order_by(reviews.c.user_name)
        ).all()
        total = sum(
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (reviews, audit_table)
        )
        checked: Checked | None = getattr(request.app.state, "checked", None)
        if total <= _AT_ONCE:
            checked = request.app.state.checked = _check(connection)
    more = rows[-1].number if len(rows) > _ROWS else None
    return parts.pages.page(
        request,
        "audit.html",
        visitor,
        rows=rows[:_ROWS],
        more=rows[_ROWS - 1].number if more else None,
        chain=chain,
        user=user,
        names=names,
        before=before,
        checked=checked,
        total=total,
    )


@router.post("/audit/verify")
def verify(request: Request, parts: PartsOf, visitor: Lead) -> Response:
    """Go through the chains now, however long they are."""
    with parts.database.reading() as connection:
        checked = request.app.state.checked = _check(connection)
    with parts.database.writing() as connection:
        record(
            connection,
            visitor.user.name,
            "verify",
            "chains",
            visitor.address,
            fault=checked.fault,
        )
    return RedirectResponse("/audit", 303)


def _check(connection: Connection) -> Checked:
    began = time.monotonic()
    try:
        heads, fault = verify_all(connection), None
    except ChainError as error:
        heads, fault = {}, str(error)
    return Checked(utc_now(), time.monotonic() - began, heads, fault)


def _rows(connection: Connection, chain: str, user: str, before: int | None) -> list[Entry]:
    table = reviews if chain == "reviews" else audit_table
    query = select(table).order_by(table.c.id.desc()).limit(_ROWS + 1)
    if user:
        query = query.where(table.c.user_name == user)
    if before is not None:
        query = query.where(table.c.id < before)
    rows = connection.execute(query)
    return [_review(row) if chain == "reviews" else _access(row) for row in rows]


def _review(row: Any) -> Entry:
    said = _said(row.document)
    subject = "/".join(str(said.get(name, "?")) for name in ("site", "device", "slide"))
    return Entry(
        row.id,
        row.at,
        row.user_name,
        row.kind,
        subject,
        row.slide_id,
        row.unique_id,
        row.label,
        row.was,
        row.reason,
        said.get("bundle"),
        said.get("role"),
        row.hash,
    )


def _access(row: Any) -> Entry:
    return Entry(
        row.id,
        row.at,
        row.user_name,
        row.what,
        row.subject,
        None,
        None,
        None,
        None,
        row.address,
        None,
        None,
        row.hash,
    )


def _said(document: str) -> dict[str, Any]:
    try:
        found = json.loads(document)
    except ValueError:  # the check of the chain names the row
        return {}
    return found if isinstance(found, dict) else {}
