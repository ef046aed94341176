"""Cells of a slide for the gallery: short rows, in the order they are shown in, and pictures."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from deploy.dashboard.queries.cells import Cell, cells_of, newest_crops
from deploy.dashboard.queries.paging import MOST
from deploy.dashboard.review.decisions import decisions_on
from deploy.dashboard.web.context import Anyone, AskedText, Number, PartsOf, page_after
from deploy.dashboard.web.formats import moment, word

router = APIRouter()

FIRST = 120
"""Cells that come inside the page: more than a large screen shows."""
_AT_ONCE = 2000
MOST_PICTURES = 60
"""Of one answer: some screens of the gallery."""
_NUMBERS = f"^[0-9]{{1,15}}(,[0-9]{{1,15}}){{0,{MOST_PICTURES - 1}}}$"
AskedCells = Annotated[str, Query(pattern=_NUMBERS)]
FIELDS = (
    "unique_id",
    "label",
    "p_blast",
    "reviewed_label",
    "reviewed_by",
    "second_label",
    "second_p_blast",
    "has_crop",
    "frame",
    "views",
    "whole",
    "score",
)
"""Of a row, in this order; ``gallery.js`` reads them by place."""


def cells_as_rows(
    connection: Connection, slide_id: int, after: str | None, limit: int
) -> tuple[list[list[Any]], str | None]:
    """Some cells, and where the next ones begin."""
    rows: list[list[Any]] = []
    while True:
        page = cells_of(connection, slide_id, after=after, limit=min(MOST, limit - len(rows)))
        rows += [_row(cell) for cell in page.rows]
        after = page.after
        if after is None or len(rows) >= limit:
            return rows, after


@router.get("/slides/{number}/cells")
def some_cells(
    parts: PartsOf, _visitor: Anyone, number: Number, after: AskedText = ""
) -> JSONResponse:
    """The next cells."""
    with parts.database.reading() as connection:
        rows, then = cells_as_rows(connection, number, page_after(after, 3), _AT_ONCE)
    return JSONResponse({"rows": rows, "after": then})


@router.get("/slides/{number}/cells/{unique_id}")
def one_cell(parts: PartsOf, _visitor: Anyone, number: Number, unique_id: Number) -> JSONResponse:
    """What people decided about a cell, in order."""
    with parts.database.reading() as connection:
        found = decisions_on(connection, number, unique_id)
    return JSONResponse(
        {
            "decisions": [
                {
                    "at": moment(one.at),
                    "user": one.user,
                    "did": word(one.kind),
                    "label": one.label,
                    "was": one.was,
                    "reason": one.reason,
                }
                for one in found
            ]
        }
    )


@router.get("/slides/{number}/pictures")
def pictures(parts: PartsOf, _visitor: Anyone, number: Number, cells: AskedCells) -> JSONResponse:
    """Pictures of cells, as the device sent them, for ``pictures.js``: by cell, JPEG in base 64.

    A cell of which none came is not among them.
    """
    wanted = [int(one) for one in cells.split(",")]
    with parts.database.reading() as connection:
        found = newest_crops(connection, number, wanted)
    kept = {"Cache-Control": "private, max-age=600"}
    content = {cell: b64encode(jpeg).decode("ascii") for cell, jpeg in found.items()}
    return JSONResponse(content, headers=kept)


def _row(cell: Cell) -> list[Any]:
    return [getattr(cell, name) for name in FIELDS]
