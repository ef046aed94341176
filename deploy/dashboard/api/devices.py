"""Devices: how each stands, its health, what is missing of it; and alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from sqlalchemy import Connection, select

from deploy.dashboard.api.callers import Anyone
from deploy.dashboard.api.models import (
    AlertItem,
    DeviceItem,
    GapItem,
    HealthItem,
    Limit,
    Number,
    Page,
    Since,
    Word,
)
from deploy.dashboard.api.problems import responses
from deploy.dashboard.database.tables import alerts
from deploy.dashboard.queries.device import health_since
from deploy.dashboard.queries.fleet import DeviceRow, device, device_list, gaps
from deploy.dashboard.web.context import PartsOf
from edge_daemon.contract.envelope import utc_now

router = APIRouter(tags=["devices"])
AfterNumber = Annotated[int, Query(ge=0, le=2**53, description="`next` of the page before")]


@router.get("/devices", responses=responses(), response_model=Page[DeviceItem])
def list_devices(
    parts: PartsOf,
    _caller: Anyone,
    site: Word = None,
    after: AfterNumber = 0,
    limit: Limit = 200,
) -> Any:
    """Devices, in the order they were first heard."""
    with parts.database.reading() as connection:
        every = sorted(device_list(connection, utc_now(), site), key=lambda one: one.id)
    later = [one for one in every if one.id > after]
    more = str(later[limit - 1].id) if len(later) > limit else None
    return {"items": later[:limit], "next": more}


@router.get("/devices/{number}", responses=responses(404), response_model=DeviceItem)
def one_device(parts: PartsOf, _caller: Anyone, number: Number) -> Any:
    """One device as it stands now."""
    with parts.database.reading() as connection:
        return _required(connection, number)


@router.get("/devices/{number}/health", responses=responses(404), response_model=list[HealthItem])
def health(
    parts: PartsOf, _caller: Anyone, number: Number, since: Since = None, limit: Limit = 500
) -> Any:
    """A device's health by the minute, oldest first; of the last day where `since` is not given."""
    with parts.database.reading() as connection:
        _required(connection, number)
        begin = utc_now() - timedelta(days=1) if since is None else since
        return health_since(connection, number, begin, limit)


@router.get("/devices/{number}/gaps", responses=responses(404), response_model=list[GapItem])
def missing(parts: PartsOf, _caller: Anyone, number: Number) -> Any:
    """Results that a device issued and that are not here, newest start first, 200 at most."""
    with parts.database.reading() as connection:
        _required(connection, number)
        return gaps(connection, number)


@router.get("/alerts", responses=responses(), response_model=Page[AlertItem])
def list_alerts(
    parts: PartsOf,
    _caller: Anyone,
    cleared: Annotated[bool, Query(description="Those that are over, too")] = False,
    after: AfterNumber = 0,
    limit: Limit = 200,
) -> Any:
    """Alerts, in the order they were raised."""
    columns = [alerts.c[name] for name in AlertItem.model_fields]
    query = select(*columns).where(alerts.c.id > after).order_by(alerts.c.id).limit(limit + 1)
    if not cleared:
        query = query.where(alerts.c.cleared_at.is_(None))
    with parts.database.reading() as connection:
        rows = [row._asdict() for row in connection.execute(query)]
    more = str(rows[limit - 1]["id"]) if len(rows) > limit else None
    return {"items": rows[:limit], "next": more}


def _required(connection: Connection, number: int) -> DeviceRow:
    found = device(connection, number, utc_now())
    if found is None:
        raise HTTPException(404, f"there is no device {number} here")
    return found
