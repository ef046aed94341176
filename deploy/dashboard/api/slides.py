"""Slides, their cells and pictures, and what of them can be taken away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import Connection, select

from deploy.dashboard.api.callers import Anyone, Caller
from deploy.dashboard.api.models import (
    After,
    CellItem,
    CellNumber,
    Counted,
    Frames,
    Limit,
    Number,
    Page,
    SeenState,
    SignatureItem,
    Since,
    SlideDetail,
    SlideItem,
    Word,
)
from deploy.dashboard.api.problems import responses
from deploy.dashboard.database.tables import slides
from deploy.dashboard.exports import fhir, pdf, tables
from deploy.dashboard.exports.patients import read_patients
from deploy.dashboard.exports.record import SlideRecord, record_of
from deploy.dashboard.queries.cells import Label, cells_of, crop
from deploy.dashboard.queries.paging import key_of
from deploy.dashboard.queries.worklist import Filters, worklist
from deploy.dashboard.review.records import record
from deploy.dashboard.review.signing import seen_now
from deploy.dashboard.web.context import Parts, PartsOf
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.terms import Disposition
from edge_daemon.errors import LeukoError

router = APIRouter(tags=["slides"])


def _filters(
    site: Word = None,
    state: Word = None,
    disposition: Disposition | None = None,
    unreviewed: bool = False,
    unsigned: bool = False,
    controls: bool = False,
    since: Since = None,
) -> Filters:
    return Filters(
        site=site,
        state=state,
        disposition=disposition,
        unreviewed=unreviewed,
        unsigned=unsigned,
        controls=controls,
        since=since,
    )


FiltersOf = Annotated[Filters, Depends(_filters)]


def _file(media_type: str, *statuses: int, schema: str = "binary") -> dict[int | str, Any]:
    """For the document: an answer that is a file."""
    said = {"type": "string"} | ({"format": schema} if schema else {})
    whole = {"description": "The file", "content": {media_type: {"schema": said}}}
    return {200: whole, **responses(*statuses)}


@router.get("/slides", responses=responses(), response_model=Page[SlideItem])
def list_slides(
    parts: PartsOf, _caller: Anyone, filters: FiltersOf, after: After = None, limit: Limit = 50
) -> Any:
    """Slides, worst first."""
    require_mark(after, 3)
    with parts.database.reading() as connection:
        found = worklist(connection, filters, after, limit)
    return {"items": found.rows, "next": found.after}


@router.get("/slides.csv", responses=_file("text/csv"), response_class=StreamingResponse)
def slides_table(parts: PartsOf, caller: Anyone, filters: FiltersOf) -> StreamingResponse:
    """The same slides as a table, in the order of their number (CSV)."""
    _note(parts, caller, "slides.csv")
    return _streamed(tables.slides_csv(parts.database, filters), "slides.csv")


@router.get("/slides/{number}", responses=responses(404), response_model=SlideDetail)
def one_slide(parts: PartsOf, _caller: Anyone, number: Number) -> Any:
    """One slide: counts before and after review, quality, gaps, signatures."""
    with parts.database.reading() as connection:
        found = required(connection, number)
        row = connection.execute(select(slides).where(slides.c.id == number)).one()
        seen = seen_now(connection, row)
    frames = {
        **{name: getattr(found.quality, name) for name in _OUTCOMES},
        "missing": found.delivery.missing_frames,
        "deleted_at": found.purged_at,
    }
    return SlideDetail(
        **SlideItem.model_validate(found.row).model_dump(),
        status=found.status,
        reasons=list(found.summary.get("reasons", ())),
        before=Counted.model_validate(found.before),
        after=Counted.model_validate(found.after),
        decided=found.decided,
        cells_missing=found.delivery.cells_missing,
        frames=Frames(**frames),
        signatures=[SignatureItem.model_validate(one) for one in found.signed],
        seen=SeenState.model_validate(seen),
    )


@router.get("/slides/{number}/cells", responses=responses(404), response_model=Page[CellItem])
def list_cells(
    parts: PartsOf,
    _caller: Anyone,
    number: Number,
    label: Label | None = None,
    unreviewed: bool = False,
    disputed: bool = False,
    after: After = None,
    limit: Limit = 200,
) -> Any:
    """Cells of a slide: blasts, then uncertain ones, then normal ones; `p_blast` falling."""
    require_mark(after, 3)
    with parts.database.reading() as connection:
        require_slide(connection, number)
        found = cells_of(
            connection,
            number,
            label=label,
            unreviewed=unreviewed,
            disputed=disputed,
            after=after,
            limit=limit,
        )
    return {"items": found.rows, "next": found.after}


@router.get(
    "/slides/{number}/cells.csv", responses=_file("text/csv", 404), response_class=StreamingResponse
)
def cells_table(parts: PartsOf, caller: Anyone, number: Number) -> StreamingResponse:
    """The cells of a slide as a table, in the order of their number (CSV)."""
    with parts.database.reading() as connection:
        require_slide(connection, number)
    _note(parts, caller, f"cells.csv of slide {number}")
    return _streamed(tables.cells_csv(parts.database, number), f"slide-{number}-cells.csv")


@router.get(
    "/slides/{number}/cells/{unique_id}/crop.jpg",
    responses=_file("image/jpeg", 404),
    response_class=Response,
)
def picture(parts: PartsOf, _caller: Anyone, number: Number, unique_id: CellNumber) -> Response:
    """The picture of a cell, as the device sent it."""
    with parts.database.reading() as connection:
        found = crop(connection, number, unique_id)
    if found is None:
        raise HTTPException(404, "no picture of this cell came")
    return Response(found.jpeg, media_type="image/jpeg")


@router.get(
    "/slides/{number}/report.pdf", responses=_file(pdf.MEDIA_TYPE, 404), response_class=Response
)
def report(parts: PartsOf, caller: Anyone, number: Number) -> Response:
    """The report of a slide (PDF); PRELIMINARY stands across it until it is signed."""
    with parts.database.reading() as connection:
        found = required(connection, number, most_cells=pdf.CELLS)
        pictures = {
            one.unique_id: kept.jpeg
            for one in found.worst
            if one.has_crop and (kept := crop(connection, number, one.unique_id)) is not None
        }
    _note(parts, caller, f"report of slide {number}", status=found.status)
    name = quote(f"{found.row.name}-{found.status}.pdf")
    headers = {"Content-Disposition": f"inline; filename*=UTF-8''{name}"}
    return Response(pdf.report(found, pictures), media_type=pdf.MEDIA_TYPE, headers=headers)


@router.get(
    "/slides/{number}/fhir",
    responses={
        200: {
            "description": "A Bundle of HL7 FHIR R4",
            "content": {"application/fhir+json": {"schema": {"type": "object"}}},
        },
        **responses(404),
    },
    response_class=Response,
)
def as_fhir(parts: PartsOf, caller: Anyone, number: Number) -> Response:
    """A slide as HL7 FHIR R4: a Bundle with a DiagnosticReport and its Observations."""
    with parts.database.reading() as connection:
        found = required(connection, number)
    bundle = fhir.bundle_of(found, read_patients(parts.settings.patients))
    _note(parts, caller, f"FHIR of slide {number}", status=found.status)
    return Response(fhir.to_json(bundle), media_type=fhir.MEDIA_TYPE)


_OUTCOMES = ("analysed", "rejected", "dropped", "failed", "saturated", "hinted")


def required(connection: Connection, number: int, *, most_cells: int = 0) -> SlideRecord:
    """The record of a slide. Raises HTTPException 404: there is none of this number."""
    found = record_of(connection, number, utc_now(), most_cells=most_cells)
    if found is None:
        raise HTTPException(404, f"there is no slide {number} here")
    return found


def require_slide(connection: Connection, number: int) -> None:
    """Raise HTTPException 404 where there is no such slide."""
    if connection.scalar(select(slides.c.id).where(slides.c.id == number)) is None:
        raise HTTPException(404, f"there is no slide {number} here")


def require_mark(after: str | None, length: int) -> None:
    """Raise HTTPException 422 for the mark of a page that was never given out."""
    if after is None:
        return
    try:
        key_of(after, length)
    except LeukoError as error:
        raise HTTPException(422, str(error)) from None


def _note(parts: Parts, caller: Caller, what: str, **context: Any) -> None:
    """Write down who took what away."""
    with parts.database.writing() as connection:
        record(connection, caller.user.name, "export", what, caller.address, **context)


def _streamed(table: Iterator[str], name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(table, media_type=tables.MEDIA_TYPE, headers=headers)
