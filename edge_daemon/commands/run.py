"""``leuko-edge run``: screen slides as the configuration and commands say, until a signal."""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from rich.console import Console

from edge_daemon.commands.delivery import Delivery
from edge_daemon.commands.models import open_models, opened_second
from edge_daemon.commands.output import print_summary
from edge_daemon.config import Config
from edge_daemon.contract.messages import FrameResult
from edge_daemon.delivery.link import Arrival
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import LeukoError
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.service.commands import CommandDesk
from edge_daemon.service.health import HealthReporter
from edge_daemon.service.recordings import Recordings
from edge_daemon.service.slides import SlideDefaults, SlideService, suspicious
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured
from edge_daemon.sources.open import open_source

FLUSH_ON_EXIT_S = 5.0
"""A stop is quick: what the broker has not taken by then waits on disk for the next start."""

log = logging.getLogger(__name__)


def run(config: Config, console: Console) -> None:
    """Screen slides. Returns when the source ends or on SIGINT or SIGTERM.

    Raises:
        LeukoError: something it needs is missing or broke; results so far are stored, and a slide
            that was under way is gone on with at the next start.
    """
    chosen, source_is = config.models, config.source
    with ExitStack() as stack:
        models = stack.enter_context(open_models(chosen.bundle, chosen.options))
        source = stack.enter_context(
            open_source(source_is.url, scan=source_is.scan, um_per_px=source_is.um_per_px)
        )
        origin = Origin(
            config.device.site, config.device.name, uuid.uuid4().hex, models.bundle.digest
        )
        budget = config.outbox.budget_mb << 20
        delivery = Delivery(config.broker, config.outbox.path, origin, budget)
        desk = CommandDesk(origin, delivery.outbox, config.commands)
        delivery.publisher.on_command = lambda arrival: _hand_in(desk, arrival)
        stack.enter_context(delivery)
        health = stack.enter_context(
            HealthReporter(delivery.publisher, delivery.outbox, config.health_every_s)
        )
        second = stack.enter_context(
            opened_second(models.bundle, chosen.options, wanted=chosen.second_opinion)
        )
        stop = stack.enter_context(stop_on_signals())
        log.info("%s with %s", source.name, models.description)
        ledger = SlideLedger(delivery.outbox)
        recordings = stack.enter_context(
            Recordings(config, models.bundle.digest, models.description)
        )

        def open_run(setup: SlideSetup, left: Unfinished | None) -> SlideRun:
            pipeline = Pipeline(
                models,
                config.quality,
                slide_map=None if left is None else left.slide_map,
                scales=None if left is None else left.scales,
            )
            session = SlideSession(
                setup,
                pipeline.slide_map,
                config.slide.thresholds,
                tally=None if left is None else left.tally,
                started_at=None if left is None else left.started_at,
            )
            known = suspicious(pipeline.slide_map.cells())
            reporter = Reporter(origin, setup.name, outbox=delivery.outbox, pictured=known)
            if second is not None:
                before = None if left is None or left.standing is None else left.standing
                second.begin(None if before is None else before.second_opinions, known)
            recordings.begin(setup, from_the_start=left is None)
            return SlideRun(pipeline, session, reporter, second=second, ledger=ledger)

        def on_frame(frame: FrameResult, captured: Captured) -> None:
            health.frame(frame)
            recordings.frame(frame, captured)
            if frame.outcome in ("failed", "rejected"):
                log.warning("frame %d %s: %s", frame.frame, frame.outcome, frame.reason)

        service = SlideService(
            source,
            Pipeline(models, config.quality).prepare,
            open_run,
            ledger,
            desk,
            models.bundle.digest,
            defaults=SlideDefaults(
                at_once=config.slide.start == "at_once",
                resume=config.slide.resume,
                name=config.slide.name,
                operator=config.slide.operator,
                objective=config.slide.objective,
            ),
            on_frame=on_frame,
            on_summary=recordings.summary,
        )
        started = time.monotonic()
        try:
            summary = service.run(stop)
        except LeukoError as error:
            delivery.publisher.set_state("degraded", str(error)[:500])
            delivery.publisher.flush(FLUSH_ON_EXIT_S)
            raise
        if summary is not None:
            print_summary(summary, time.monotonic() - started, console)
        left = delivery.publisher.flush(FLUSH_ON_EXIT_S)
        if left:
            log.warning(
                "%d messages wait in %s for the next start (%s)",
                left,
                delivery.outbox.path,
                delivery.publisher.link.line,
            )


def _hand_in(desk: CommandDesk, arrival: Arrival) -> None:
    """A command that came over MQTT; its reply goes the same way, so nobody waits here."""
    desk.hand_in(arrival.payload, via="mqtt", retained=arrival.retained)


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
