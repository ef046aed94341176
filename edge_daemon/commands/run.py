"""``leuko-edge run``: screen a slide as the configuration says, until it ends or a signal."""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from types import FrameType

from rich.console import Console

from edge_daemon.commands.calibration import open_calibration
from edge_daemon.commands.delivery import Delivery
from edge_daemon.commands.models import open_models, opened_second
from edge_daemon.commands.output import print_summary
from edge_daemon.config import Config
from edge_daemon.contract.messages import FrameResult
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import LeukoError
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.screening import screen
from edge_daemon.service.health import HealthReporter
from edge_daemon.slide_session import SlideSession
from edge_daemon.sources.base import Captured
from edge_daemon.sources.open import open_source

FLUSH_ON_EXIT_S = 5.0
"""A stop is quick: what the broker has not taken by then waits on disk for the next start."""

log = logging.getLogger(__name__)


def run(config: Config, console: Console) -> None:
    """Screen one slide. Returns when the source ends or on SIGINT or SIGTERM.

    Raises:
        LeukoError: something it needs is missing or broke; results so far are stored.
    """
    chosen, source_is = config.models, config.source
    slide = config.slide.name or f"slide-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    with (
        open_models(chosen.bundle, chosen.options) as models,
        open_source(source_is.url, scan=source_is.scan, um_per_px=source_is.um_per_px) as source,
        Delivery(
            config.broker,
            config.outbox.path,
            origin := Origin(
                config.device.site, config.device.name, uuid.uuid4().hex, models.bundle.digest
            ),
            config.outbox.budget_mb << 20,
        ) as delivery,
        HealthReporter(delivery.publisher, delivery.outbox, config.health_every_s) as health,
        opened_second(models.bundle, chosen.options, wanted=chosen.second_opinion) as second,
        stop_on_signals() as stop,
    ):
        log.info("slide %s from %s with %s", slide, source.name, models.description)
        pipeline = Pipeline(models, config.quality, open_calibration(config))
        session = SlideSession(slide, pipeline.slide_map, config.slide.thresholds)
        reporter = Reporter(origin, slide, outbox=delivery.outbox)

        def on_frame(frame: FrameResult, _: Captured) -> None:
            health.frame(frame)
            if frame.outcome in ("failed", "rejected"):
                log.warning("frame %d %s: %s", frame.frame, frame.outcome, frame.reason)

        started = time.monotonic()
        try:
            summary = screen(
                source, pipeline, session, reporter, second=second, on_frame=on_frame, stop=stop
            )
        except LeukoError as error:
            delivery.publisher.set_state("degraded", str(error)[:500])
            delivery.publisher.flush(FLUSH_ON_EXIT_S)
            raise
        print_summary(summary, time.monotonic() - started, console)
        left = delivery.publisher.flush(FLUSH_ON_EXIT_S)
        if left:
            log.warning(
                "%d messages wait in %s for the next start (%s)",
                left,
                delivery.outbox.path,
                delivery.publisher.link.line,
            )


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal ends the process as usual."""
    stop = threading.Event()
    stopping = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in stopping}

    def on_signal(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in stopping:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number in stopping:
            signal.signal(number, before[number])
