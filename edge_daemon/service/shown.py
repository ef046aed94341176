"""A device that shows itself: the view that the frame loop feeds, over HTTP where it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_daemon.http_settings import HttpSettings
from edge_daemon.service.live_view import LiveView
from edge_daemon.service.metrics import DeviceMetrics
from edge_daemon.service.progress import Progress
from edge_daemon.service.view import Execute


@contextmanager
def shown(
    settings: HttpSettings,
    progress: Progress,
    *,
    site: str,
    device: str,
    execute: Execute | None = None,
) -> Iterator[LiveView]:
    """The view of this device, from before its models are opened until after they are closed.

    Args:
        settings: whether it is shown over HTTP, and to whom.
        progress: its signs of life.
        site: of the device, for the commands that come over HTTP.
        device: its name.
        execute: carries out commands that come over HTTP; None refuses them.

    Raises:
        ServiceError: the HTTP interface cannot listen where it should.
    """
    view = LiveView(progress)
    if not settings.enabled:
        yield view
        return
    from edge_daemon.service.http.server import HttpServer  # not loaded where nobody looks

    metrics = DeviceMetrics(view, view.frames, link=view.link, readings=view.readings)
    with HttpServer(settings, view, site=site, device=device, metrics=metrics, execute=execute):
        yield view
