"""Server-sent events: what to look at again, told to each open page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from deploy.dashboard.changes import Change
from deploy.dashboard.web.context import Anyone, AskedNumber, Parts, PartsOf, session_of
from deploy.dashboard.web.events import Subscription

router = APIRouter()
_HEARTBEAT_S = 8.0
"""A page that hears nothing for twenty seconds says that it is not live."""
_AT_MOST_EVERY_S = 0.15
"""Between two events of one browser; what changes meanwhile is told together."""


@router.get("/events")
async def events(
    request: Request,
    parts: PartsOf,
    _visitor: Anyone,
    slide: AskedNumber = None,
    alerts: bool = False,
) -> StreamingResponse:
    """What changed, as it does: of one slide, of alerts alone, or of anything.

    Alerts are told to every page: their number stands in its head.

    The stream is no sign that its user is at work, and ends with the session.
    """
    return StreamingResponse(
        _stream(request, parts, slide, alerts),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _stream(
    request: Request, parts: Parts, slide: int | None, alerts: bool
) -> AsyncIterator[str]:
    with parts.hub.subscribed() as subscription:
        yield "retry: 2000\nevent: open\ndata: {}\n\n"
        while not parts.hub.stopped:
            told = await _next(subscription, parts)
            if parts.hub.stopped:
                return
            if not told:
                if await run_in_threadpool(session_of, parts, request, touch=False) is None:
                    yield "event: over\ndata: {}\n\n"
                    return
                yield "event: beat\ndata: {}\n\n"
                continue
            wanted = [one for one in told if _is_wanted(one, slide, alerts)]
            if wanted:
                what = sorted([one.kind, one.key or 0] for one in wanted)
                yield f"event: change\ndata: {json.dumps(what)}\n\n"
                await asyncio.sleep(_AT_MOST_EVERY_S)


async def _next(subscription: Subscription, parts: Parts) -> frozenset[Change]:
    # short steps, so that a server that stops is not held up by those who watch
    for _ in range(int(_HEARTBEAT_S * 2)):
        told = await subscription.next(0.5)
        if told or parts.hub.stopped:
            return told
    return frozenset()


def _is_wanted(change: Change, slide: int | None, alerts: bool) -> bool:
    if change.kind in ("everything", "alert"):
        return True
    if alerts:
        return False
    return slide is None or (change.kind in ("slide", "review") and change.key == slide)
