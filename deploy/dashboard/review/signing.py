"""A person signs what a slide says; until then all of it is preliminary.

Whoever signs says which state of the slide was looked at; where it has changed since, the
signature is refused, so that nobody signs what was not on the page. A decision about a cell that
comes after a signature, or a second reader who concludes something else, makes it void: the slide
is ``amended`` and waits to be signed again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import Connection, Row, func, select, update

from deploy.dashboard.access.users import User
from deploy.dashboard.database.tables import cells, reviews, slides
from deploy.dashboard.review.chain import append
from deploy.dashboard.review.decisions import about, clean, locked_slide, may_decide
from deploy.dashboard.review.errors import ReviewError
from edge_daemon.contract.terms import Disposition

SecondReader: TypeAlias = Literal["optional", "positive", "always"]
"""When a second person has to sign: never has to, of what is called positive, of every slide."""

CONCLUSIONS: tuple[Disposition, ...] = get_args(Disposition)
SIGNATURES = ("sign", "second", "reopen")
_ENDED = ("complete", "cut short")


@dataclass(frozen=True)
class Seen:
    """The state of a slide that a page showed."""

    standing: str
    """``summary_order`` of the slide."""
    decisions: int
    """Number of the last row of ``reviews`` about it; 0 without any."""


@dataclass(frozen=True)
class Signature:
    """One row of the kind ``sign``, ``second`` or ``reopen``."""

    number: int
    at: datetime
    user: str
    full_name: str | None
    kind: str
    conclusion: str | None
    comment: str | None
    standing: str
    bundle: str | None
    made_final: bool = False
    """Whether the slide was signed by all who have to, when this was written."""


def seen_now(connection: Connection, slide: Row[Any]) -> Seen:
    """The state of a slide as it is."""
    last = select(func.max(reviews.c.id)).where(reviews.c.slide_id == slide.id)
    return Seen(slide.summary_order, connection.scalar(last) or 0)


def signatures(connection: Connection, slide_id: int) -> list[Signature]:
    """All that was signed of a slide, in its order."""
    rows = connection.execute(
        select(reviews)
        .where(reviews.c.slide_id == slide_id, reviews.c.kind.in_(SIGNATURES))
        .order_by(reviews.c.id)
    )
    return [_signature(row) for row in rows]


def conclusions_of(connection: Connection, slide_ids: Sequence[int]) -> dict[int, str]:
    """What the last signature of each slide concludes; ``slides.review`` says whether it counts."""
    last = (
        select(func.max(reviews.c.id))
        .where(reviews.c.slide_id.in_(slide_ids), reviews.c.kind.in_(("sign", "second")))
        .group_by(reviews.c.slide_id)
    )
    rows = connection.execute(
        select(reviews.c.slide_id, reviews.c.label).where(reviews.c.id.in_(last))
    )
    return {number: label for number, label in rows}  # noqa: C416 - rows are no pairs to mypy


def sign(
    connection: Connection,
    user: User,
    slide_id: int,
    conclusion: str,
    comment: str | None,
    seen: Seen,
    now: datetime,
    second_reader: SecondReader = "optional",
) -> Signature:
    """Sign a slide, as first or as second reader; inside a writing transaction.

    Raises:
        ReviewError: one line that says why not.
    """
    may_decide(user)
    slide = locked_slide(connection, slide_id)
    comment = clean(comment)
    if conclusion not in CONCLUSIONS:
        raise ReviewError(f"a slide is concluded as one of {', '.join(CONCLUSIONS)}")
    if slide.state not in _ENDED:
        raise ReviewError("the slide is still under way: it can be signed when it has ended")
    if seen_now(connection, slide) != seen:
        raise ReviewError("the slide has changed since this page showed it: look again, then sign")
    if comment is None and conclusion != slide.disposition:
        raise ReviewError("the model says something else: write why you conclude otherwise")
    kind, review = _next(connection, user, slide, conclusion, second_reader)
    number = append(
        connection,
        reviews,
        {
            "at": now,
            "user_id": user.id,
            "user_name": user.name,
            "kind": kind,
            "slide_id": slide_id,
            "unique_id": None,
            "label": conclusion,
            "was": slide.disposition,
            "reason": comment,
        },
        **about(slide, user),
        bundle=slide.bundle,
        decisions=seen.decisions,
        counts={
            "nucleated": slide.nucleated,
            "blasts": slide.blasts,
            "uncertain": slide.uncertain,
        },
        reviewed=_reviewed(connection, slide_id),
        unreviewed=slide.unreviewed,
        review=review,
    )
    connection.execute(
        update(slides)
        .where(slides.c.id == slide_id)
        .values(review=review, signed_at=now if review in ("signed", "first") else None)
    )
    return _signature(connection.execute(select(reviews).where(reviews.c.id == number)).one())


def reopen(
    connection: Connection, user: User, slide_id: int, reason: str | None, now: datetime
) -> Signature:
    """Take a signed slide up again; a lead's right, with a reason.

    Raises:
        ReviewError: one line that says why not.
    """
    if not user.may("lead"):
        raise ReviewError("a signed slide is taken up again by a lead")
    slide = locked_slide(connection, slide_id)
    reason = clean(reason)
    if reason is None:
        raise ReviewError("write why the slide is taken up again")
    if slide.review not in ("signed", "first"):
        raise ReviewError("the slide is not signed")
    number = append(
        connection,
        reviews,
        {
            "at": now,
            "user_id": user.id,
            "user_name": user.name,
            "kind": "reopen",
            "slide_id": slide_id,
            "unique_id": None,
            "label": None,
            "was": slide.disposition,
            "reason": reason,
        },
        **about(slide, user),
        bundle=slide.bundle,
    )
    connection.execute(
        update(slides).where(slides.c.id == slide_id).values(review="amended", signed_at=None)
    )
    return _signature(connection.execute(select(reviews).where(reviews.c.id == number)).one())


def _next(
    connection: Connection, user: User, slide: Row[Any], conclusion: str, wanted: SecondReader
) -> tuple[str, str]:
    """Kind of the row, and how the slide stands after it."""
    if slide.review in ("signed", "first"):
        first = [one for one in signatures(connection, slide.id) if one.kind == "sign"][-1]
        if first.user == user.name:
            raise ReviewError("you have signed this slide: a second reader is somebody else")
        return "second", "signed" if conclusion == first.conclusion else "amended"
    needs_two = wanted == "always" or (wanted == "positive" and conclusion == "positive")
    return "sign", "first" if needs_two else "signed"


def _reviewed(connection: Connection, slide_id: int) -> dict[str, int]:
    rows = connection.execute(
        select(cells.c.reviewed_label, func.count())
        .where(cells.c.slide_id == slide_id, cells.c.reviewed_label.is_not(None))
        .group_by(cells.c.reviewed_label)
    )
    return {label: count for label, count in rows}  # noqa: C416 - rows are no pairs to mypy


def _signature(row: Row[Any]) -> Signature:
    document = json.loads(row.document)
    return Signature(
        row.id,
        row.at,
        row.user_name,
        document.get("full_name"),
        row.kind,
        row.label,
        row.reason,
        document.get("standing", ""),
        document.get("bundle"),
        document.get("review") == "signed",
    )
