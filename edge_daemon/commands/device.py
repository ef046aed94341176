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

from edge_daemon import __version__
from edge_daemon.commands.calibration import open_calibration
from edge_daemon.commands.delivery import Delivery
from edge_daemon.commands.intake import CommandIntake
from edge_daemon.commands.networks import Networks
from edge_daemon.config import Config, load_config
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.envelope import as_reason
from edge_daemon.contract.messages import Command, FrameResult, SlideSummary
from edge_daemon.contract.shadow import ShadowReport
from edge_daemon.control.history import ControlHistory
from edge_daemon.control.standing import ControlStanding
from edge_daemon.delivery.mqtt import State
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import ConfigError
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.service.commands import CommandDesk, Handler, NoArgs, arguments
from edge_daemon.service.current_slide import MODELS_STAY, SlideDefaults
from edge_daemon.service.device_control import DeviceControl, Used
from edge_daemon.service.health import HealthReporter
from edge_daemon.service.local_socket import LocalSocket
from edge_daemon.service.orders import AnswerFile, OrderFile
from edge_daemon.service.progress import Progress
from edge_daemon.service.recordings import Recordings
from edge_daemon.service.reload import reloaded
from edge_daemon.service.shown import shown
from edge_daemon.service.slides import SlideService, suspicious
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, LiveSource, description_of
from edge_daemon.sources.open import open_source

_RECORDING = "recording"
_CONTROL_WAITS = "the control is run between slides"

log = logging.getLogger(__name__)


