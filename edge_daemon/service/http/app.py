"""The addresses of the HTTP interface, and what each answers."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge_daemon.service.http import kiosk
from edge_daemon.service.http.access import Access
from edge_daemon.service.http.commands import Commands
from edge_daemon.service.http.preview import BOUNDARY, Preview
from edge_daemon.service.metrics import DeviceMetrics
from edge_daemon.service.view import DeviceView, Standing

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def make_app(
    view: DeviceView,
    preview: Preview,
    commands: Commands,
    metrics: DeviceMetrics | None,
    token: str | None,
) -> Starlette:
    """The ASGI application of one device."""
    pages = _Pages(view, preview, metrics)
    return Starlette(
        routes=[
            Route("/", pages.page),
            Route("/state", pages.state),
            Route("/livez", pages.livez),
            Route("/readyz", pages.readyz),
            Route("/health", pages.health),
            Route("/slide", pages.slide),
            Route("/shadow", pages.shadow),
            Route("/metrics", pages.metrics),
            Route("/preview", pages.stream),
            Route("/preview.jpg", pages.picture),
            Route("/commands/{name}", commands.post, methods=["POST"]),
        ],
        middleware=[Middleware(Access, token=token)],
    )


class _Pages:
    def __init__(self, view: DeviceView, preview: Preview, metrics: DeviceMetrics | None) -> None:
        self._view = view
        self._preview = preview
        self._metrics = metrics

    async def page(self, _: Request) -> Response:
        text, policy = kiosk.page()
        headers = {"Content-Security-Policy": policy}
        return Response(text, media_type="text/html", headers=headers)

    async def state(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(kiosk.state_of, self._view))

    async def livez(self, _: Request) -> Response:
        return _standing("live", self._view.liveness())

    async def readyz(self, _: Request) -> Response:
        return _standing("ready", self._view.readiness())

    async def health(self, _: Request) -> Response:
        message = self._view.health()
        if message is None:
            return JSONResponse({"error": "the daemon has not said yet how it fares"}, 404)
        return Response(message.to_json(), media_type="application/json")

    async def slide(self, _: Request) -> Response:
        summary = self._view.slide()
        if summary is None:
            return JSONResponse({"error": "no slide is being screened"}, 404)
        return Response(summary.to_json(), media_type="application/json")

    async def shadow(self, _: Request) -> Response:
        report = self._view.shadow()
        if report is None:
            return JSONResponse({"error": "no candidate looks on at a slide"}, 404)
        return Response(report.to_json(), media_type="application/json")

    async def metrics(self, _: Request) -> Response:
        if self._metrics is None:
            return JSONResponse({"error": "this daemon has no metrics"}, 404)
        return Response(await run_in_threadpool(self._metrics.text), media_type=METRICS_TYPE)

    async def picture(self, _: Request) -> Response:
        jpeg = await self._preview.jpeg()
        if jpeg is None:
            return JSONResponse({"error": "no frame has come yet"}, 404)
        return Response(jpeg, media_type="image/jpeg")

    async def stream(self, _: Request) -> Response:
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return StreamingResponse(self._preview.stream(), media_type=kind)


def _standing(name: str, standing: Standing) -> Response:
    answer: dict[str, Any] = {name: standing.ok, "reasons": standing.reasons}
    return JSONResponse(answer | {"notes": standing.notes}, 200 if standing.ok else 503)
