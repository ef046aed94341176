"""The running daemon's parts, put together: what a slide is opened with, what commands change."""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from edge_daemon.commands.calibration import open_calibration
from edge_daemon.commands.delivery import Delivery
from edge_daemon.commands.models import open_models, probe
from edge_daemon.config import Config, load_config
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.messages import Command, CommandReply, FrameResult, SlideSummary
from edge_daemon.delivery.link import Arrival
from edge_daemon.delivery.mqtt import State
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import ConfigError, LeukoError
from edge_daemon.inference import Models
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.second_opinion import SecondOpinions
from edge_daemon.service.bundle_store import BundleStore
from edge_daemon.service.commands import CommandDesk, CommandError, NoArgs, arguments
from edge_daemon.service.current_slide import SlideDefaults
from edge_daemon.service.health import HealthReporter
from edge_daemon.service.progress import Progress
from edge_daemon.service.recordings import Recordings
from edge_daemon.service.reload import reloaded
from edge_daemon.service.shown import shown
from edge_daemon.service.slides import SlideService, suspicious
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, LiveSource
from edge_daemon.sources.open import open_source

START_WITHIN_S = 1800.0
"""A start may have to build the engines of a GPU: two of them, some minutes each on a Jetson."""

COMMAND_WITHIN_S = 120.0
"""Longest that somebody on this machine waits for a command: activating a bundle builds engines."""

log = logging.getLogger(__name__)


class _StageArgs(StrictModel):
    path: str = Field(min_length=1, max_length=4096)
    """Folder of the bundle on this machine."""


class _ActivateArgs(StrictModel):
    bundle: str = Field(min_length=1, max_length=160)
    """Name and version, as it is staged."""


