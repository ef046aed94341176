"""What moved the verdict on a cell: a picture and its words, computed when somebody asks."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from deploy.dashboard.attribution.computed import Attribution
from deploy.dashboard.attribution.desk import Desk
from deploy.dashboard.attribution.errors import BusyError
from deploy.dashboard.queries.pictured import Pictured, pictured
from deploy.dashboard.web.context import Anyone, Number, Parts, PartsOf
from deploy.dashboard.web.formats import percent

router = APIRouter()

_LOOK_EVERY_S = 0.3
"""Whether the browser is still there, while it waits."""
_KEPT = {"Cache-Control": "private, max-age=600"}
_WHOLE = 0.9
"""Share of the classifier's square from which a picture shows enough of it to say nothing."""
_LITTLE = 0.02
"""A move of the probability that is not worth a word more than that it is so small."""


@router.get("/slides/{number}/cells/{unique_id}/attribution")
async def words(
    request: Request, parts: PartsOf, visitor: Anyone, number: Number, unique_id: Number
) -> Response:
    """Compute it, and say what the picture shows; the picture has its own address."""
    found = await _computed(request, parts, visitor.user.name, number, unique_id)
    if found is None:
        return _GONE
    address = f"/slides/{number}/cells/{unique_id}/attribution.jpg"
    return JSONResponse({"picture": address, **said_of(unique_id, found)})


@router.get("/slides/{number}/cells/{unique_id}/attribution.jpg")
async def picture(
    request: Request, parts: PartsOf, visitor: Anyone, number: Number, unique_id: Number
) -> Response:
    """The picture, for as long as a browser keeps the cell's own."""
    found = await _computed(request, parts, visitor.user.name, number, unique_id)
    if found is None:
        return _GONE
    return Response(found.jpeg, media_type="image/jpeg", headers=_KEPT)


_GONE = Response(status_code=204)
"""For a browser that has left: nobody reads it."""


async def _computed(
    request: Request, parts: Parts, user: str, number: int, unique_id: int
) -> Attribution | None:
    """What was asked for; None: the browser has left meanwhile. Waits without a thread.

    Raises:
        HTTPException: 404, none can be asked for here, or there is no picture of this cell.
        AttributionError: it cannot be computed; BusyError: not now.
    """
    desk = parts.attributions
    if desk is None:
        raise HTTPException(
            404,
            "attributions are not computed here: `dashboard serve` was started without --bundles",
        )
    told = await run_in_threadpool(_told, parts, number, unique_id)
    if told is None:
        raise HTTPException(404, "no picture of this cell came")
    return await _waited_for(request, desk, told, user)


async def _waited_for(
    request: Request, desk: Desk, told: Pictured, user: str
) -> Attribution | None:
    future = asyncio.wrap_future(desk.ask(told, user))
    try:
        while not future.done():
            await asyncio.wait({future}, timeout=_LOOK_EVERY_S)
            if not future.done() and await request.is_disconnected():
                return None
        if future.cancelled():
            raise BusyError("the server is stopping: ask again in a moment")
        return future.result()
    finally:
        desk.leave(told, user)


def _told(parts: Parts, number: int, unique_id: int) -> Pictured | None:
    with parts.database.reading() as connection:
        return pictured(connection, number, unique_id)


def said_of(unique_id: int, found: Attribution) -> dict[str, Any]:
    """The caption in plain words.

    ``warning``: the picture does not show what the device saw, or means little; None where it does.
    """
    here = percent(found.here)
    lowers = f"covering it lowers P(blast) to {percent(found.lowest)}"
    if found.lowest >= found.here:
        lowers = "covering it lowers P(blast): no part does"
    raises = f"covering it raises P(blast) to {percent(found.highest)}"
    if found.highest <= found.here:
        raises = "covering it raises P(blast): no part does"
    decides = None
    if found.strongest < _LITTLE:
        decides = (
            "No single part decides: whichever is covered, P(blast) stays between "
            f"{percent(found.lowest)} and {percent(found.highest)}. That is why colours are faint."
        )
    return {
        "lowers": lowers,
        "raises": raises,
        "decides": decides,
        "figures": f"P(blast) {here}, computed here from the published picture; the device said "
        f"{percent(found.told)} of it (frame {found.frame}).",
        "warning": _warning(found),
        "by": found.by,
        "alt": f"Cell {unique_id} in grey. Violet, in a whole line: {lowers}. Orange, in a broken "
        f"line: {raises}. With nothing covered it is {here}.",
    }


def _warning(found: Attribution) -> str | None:
    lines = []
    if not found.reproduced:
        lines.append(
            f"The device said {percent(found.told)}; of the published picture the same classifier "
            f"says {percent(found.here)}. The colours show what moves the second figure."
        )
        if not found.placed:
            lines.append(
                "The frame is not here, so where the cell lies in its picture was guessed."
            )
        if found.share_shown < _WHOLE:
            lines.append(
                f"The picture holds {percent(found.share_shown)} of what the classifier looks at."
            )
    if found.unfamiliar:
        lines.append(
            "The classifier does not know what it sees here: the cell is uncertain whatever "
            "P(blast) is, and the colours mean little."
        )
    return " ".join(lines) or None
