"""The application: its parts, its routes, and what it says when something cannot be done."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.gzip import GZipMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.access.limits import FailedLogins
from deploy.dashboard.alerts.errors import AlertError
from deploy.dashboard.alerts.watching import Watching
from deploy.dashboard.attribution.bundles import Bundles
from deploy.dashboard.attribution.desk import Desk
from deploy.dashboard.attribution.errors import AttributionError, BusyError
from deploy.dashboard.database.opening import Database
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.review.errors import ReviewError
from deploy.dashboard.web import (
    alerts,
    attribution,
    audit,
    devices,
    fleet,
    gallery,
    login,
    models,
    review,
    slide,
    stream,
    worklist,
)
from deploy.dashboard.web.assets import Assets
from deploy.dashboard.web.context import Parts, SignInError
from deploy.dashboard.web.events import Hub
from deploy.dashboard.web.pages import Pages
from deploy.dashboard.web.previews import Previews
from deploy.dashboard.web.security import Security
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.errors import LeukoError

_log = logging.getLogger(__name__)

ROUTERS = (
    login.router,
    worklist.router,
    slide.router,
    gallery.router,
    attribution.router,
    review.router,
    devices.router,
    fleet.router,
    alerts.router,
    models.router,
    audit.router,
    stream.router,
)
"""Every group of pages; a new one is added here, and to the navigation of ``pages.py``."""

_STATUS: dict[type, int] = {
    ReviewError: 409,
    AlertError: 409,
    AttributionError: 409,
    BusyError: 503,
    AccessError: 400,
    DatabaseError: 503,
}


def create_app(settings: WebSettings) -> FastAPI:
    """The application on a database that is there and of this version.

    Raises:
        ConfigError: it would send passwords in the clear, or a file or folder is not there.
        DatabaseError: there is no such database, or it is of another version.
    """
    settings.check()
    database = Database(settings.database, pool_size=10)
    database.require()
    previews = Previews.from_file(settings.previews)
    watching = None if settings.watch is None else Watching(database, settings.watch)
    desk = Desk(Bundles(settings.bundles)) if settings.bundles else None
    assets = Assets()
    hub = Hub(database)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        hub.start()
        if watching is not None:
            watching.start()
        try:
            yield
        finally:
            hub.stop()
            if watching is not None:
                await run_in_threadpool(watching.stop)
            if desk is not None:
                await run_in_threadpool(desk.close)
            database.close()

    app = FastAPI(
        title="LeukoEdge", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    app.state.parts = Parts(
        settings,
        database,
        Pages(assets),
        hub,
        FailedLogins(database, settings.logins),
        previews,
        desk,
    )
    for router in ROUTERS:
        app.include_router(router)

    @app.get("/static/{digest}/{name:path}")
    def static(digest: str, name: str) -> FileResponse:
        return assets.answer(digest, name)

    @app.get("/livez")
    def livez() -> Response:
        return Response("alive\n", media_type="text/plain")

    _errors(app)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(Security, secure=settings.secure, failed=_failed)
    if settings.trusted_proxy:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxy))
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(SignInError)
    def _nobody(request: Request, _error: Exception) -> Response:
        if _is_script(request) or request.method not in ("GET", "HEAD"):
            return JSONResponse({"error": "sign in again"}, 401)
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/login?next={quote(request.url.path + query, safe='')}", 303)

    @app.exception_handler(StarletteHTTPException)
    def _refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for nothing else
        return _said(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    def _not_understood(request: Request, _error: Exception) -> Response:
        return _said(request, 422, "this request cannot be read")

    @app.exception_handler(LeukoError)
    def _in_a_line(request: Request, error: Exception) -> Response:
        return _said(request, _STATUS.get(type(error), 400), str(error))


def _failed(request: Request) -> Response:
    return _said(request, 500, "this failed here, and was written into the server's log")


def _said(
    request: Request, status: int, line: str, headers: Mapping[str, str] | None = None
) -> Response:
    if _is_script(request):
        return JSONResponse({"error": line}, status, headers)
    parts: Parts = request.app.state.parts
    title = "There is no such page" if status == 404 else "This cannot be done"
    return parts.pages.page(
        request, "error.html", status=status, headers=headers, title=title, line=line
    )


def _is_script(request: Request) -> bool:
    return "text/html" not in request.headers.get("accept", "")
