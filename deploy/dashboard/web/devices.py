"""Devices: how each stands; and one of them in full."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection, select

from deploy.dashboard.database.tables import bundles
from deploy.dashboard.queries import alerts as alert_queries
from deploy.dashboard.queries import device as device_queries
from deploy.dashboard.queries import fleet
from deploy.dashboard.queries.fleet import DeviceRow, Listening
from deploy.dashboard.queries.worklist import Filters, worklist
from deploy.dashboard.web.context import Anyone, AskedText, Number, Parts, PartsOf
from deploy.dashboard.web.sparks import dropped_since, sparks
from edge_daemon.contract.envelope import utc_now

router = APIRouter()
WORST_FIRST = ("silent", "offline", "degraded", "unknown", "online")
SPANS = {6: "6 hours", 24: "24 hours", 168: "7 days"}
_SLIDES = 8


@dataclass(frozen=True)
class Count:
    """Devices that stand in one way."""

    standing: str
    devices: int


@router.get("/devices")
def page(
    request: Request,
    parts: PartsOf,
    visitor: Anyone,
    site: AskedText = "",
    standing: AskedText = "",
    part: bool = False,
) -> HTMLResponse:
    """All of them, those that need somebody first."""
    now = utc_now()
    with parts.database.reading() as connection:
        every = fleet.device_list(connection, now)
        heard = fleet.listening(connection, now)
        names = bundle_names(connection)
    rows = [
        one
        for one in every
        if (not site or one.site == site) and (not standing or one.standing == standing)
    ]
    rows.sort(key=lambda one: (WORST_FIRST.index(one.standing), -one.missing, one.site, one.name))
    return parts.pages.page(
        request,
        "devices_rows.html" if part else "devices.html",
        visitor,
        rows=rows,
        heard=heard,
        names=names,
        sites=sorted({one.site for one in every}),
        counts=_counts(every),
        asked={"site": site, "standing": standing},
        standings=WORST_FIRST,
        total=len(every),
    )


@router.get("/devices/{number}")
def device(
    request: Request,
    parts: PartsOf,
    visitor: Anyone,
    number: Number,
    hours: int = 24,
    part: bool = False,
) -> HTMLResponse:
    """One of them."""
    now = utc_now()
    hours = hours if hours in SPANS else 24
    with parts.database.reading() as connection:
        row = fleet.device(connection, number, now)
        if row is None:
            raise HTTPException(404, f"there is no device {number} here")
        values = _values_of(connection, row, now, hours)
    return parts.pages.page(
        request,
        "device_body.html" if part else "device.html",
        visitor,
        preview=parts.previews.allowed(f"{row.site}/{row.name}"),
        **values,
    )


@router.get("/devices/{number}/picture")
def picture(parts: PartsOf, _visitor: Anyone, number: Number) -> Response:
    """What lies under the objective now, where the site allows that it is shown."""
    name = _name_of(parts, number)
    if not parts.previews.allowed(name):
        raise HTTPException(404, "the picture of this device is not shown here")
    found = parts.previews.picture(name)
    if found.jpeg is None:
        raise HTTPException(502, found.line)
    return Response(found.jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def bundle_names(connection: Connection) -> dict[str, str]:
    """What bundles are called, by digest, where a message told it."""
    found = connection.execute(
        select(bundles.c.digest, bundles.c.name).where(bundles.c.name.is_not(None))
    )
    return {row[0]: row[1] for row in found}


def _name_of(parts: Parts, number: int) -> str:
    with parts.database.reading() as connection:
        row = fleet.device(connection, number, utc_now())
    if row is None:
        raise HTTPException(404, f"there is no device {number} here")
    return f"{row.site}/{row.name}"


def _values_of(connection: Connection, row: DeviceRow, now: datetime, hours: int) -> dict[str, Any]:
    since = now - timedelta(hours=hours)
    newest = device_queries.newest_health(connection, row.id)
    points = device_queries.health_since(connection, row.id, since, most=12_000)
    gaps = fleet.gaps(connection, row.id)
    heard: Listening = fleet.listening(connection, now)
    return {
        "row": row,
        "heard": heard,
        "names": bundle_names(connection),
        "health_at": None if newest is None else newest[0],
        "health": {} if newest is None else newest[1],
        "stages": _stages({} if newest is None else newest[1]),
        "sparks": sparks(points, since, now),
        "dropped": dropped_since(points),
        "updates": _updates(device_queries.newest_updates(connection, row.id)),
        "span": SPANS[hours],
        "spans": SPANS,
        "hours": hours,
        "gaps": gaps,
        "said": device_queries.said(connection, row.id, 12),
        "starts": device_queries.starts(connection, row.id, 6),
        "controls": device_queries.control_runs(connection, row.id, 6),
        "answers": device_queries.answers(connection, row.id, 6),
        "alerts": alert_queries.open_alerts(connection, device_id=row.id),
        "slides": worklist(connection, Filters(device_id=row.id), None, _SLIDES).rows,
    }


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline, as a bar."""

    name: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    share: float
    """Of the longest 95th percentile, 0 to 100."""


def _stages(health: dict[str, Any]) -> list[Stage]:
    """By stage, in the order the device gave; the total last. Of a daemon of then, so with care."""
    found = []
    for name, one in health.get("latency", {}).items():
        p50, p95, p99 = (one.get(key) for key in ("p50_ms", "p95_ms", "p99_ms"))
        if all(isinstance(figure, int | float) for figure in (p50, p95, p99)):
            found.append((name, p50, p95, p99))
    longest = max((one[2] for one in found), default=0.0) or 1.0
    found.sort(key=lambda one: one[0] == "total")
    return [Stage(*one, round(100 * one[2] / longest, 1)) for one in found]


@dataclass(frozen=True)
class Ordered:
    """How an order of one part, models or daemon, stands on the device."""

    part: str
    desired: str | None
    runs: str | None
    step: str | None
    waits_for: str | None
    refused: str | None


def _updates(standing: dict[str, Any] | None) -> list[Ordered]:
    """Of an updater of then, so with care; parts that nothing was ever ordered of are left out."""
    fields = ("desired", "runs", "step", "waits_for", "refused")
    parts = {"Models": standing, "Daemon": (standing or {}).get("daemon")}
    return [
        Ordered(part, *(one.get(name) for name in fields))
        for part, one in parts.items()
        if isinstance(one, dict) and one.get("order") is not None
    ]


def _counts(every: tuple[DeviceRow, ...]) -> list[Count]:
    counts = [Count(word, sum(one.standing == word for one in every)) for word in WORST_FIRST]
    return [one for one in counts if one.devices]