class _AcceptArgs(StrictModel):
    run: int | None = Field(default=None, ge=1)
    """Number of the control run; the last one when not given."""


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
        self._intake = CommandIntake()
        self.view = stack.enter_context(
            shown(
                config.http,
                progress,
                site=config.device.site,
                device=config.device.name,
                execute=self._intake.execute,
            )
        )
        if config.local.enabled:
            stack.enter_context(
                LocalSocket(
                    config.local_socket,
                    self._intake.submit,
                    site=config.device.site,
                    device=config.device.name,
                )
            )
        self.networks = stack.enter_context(
            Networks(config.models, progress, lambda line: self.view.note("shadow", line))
        )
        self._calibration = open_calibration(config)
        source = config.source
        self.source = stack.enter_context(
            open_source(
                source.url,
                scan=source.scan,
                um_per_px=source.um_per_px,
                stop=stop,
                may_come_later=True,
            )
        )
        self._trouble: str | None = None
        self._origin = Origin(
            config.device.site,
            config.device.name,
            uuid.uuid4().hex,
            self.networks.models.bundle.digest,
        )
        kept = config.outbox
        self.delivery = Delivery(
            config.broker, kept.path, self._origin, kept.budget_mb << 20, kept.keep_free_mb << 20
        )
        self._desk = CommandDesk(self._origin, self.delivery.outbox, config.commands)
        self.delivery.publisher.on_command = self._intake.hand_in
        if config.update.repository is not None:
            self.delivery.publisher.on_desired = OrderFile(config.update.from_broker).take
            self.delivery.publisher.updates = AnswerFile(config.update.answer).read
        self._control = DeviceControl(
            ControlHistory(self.delivery.outbox),
            lambda: Used(self._config, self.networks.models, self._calibration, self._origin),
            busy=progress.busy,
            tell=self._on_control,
            stop=stop,
        )
        self._look_at_the_source()  # a camera that is absent is said with the birth message
        stack.enter_context(self.delivery)
        self._health = stack.enter_context(
            HealthReporter(
                self.delivery.publisher,
                self.delivery.outbox,
                config.health_every_s,
                engines=self.networks.engines_in_use,
            )
        )
        self.view.attach(self.delivery.publisher, self._health)
        self._ledger = SlideLedger(
            self.delivery.outbox, self._origin.boot_id, keep_slides=config.ledger.keep_slides
        )
        at_work = None if self._calibration is None else self._calibration.document
        self._recordings = stack.enter_context(
            Recordings(
                config,
                self.networks.models.bundle.digest,
                self.networks.models.description,
                on_fault=lambda line: self.view.tell(_RECORDING, line),
                calibration=at_work,
                camera=lambda: description_of(self.source),
            )
        )
        self._gate = Pipeline(self.networks.models, config.quality, self._calibration)
        self.service = SlideService(
            self.source,
            lambda captured: self._gate.prepare(captured),
            self._open_run,
            self._ledger,
            self._desk,
            self.networks.models.bundle.digest,
            defaults=_slide_defaults(config),
            on_frame=self._on_frame,
            on_idle=self.view.on_idle,
            on_summary=self._on_summary,
            on_turn=self._on_turn,
            why_no_slide=self._control.why_no_slide,
            on_label=lambda line: self.view.tell("label", line),
            other_commands={
                "bundle-stage": self.networks.stage,
                "bundle-activate": self._between_slides(MODELS_STAY, self._activate),
                "bundle-shadow": self._between_slides(MODELS_STAY, self.networks.shadowing.command),
                "config-reload": self._reload,
                "control-run": self._between_slides(_CONTROL_WAITS, self._run_control),
                "control-accept": self._accept_control,
            },
            more_status=lambda: {"daemon": __version__, **self.networks.status},
        )
        self._control.turn(idle=False)  # nobody takes it for ready before it was looked at

        self._intake.desk = self._desk  # commands are taken from here on

    def _open_run(self, setup: SlideSetup, left: Unfinished | None) -> SlideRun:
        """A slide begins, or is gone on with; what decides its results is fixed from here on."""
        config = self._config
        pipeline = Pipeline(
            self.networks.models,
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
        reporter = Reporter(
            self._origin,
            setup.name,
            outbox=outbox,
            pictured=known,
            control=setup.control,
            camera=lambda: description_of(self.source),
        )
        self._control.slide_begins(setup)
        # A second opinion is given on patients: of a control, the networks of the loop are judged.
        second = None if setup.control else self.networks.second
        if second is not None:
            before = None if left is None else left.standing
            second.begin(None if before is None else before.second_opinions, known)
        self.view.tell(_RECORDING, None)
        self._recordings.begin(setup, from_the_start=left is None)
        self._gate = pipeline
        needed = config.slide.thresholds
        if setup.control:
            cells = config.control.tolerances.min_cells
            needed = needed.model_copy(update={"min_nucleated_cells": cells})
        self.view.slide_started(pipeline.slide_map.coverage, needed)
        shadow = None if setup.control else self.networks.shadowing.begin(session.tally.captured)
        return SlideRun(
            pipeline,
            session,
            reporter,
            second=second,
            shadow=shadow,
            on_shadow=self._on_shadow,
            ledger=self._ledger,
        )

    def _on_frame(self, frame: FrameResult, captured: Captured) -> None:
        self._health.frame(frame)
        self._control.frame(frame)
        self._recordings.frame(frame, captured)
        self.view.on_frame(frame, captured)
        if frame.outcome in ("failed", "rejected"):
            log.warning("frame %d %s: %s", frame.frame, frame.outcome, frame.reason)

    def _on_summary(self, summary: SlideSummary) -> None:
        self._recordings.summary(summary)
        self._control.summary(summary)
        self.view.on_summary(summary)

    def _on_shadow(self, report: ShadowReport) -> None:
        self.networks.shadowing.reported(report)
        self.view.on_shadow(report)

    def _on_turn(self) -> None:
        activity = self.service.activity
        self.view.activity = activity
        self.view.by_label = self.service.current.defaults.labels is not None
        self._progress.turn(self._doing())
        self._control.turn(idle=activity == "idle")
        self._look_at_the_source()

    def _look_at_the_source(self) -> None:
        trouble = self.source.trouble if isinstance(self.source, LiveSource) else None
        if trouble != self._trouble:  # a camera that is lost, or back: all who look must know
            self._trouble = trouble
            self.view.hold("camera", trouble)
            self._tell_state()

    def _on_control(self, standing: ControlStanding) -> None:
        required = self._config.control.required
        self.view.activity = self.service.activity  # it may be told before the first turn
        self.view.control(standing.line, failed=standing.failed, required=required)
        self._health.control = None if standing.line is None else as_reason(standing.line)
        self._tell_state()

    def _tell_state(self) -> None:
        """What speaks against trusting this device, to everyone."""
        reason = self._trouble or self._control.standing.line
        state: State = "online" if reason is None else "degraded"
        self.delivery.publisher.set_state(state, None if reason is None else as_reason(reason))

    def _doing(self) -> str:
        if self._trouble is not None:
            return self._trouble
        slide, activity = self.service.current.name, self.service.activity
        if slide is not None:
            return f"{activity} {slide}"
        held = self._config.control.required and self._control.standing.line is not None
        return "waiting for the control" if held else "waiting for a slide"

    def _between_slides(self, why: str, handler: Handler) -> Handler:
        """What is refused while a slide is under way, and why."""

        def handle(command: Command) -> dict[str, Any]:
            self.service.current.require_none(why)
            return handler(command)

        return handle

    def _activate(self, command: Command) -> dict[str, Any]:
        """Go on with a staged bundle, if it is proven."""
        result = self.networks.activate(command)
        models = self.networks.models
        self._gate = Pipeline(models, self._config.quality, self._calibration)
        self._origin = replace(self._origin, bundle=models.bundle.digest)
        self._desk.origin = self._origin
        self.delivery.publisher.speak_as(self._origin)
        self._health.engines = self.networks.engines_in_use
        self.service.current.use_bundle(models.bundle.digest)
        self._recordings.use_bundle(models.bundle.digest, models.description)
        return result

    def _run_control(self, command: Command) -> dict[str, Any]:
        """Run the stored control now, between slides."""
        arguments(NoArgs, command)
        run = self._control.run_stored()
        return {"run": run.run, "verdict": run.verdict, "reasons": list(run.reasons)}

    def _accept_control(self, command: Command) -> dict[str, Any]:
        """What a run found is what is expected from now on."""
        accepted = self._control.accept(arguments(_AcceptArgs, command).run)
        return {"run": accepted.run, "kind": accepted.kind, "digest": accepted.digest}

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
        self._desk.configure(config.commands)
        self._health.every(config.health_every_s)
        self._recordings.configure(config)
        self._ledger.keep_slides = config.ledger.keep_slides
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
        control=config.control.slide,
        labels=config.slide.label if config.slide.start == "by_label" else None,
    )
