"""What a reviewer does on the page of a slide, each as one request and one row of the chain."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy import Connection, select

from deploy.dashboard.changes import Change, announce
from deploy.dashboard.database.tables import cells
from deploy.dashboard.review import decisions, signing
from deploy.dashboard.review.standing import Label
from deploy.dashboard.web.context import Lead, Number, PartsOf, Reviewer
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.terms import Disposition

router = APIRouter()
Comment = Annotated[str, Field(max_length=decisions.LONGEST_REASON)]
Counted = Annotated[int, Field(ge=0, le=2**53)]


class Decided(StrictModel):
    """What a cell is."""

    label: Label
    reason: Comment | None = None


class Undone(StrictModel):
    """The last decision, or the last about one cell."""

    unique_id: Counted | None = None


class Signed(StrictModel):
    """What a slide says, and the state of it that was looked at."""

    conclusion: Disposition
    comment: Comment | None = None
    standing: Annotated[str, Field(max_length=80)]
    decisions: Counted


class Reopened(StrictModel):
    """Why a signed slide is taken up again."""

    reason: Comment


@router.post("/slides/{number}/cells/{unique_id}/decision")
def decide(
    parts: PartsOf, visitor: Reviewer, number: Number, unique_id: Number, body: Decided
) -> JSONResponse:
    """Say what a cell is."""
    with parts.database.writing() as connection:
        decisions.decide(
            connection, visitor.user, number, unique_id, body.label, utc_now(), body.reason
        )
        _tell(connection, number)
        return _standing_of(connection, number, unique_id)


@router.post("/slides/{number}/undo")
def undo(parts: PartsOf, visitor: Reviewer, number: Number, body: Undone) -> JSONResponse:
    """Take back one's last decision."""
    with parts.database.writing() as connection:
        made = decisions.undo(connection, visitor.user, number, utc_now(), body.unique_id)
        _tell(connection, number)
        return _standing_of(connection, number, made.unique_id)


@router.post("/slides/{number}/signature")
def sign(parts: PartsOf, visitor: Reviewer, number: Number, body: Signed) -> JSONResponse:
    """Sign a slide, as first or second reader."""
    with parts.database.writing() as connection:
        made = signing.sign(
            connection,
            visitor.user,
            number,
            body.conclusion,
            body.comment,
            signing.Seen(body.standing, body.decisions),
            utc_now(),
            parts.settings.second_reader,
        )
        _tell(connection, number)
    return JSONResponse({"number": made.number, "kind": made.kind})


@router.post("/slides/{number}/reopen")
def reopen(parts: PartsOf, visitor: Lead, number: Number, body: Reopened) -> JSONResponse:
    """Take a signed slide up again."""
    with parts.database.writing() as connection:
        made = signing.reopen(connection, visitor.user, number, body.reason, utc_now())
        _tell(connection, number)
    return JSONResponse({"number": made.number, "kind": made.kind})


def _tell(connection: Connection, number: int) -> None:
    kinds: tuple[Literal["slide"], Literal["review"]] = ("slide", "review")
    announce(connection, [Change(kind, number) for kind in kinds])


def _standing_of(connection: Connection, number: int, unique_id: int) -> JSONResponse:
    row = connection.execute(
        select(cells.c.unique_id, cells.c.reviewed_label, cells.c.reviewed_by).where(
            cells.c.slide_id == number, cells.c.unique_id == unique_id
        )
    ).one()
    return JSONResponse({"decided": list(row)})
