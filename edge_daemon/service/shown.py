"""A device that shows itself: the view that the frame loop feeds, over HTTP where it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.http_settings import HttpSettings
from edge_daemon.service.health import HealthReporter
from edge_daemon.service.live_view import LiveView
from edge_daemon.service.metrics import DeviceMetrics
from edge_daemon.service.progress import Progress
from edge_daemon.service.view import Execute


@contextmanager
def shown(
    settings: HttpSettings,
    progress: Progress,
    publisher: Publisher,
    health: HealthReporter,
    execute: Execute | None = None,
) -> Iterator[LiveView]:
    """The view of this device, for as long as it runs.

    Args:
        settings: whether it is shown over HTTP, and to whom.
        progress: its signs of life.
        publisher: what carries its results to the broker.
        health: what it says of itself.
        execute: carries out commands that come over HTTP; None refuses them.

    Raises:
        ServiceError: the HTTP interface cannot listen where it should.
    """
    view = LiveView(
        progress,
        health=lambda: health.latest,
        link=lambda: publisher.link,
        failure=lambda: publisher.failure,
    )
    if not settings.enabled:
        yield view
        return
    from edge_daemon.service.http.server import HttpServer  # half the time of a start

    metrics = DeviceMetrics(
        view, view.frames, link=lambda: publisher.link, readings=lambda: health.readings
    )
    origin = publisher.origin
    with HttpServer(
        settings, view, site=origin.site, device=origin.device, metrics=metrics, execute=execute
    ):
        yield view
