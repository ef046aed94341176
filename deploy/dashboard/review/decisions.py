"""What a person decides about a cell: what it is, and that the last decision was a slip.

Each is a new row of ``reviews``; nothing there is ever changed. Beside it, in the same
transaction, the cell keeps the last word for queries, and the slide how many cells nobody has
looked at.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from deploy.dashboard.access.users import User
from deploy.dashboard.database.tables import cells, devices, frames, reviews, slides
from deploy.dashboard.review.chain import append
from deploy.dashboard.review.errors import ReviewError
from deploy.dashboard.review.standing import DECISIONS, LABELS, Decision, standing

LONGEST_REASON = 2000
NOT_CLEARED = ("blast", "uncertain")
"""Labels of the models that ask for a person."""


def decide(
    connection: Connection,
    user: User,
    slide_id: int,
    unique_id: int,
    label: str,
    now: datetime,
    reason: str | None = None,
) -> Decision | None:
    """Say what a cell is, inside a writing transaction; None: this person had said so already.

    Raises:
        ReviewError: no such cell, no such label, or this person may not.
    """
    may_decide(user)
    if label not in LABELS:
        raise ReviewError(f"a cell is one of {', '.join(LABELS)}, not {label[:20]!r}")
    slide = locked_slide(connection, slide_id)
    cell = _cell(connection, slide_id, unique_id)
    if cell.reviewed_label == label and cell.reviewed_by == user.name:
        return None
    kind = "confirm" if label == cell.label else "override"
    number = append(
        connection,
        reviews,
        {
            "at": now,
            "user_id": user.id,
            "user_name": user.name,
            "kind": kind,
            "slide_id": slide_id,
            "unique_id": unique_id,
            "label": label,
            "was": cell.reviewed_label or cell.label,
            "reason": clean(reason),
        },
        **about(slide, user),
        bundle=_bundle_of(connection, slide, cell.frame),
        model_label=cell.label,
        p_blast=cell.p_blast,
        frame=cell.frame,
    )
    _keep(connection, slide, unique_id, label, user.name, now)
    return _decision(connection, number)


def undo(
    connection: Connection, user: User, slide_id: int, now: datetime, unique_id: int | None = None
) -> Decision:
    """Take back this person's last decision on a slide, or on one cell of it: a new row.

    Raises:
        ReviewError: there is none, or somebody decided about the cell since.
    """
    may_decide(user)
    slide = locked_slide(connection, slide_id)
    last = _last_of(connection, user, slide_id, unique_id)
    history = decisions_on(connection, slide_id, last.unique_id)
    stands = standing(history)
    if stands is None or stands.number != last.number:
        who = "nobody" if stands is None else stands.user
        raise ReviewError(f"cell {last.unique_id} was decided about since, by {who}: decide anew")
    before = standing(one for one in history if one.number != last.number)
    cell = _cell(connection, slide_id, last.unique_id)
    number = append(
        connection,
        reviews,
        {
            "at": now,
            "user_id": user.id,
            "user_name": user.name,
            "kind": "undo",
            "slide_id": slide_id,
            "unique_id": last.unique_id,
            "label": cell.label if before is None else before.label,
            "was": last.label,
            "reason": None,
        },
        **about(slide, user),
        bundle=_bundle_of(connection, slide, cell.frame),
        model_label=cell.label,
        p_blast=cell.p_blast,
        frame=cell.frame,
        undoes=last.number,
    )
    if before is None:
        _keep(connection, slide, last.unique_id, None, None, None)
    else:
        _keep(connection, slide, last.unique_id, before.label, before.user, before.at)
    return _decision(connection, number)


def decisions_on(connection: Connection, slide_id: int, unique_id: int) -> list[Decision]:
    """All that was decided about a cell, in its order."""
    rows = connection.execute(
        select(reviews)
        .where(reviews.c.slide_id == slide_id, reviews.c.unique_id == unique_id)
        .order_by(reviews.c.id)
    )
    return [Decision.of(row) for row in rows]


def may_decide(user: User) -> None:
    """Raise :class:`ReviewError` for one who only looks."""
    if not user.may("reviewer"):
        raise ReviewError(f"{user.name} may look and not decide: an admin gives roles")


def locked_slide(connection: Connection, slide_id: int) -> Row[Any]:
    """A slide, while the ingest waits: whoever changes anything of a device holds its row.

    Raises:
        ReviewError: there is no such slide.
    """
    device_id = connection.scalar(select(slides.c.device_id).where(slides.c.id == slide_id))
    if device_id is None:
        raise ReviewError("there is no such slide here")
    device = connection.execute(
        select(devices.c.name).where(devices.c.id == device_id).with_for_update()
    ).one()
    row = connection.execute(
        select(
            slides,
            select(devices.c.name)
            .where(devices.c.id == device_id)
            .scalar_subquery()
            .label("device"),
        ).where(slides.c.id == slide_id)
    ).one()
    assert row.device == device.name  # noqa: S101 - both are of the row that is held
    return row


def about(slide: Row[Any], user: User) -> dict[str, Any]:
    """What every decision says of its slide and of who decided."""
    return {
        "site": slide.site,
        "device": slide.device,
        "slide": slide.name,
        "standing": slide.summary_order,
        "role": user.role,
        "full_name": user.full_name,
    }


def clean(reason: str | None) -> str | None:
    """A reason or comment as it is kept; None for an empty one."""
    text = "" if reason is None else reason.replace("\0", "").strip()  # PostgreSQL takes none
    if len(text) > LONGEST_REASON:
        raise ReviewError(f"a comment has at most {LONGEST_REASON} characters")
    return text or None


def _keep(
    connection: Connection,
    slide: Row[Any],
    unique_id: int,
    label: str | None,
    user: str | None,
    at: datetime | None,
) -> None:
    connection.execute(
        update(cells)
        .where(cells.c.slide_id == slide.id, cells.c.unique_id == unique_id)
        .values(reviewed_label=label, reviewed_by=user, reviewed_at=at)
    )
    to_look_at = (
        select(func.count())
        .select_from(cells)
        .where(
            cells.c.slide_id == slide.id,
            cells.c.label.in_(NOT_CLEARED),
            cells.c.reviewed_label.is_(None),
        )
    )
    values: dict[str, Any] = {"unreviewed": to_look_at.scalar_subquery()}
    if slide.review in ("signed", "first"):
        values["review"] = "amended"
    connection.execute(update(slides).where(slides.c.id == slide.id).values(values))


def _last_of(connection: Connection, user: User, slide_id: int, unique_id: int | None) -> Decision:
    query = (
        select(reviews)
        .where(
            reviews.c.slide_id == slide_id,
            reviews.c.user_id == user.id,
            reviews.c.kind.in_((*DECISIONS, "undo")),
        )
        .order_by(reviews.c.id.desc())
    )
    if unique_id is not None:
        query = query.where(reviews.c.unique_id == unique_id)
    undone: set[int | None] = set()
    for row in connection.execute(query):
        one = Decision.of(row)
        if one.kind == "undo":
            undone.add(one.undoes)
        elif one.number not in undone:
            return one
    raise ReviewError("there is no decision of yours here that could be taken back")


def _cell(connection: Connection, slide_id: int, unique_id: int) -> Row[Any]:
    row = connection.execute(
        select(cells).where(cells.c.slide_id == slide_id, cells.c.unique_id == unique_id)
    ).one_or_none()
    if row is None:
        raise ReviewError(f"this slide has no cell {unique_id}")
    return row


def _bundle_of(connection: Connection, slide: Row[Any], frame: int) -> str | None:
    found: str | None = connection.scalar(
        select(frames.c.bundle)
        .where(frames.c.slide_id == slide.id, frames.c.frame == frame)
        .order_by(frames.c.received_at.desc())
        .limit(1)
    )
    return found if found is not None else str(slide.bundle) if slide.bundle else None


def _decision(connection: Connection, number: int) -> Decision:
    return Decision.of(connection.execute(select(reviews).where(reviews.c.id == number)).one())