class Device:
    """The parts of a running daemon, opened in ``stack`` and put together.

    ``file`` is read again when a command says so. For the thread that owns the networks.
    """

    def __init__(
        self,
        config: Config,
        file: Path | None,
        progress: Progress,
        stop: threading.Event,
        stack: ExitStack,
    ) -> None:
        self._config = config
        self._file = file
        self._progress = progress
        self._desk: CommandDesk | None = None
        self.view = stack.enter_context(
            shown(
                config.http,
                progress,
                site=config.device.site,
                device=config.device.name,
                execute=self._execute,
            )
        )
        chosen, source = config.models, config.source
        self._store = BundleStore(chosen.store)
        self.models, self._second = self._opened(chosen.bundle or self._store.active())
        stack.callback(self._close_networks)
        self.source = stack.enter_context(
            open_source(source.url, scan=source.scan, um_per_px=source.um_per_px, stop=stop)
        )
        self._trouble: str | None = None
        self._origin = Origin(
            config.device.site, config.device.name, uuid.uuid4().hex, self.models.bundle.digest
        )
        budget = config.outbox.budget_mb << 20
        self.delivery = Delivery(config.broker, config.outbox.path, self._origin, budget)
        desk = CommandDesk(self._origin, self.delivery.outbox, config.commands)
        self.delivery.publisher.on_command = self._hand_in
        stack.enter_context(self.delivery)
        self._health = stack.enter_context(
            HealthReporter(self.delivery.publisher, self.delivery.outbox, config.health_every_s)
        )
        self.view.attach(self.delivery.publisher, self._health)
        self._ledger = SlideLedger(self.delivery.outbox)
        self._recordings = stack.enter_context(
            Recordings(config.record, config, self.models.bundle.digest, self.models.description)
        )
        self._calibration = open_calibration(config)
        self._gate = Pipeline(self.models, config.quality, self._calibration)
        self.service = SlideService(
            self.source,
            lambda captured: self._gate.prepare(captured),
            self._open_run,
            self._ledger,
            desk,
            self.models.bundle.digest,
            defaults=_slide_defaults(config),
            on_frame=self._on_frame,
            on_idle=self.view.on_idle,
            on_summary=self._on_summary,
            on_turn=self._on_turn,
            other_commands={
                "bundle-stage": self._stage,
                "bundle-activate": self._activate,
                "config-reload": self._reload,
            },
        )

        self._desk = desk  # commands are taken from here on

    def _open_run(self, setup: SlideSetup, left: Unfinished | None) -> SlideRun:
        """A slide begins, or is gone on with; what decides its results is fixed from here on."""
        config = self._config
        pipeline = Pipeline(
            self.models,
            config.quality,
            self._calibration,
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
        outbox = self.delivery.outbox
        reporter = Reporter(self._origin, setup.name, outbox=outbox, pictured=known)
        if self._second is not None:
            before = None if left is None else left.standing
            self._second.begin(None if before is None else before.second_opinions, known)
        self._recordings.begin(setup, from_the_start=left is None)
        self._gate = pipeline
        self.view.slide_started(pipeline.slide_map.coverage, config.slide.thresholds)
        return SlideRun(pipeline, session, reporter, second=self._second, ledger=self._ledger)

    def _on_frame(self, frame: FrameResult, captured: Captured) -> None:
        self._health.frame(frame)
        self._recordings.frame(frame, captured)
        self.view.on_frame(frame, captured)
        if frame.outcome in ("failed", "rejected"):
            log.warning("frame %d %s: %s", frame.frame, frame.outcome, frame.reason)

    def _on_summary(self, summary: SlideSummary) -> None:
        self._recordings.summary(summary)
        self.view.on_summary(summary)

    def _on_turn(self) -> None:
        activity = self.service.activity
        self.view.activity = activity
        self._progress.turn(self._doing())
        trouble = self.source.trouble if isinstance(self.source, LiveSource) else None
        if trouble != self._trouble:  # a camera that is lost, or back: all who look must know
            self._trouble = trouble
            self.view.hold("camera", trouble)
            state: State = "online" if trouble is None else "degraded"
            self.delivery.publisher.set_state(state, None if trouble is None else trouble[:500])

    def _doing(self) -> str:
        slide, activity = self.service.current.name, self.service.activity
        return "waiting for a slide" if slide is None else f"{activity} {slide}"

    def _hand_in(self, arrival: Arrival) -> None:
        """A command that came over MQTT; its reply goes the same way, so nobody waits here."""
        if self._desk is not None:  # else it comes before anything is open: it is sent again
            self._desk.hand_in(arrival.payload, via="mqtt", retained=arrival.retained)

    def _execute(self, command: Command) -> CommandReply:
        """A command that came over HTTP; whoever sent it waits for the reply."""
        if self._desk is None:
            raise CommandError("the daemon is starting; try again in a moment")
        try:
            reply = self._desk.hand_in(command.to_json(), via="http")
            return reply.result(COMMAND_WITHIN_S)
        except TimeoutError:
            raise CommandError(
                f"{command.name} takes long; its reply will be in the audit and on MQTT"
            ) from None

    def _opened(self, folder: Path | None) -> tuple[Models, SecondOpinions | None]:
        """The networks of a bundle, opened and held to its golden set."""
        chosen = self._config.models
        models = open_models(folder, chosen.options)
        try:
            second = SecondOpinions.of(models.bundle, chosen.options)
            if second is not None and chosen.second_opinion:
                return models, second.__enter__()
        except BaseException:
            models.close()
            raise
        return models, None

    def _close_networks(self) -> None:
        self.models.close()
        if self._second is not None:
            self._second.__exit__(None, None, None)

    def _stage(self, command: Command) -> dict[str, Any]:
        """Take a folder of this machine into the store."""
        bundle = self._store.stage(Path(arguments(_StageArgs, command).path))
        return {"bundle": bundle.label, "digest": bundle.digest, "staged": self._store.staged()}

    def _activate(self, command: Command) -> dict[str, Any]:
        """Try a staged bundle; go on with it if it is proven, and with the one before if not."""
        label = arguments(_ActivateArgs, command).bundle
        self.service.current.require_none()
        if self._config.models.bundle is not None:
            raise ConfigError(
                "[models] bundle names the bundle of this device; take it out of the configuration "
                "and start again, then bundles can be activated"
            )
        path = self._store.begin(label)
        log.warning("trying bundle %s", label)
        try:
            with self._progress.busy(f"trying bundle {label}", START_WITHIN_S):
                models, second = self._opened(path)
                took_ms = probe(models)
        except LeukoError as error:
            self._store.roll_back(str(error))
            raise
        self._store.commit()
        self._close_networks()
        self.models, self._second = models, second
        self._gate = Pipeline(models, self._config.quality, self._calibration)
        self._origin = replace(self._origin, bundle=models.bundle.digest)
        self.delivery.publisher.origin = self._origin
        if self._desk is not None:
            self._desk.origin = self._origin
        self.service.current.use_bundle(models.bundle.digest)
        self._recordings.use_bundle(models.bundle.digest, models.description)
        log.warning("bundle %s is active: %s", label, models.description)
        return {"bundle": label, "digest": models.bundle.digest, "probe_ms": took_ms}

    def _reload(self, command: Command) -> dict[str, Any]:
        """Take over what may change of the file; see :mod:`edge_daemon.service.reload`."""
        arguments(NoArgs, command)
        if self._file is None:
            raise ConfigError("the daemon was not started from a file")
        config = load_config(self._file)
        names = reloaded(self._config, config)
        self._config = config
        if "broker" in names:
            self.delivery.publisher.move(config.broker)
        if self._desk is not None:
            self._desk.configure(config.commands)
        self._health.every(config.health_every_s)
        self._recordings.configure(config.record)
        self.service.current.defaults = _slide_defaults(config)
        log.warning("%s read again: %s", self._file, ", ".join(names) or "nothing has changed")
        return {"changed": names}


def _slide_defaults(config: Config) -> SlideDefaults:
    return SlideDefaults(
        at_once=config.slide.start == "at_once",
        resume=config.slide.resume,
        name=config.slide.name,
        operator=config.slide.operator,
        objective=config.device.objective,
    )
