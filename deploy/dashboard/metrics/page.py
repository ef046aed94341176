"""``/metrics``: for a program on this machine, or one with a token.

Behind a proxy every request comes from this machine, so there a token is needed always.
"""

from __future__ import annotations

import ipaddress

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from deploy.dashboard.api.callers import caller_of
from deploy.dashboard.metrics.collected import DatabaseCollector
from deploy.dashboard.metrics.latency import Latency
from deploy.dashboard.web.context import Parts, PartsOf, address_of
from edge_daemon.contract.envelope import utc_now

router = APIRouter()


def add_metrics(app: FastAPI, parts: Parts) -> None:
    """Put the page and the clock into an application."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector(parts.database, utc_now))
    app.state.metrics = registry
    app.include_router(router)
    app.add_middleware(Latency, registry=registry)


@router.get("/metrics")
def metrics(request: Request, parts: PartsOf) -> Response:
    """All figures, in Prometheus' text format."""
    here = not parts.settings.trusted_proxy and _is_loopback(address_of(request))
    if not here and caller_of(parts, request) is None:
        raise HTTPException(401, "give a token that counts", {"WWW-Authenticate": "Bearer"})
    text = generate_latest(request.app.state.metrics)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
