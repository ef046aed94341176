"""What people decided, and deciding: by the rules of the pages, and into the same chain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from deploy.dashboard.api.callers import Anyone, Lead, Reviewer
from deploy.dashboard.api.models import (
    CellNumber,
    Decide,
    DecisionItem,
    Number,
    Reopen,
    Sign,
    SignatureItem,
    Undo,
)
from deploy.dashboard.api.problems import responses
from deploy.dashboard.api.slides import require_slide
from deploy.dashboard.changes import Change, announce
from deploy.dashboard.review import decisions, signing
from deploy.dashboard.review.signing import Seen, signatures
from deploy.dashboard.web.context import PartsOf
from edge_daemon.contract.envelope import utc_now

router = APIRouter(tags=["reviews"])
_SAID_ALREADY: dict[int | str, dict[str, Any]] = {
    200: {"description": "This person had said so already; nothing was added"},
}


@router.get(
    "/slides/{number}/cells/{unique_id}/decisions",
    responses=responses(404),
    response_model=list[DecisionItem],
)
def list_decisions(parts: PartsOf, _caller: Anyone, number: Number, unique_id: CellNumber) -> Any:
    """All that was decided about a cell, in its order."""
    with parts.database.reading() as connection:
        require_slide(connection, number)
        return decisions.decisions_on(connection, number, unique_id)


@router.post(
    "/slides/{number}/cells/{unique_id}/decisions",
    status_code=201,
    responses={**_SAID_ALREADY, **responses(404, 409)},
    response_model=DecisionItem,
)
def decide(
    parts: PartsOf,
    caller: Reviewer,
    response: Response,
    number: Number,
    unique_id: CellNumber,
    body: Decide,
) -> Any:
    """Say what a cell is: an override, or agreement with the models."""
    with parts.database.writing() as connection:
        require_slide(connection, number)
        made = decisions.decide(
            connection, caller.user, number, unique_id, body.label, utc_now(), body.reason
        )
        if made is None:
            response.status_code = 200
            return decisions.decisions_on(connection, number, unique_id)[-1]
        _tell(connection, number)
        return made


@router.post(
    "/slides/{number}/undo",
    status_code=201,
    responses=responses(404, 409),
    response_model=DecisionItem,
)
def undo(parts: PartsOf, caller: Reviewer, number: Number, body: Undo) -> Any:
    """Take back one's last decision: a new row."""
    with parts.database.writing() as connection:
        require_slide(connection, number)
        made = decisions.undo(connection, caller.user, number, utc_now(), body.unique_id)
        _tell(connection, number)
        return made


@router.get(
    "/slides/{number}/signatures", responses=responses(404), response_model=list[SignatureItem]
)
def list_signatures(
    parts: PartsOf,
    _caller: Anyone,
    number: Number,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only rows after this number")] = 0,
) -> Any:
    """All that was signed of a slide, in its order."""
    with parts.database.reading() as connection:
        require_slide(connection, number)
        return [one for one in signatures(connection, number) if one.number > after]


@router.post(
    "/slides/{number}/signatures",
    status_code=201,
    responses=responses(404, 409),
    response_model=SignatureItem,
)
def sign(parts: PartsOf, caller: Reviewer, number: Number, body: Sign) -> Any:
    """Sign a slide as first or second reader; refused where it is not as `seen` says any more."""
    with parts.database.writing() as connection:
        require_slide(connection, number)
        made = signing.sign(
            connection,
            caller.user,
            number,
            body.conclusion,
            body.comment,
            Seen(body.standing, body.decisions),
            utc_now(),
            parts.settings.second_reader,
        )
        _tell(connection, number)
        return made


@router.post(
    "/slides/{number}/reopenings",
    status_code=201,
    responses=responses(404, 409),
    response_model=SignatureItem,
)
def reopen(parts: PartsOf, caller: Lead, number: Number, body: Reopen) -> Any:
    """Take a signed slide up again, with a reason."""
    with parts.database.writing() as connection:
        require_slide(connection, number)
        made = signing.reopen(connection, caller.user, number, body.reason, utc_now())
        _tell(connection, number)
        return made


def _tell(connection: Connection, number: int) -> None:
    kinds: tuple[Literal["slide"], Literal["review"]] = ("slide", "review")
    announce(connection, [Change(kind, number) for kind in kinds])
