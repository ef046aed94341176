"""The gallery: cells of a slide by class, then by falling probability, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Column, Connection, ScalarSelect, exists, func, select, tuple_

from deploy.dashboard.database.tables import cells, crops, opinions
from deploy.dashboard.queries.paging import MOST, Page, key_of, page_of

Label: TypeAlias = Literal["blast", "uncertain", "normal"]


_NEWEST_CROP = (crops.c.frame.desc(), crops.c.boot.desc(), crops.c.seq.desc())


@dataclass(frozen=True)
class Cell:
    """A unique cell as its best view shows it."""

    unique_id: int
    label: str
    p_blast: float
    """Calibrated probability of a leukaemic blast, 0 to 1."""
    score: float
    """Confidence of the detector."""
    frame: int
    x: float
    """Upper left corner of its box, in pixels of that frame."""
    y: float
    width: float
    height: float
    um_per_px: float | None
    views: int
    """Frames that show it."""
    whole: bool
    reviewed_label: str | None
    """The last word of a person."""
    reviewed_by: str | None
    reviewed_at: datetime | None
    second_label: str | None
    """The second opinion, where there is one."""
    second_p_blast: float | None
    has_crop: bool


def cells_of(
    connection: Connection,
    slide_id: int,
    *,
    label: Label | None = None,
    unreviewed: bool = False,
    disputed: bool = False,
    after: str | None = None,
    limit: int = 200,
) -> Page[Cell]:
    """A page of cells: blasts, then uncertain, then normal; ``p_blast`` falling.

    ``unreviewed``: that nobody looked at. ``disputed``: the second opinion is another one.

    Raises:
        DatabaseError: ``after`` is no page of ours.
    """
    limit = min(limit, MOST)
    order = (cells.c.class_order, cells.c.p_blast, cells.c.unique_id)
    own = [cells.c[name] for name in Cell.__dataclass_fields__ if name in cells.c]
    query = (
        select(
            cells.c.class_order,
            *own,
            _second(opinions.c.second_label).label("second_label"),
            _second(opinions.c.second_p_blast).label("second_p_blast"),
            exists()
            .where(crops.c.slide_id == cells.c.slide_id, crops.c.unique_id == cells.c.unique_id)
            .label("has_crop"),
        )
        .where(cells.c.slide_id == slide_id)
        .order_by(*(one.desc() for one in order))
    )
    if label is not None:
        query = query.where(cells.c.label == label, cells.c.class_order == _ORDER[label])
    if unreviewed:
        query = query.where(cells.c.reviewed_label.is_(None))
    if disputed:
        query = query.where(
            exists().where(
                opinions.c.slide_id == cells.c.slide_id,
                opinions.c.unique_id == cells.c.unique_id,
                opinions.c.second_label != cells.c.label,
            )
        )
    if after is not None:
        query = query.where(tuple_(*order) < tuple_(*key_of(after, len(order))))
    found = connection.execute(query.limit(limit + 1)).all()
    keys = [(row.class_order, row.p_blast, row.unique_id) for row in found]
    rows = [
        Cell(**{name: getattr(row, name) for name in Cell.__dataclass_fields__}) for row in found
    ]
    return page_of(rows, keys, limit)


@dataclass(frozen=True)
class Picture:
    """The crop of a cell."""

    jpeg: bytes
    frame: int
    label: str
    p_blast: float
    um_per_px: float | None


def crop(connection: Connection, slide_id: int, unique_id: int) -> Picture | None:
    """The picture of a cell, the latest where there are several; None: there is none."""
    found = connection.execute(
        select(crops.c.jpeg, crops.c.frame, crops.c.label, crops.c.p_blast, crops.c.um_per_px)
        .where(crops.c.slide_id == slide_id, crops.c.unique_id == unique_id)
        .order_by(*_NEWEST_CROP)
        .limit(1)
    ).one_or_none()
    return None if found is None else Picture(*found)


def newest_crops(
    connection: Connection, slide_id: int, unique_ids: Sequence[int]
) -> dict[int, bytes]:
    """JPEGs of some cells, the latest of each; of a cell that has none there is none."""
    place = func.row_number().over(partition_by=crops.c.unique_id, order_by=_NEWEST_CROP)
    ranked = (
        select(crops.c.unique_id, crops.c.jpeg, place.label("place"))
        .where(crops.c.slide_id == slide_id, crops.c.unique_id.in_(unique_ids))
        .subquery()
    )
    found = connection.execute(select(ranked.c.unique_id, ranked.c.jpeg).where(ranked.c.place == 1))
    return {row.unique_id: row.jpeg for row in found}


def how_many(connection: Connection, slide_id: int) -> dict[str, int]:
    """Cells by label."""
    found = connection.execute(
        select(cells.c.label, func.count())
        .where(cells.c.slide_id == slide_id)
        .group_by(cells.c.label)
    )
    return {**dict.fromkeys(_ORDER, 0), **{row[0]: row[1] for row in found}}


def _second(column: Column[Any]) -> ScalarSelect[Any]:
    """Of the latest second opinion on a cell."""
    return (
        select(column)
        .where(opinions.c.slide_id == cells.c.slide_id, opinions.c.unique_id == cells.c.unique_id)
        .order_by(opinions.c.frame.desc(), opinions.c.boot.desc(), opinions.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )


_ORDER: dict[Label, int] = {"blast": 2, "uncertain": 1, "normal": 0}
