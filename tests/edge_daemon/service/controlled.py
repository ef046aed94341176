"""A daemon with controls as the service room sees one: its loop, its desk, and a clock to turn."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edge_daemon.config import Config
from edge_daemon.contract.control import ControlRun
from edge_daemon.contract.messages import (
    CommandReply,
    FrameResult,
    SlideSummary,
    parse_message,
)
from edge_daemon.control.history import ControlHistory
from edge_daemon.control.standing import ControlStanding
from edge_daemon.control.validity import Moment
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import JSON_TYPE, Origin
from edge_daemon.inference import Models
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.service.commands import CommandDesk
from edge_daemon.service.current_slide import SlideDefaults
from edge_daemon.service.device_control import DeviceControl, Used
from edge_daemon.service.slides import SlideService
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Frame
from tests.edge_daemon.scenes import LENIENT, frame
from tests.edge_daemon.service.asking import answered
from tests.edge_daemon.service.test_slides import LiveCamera

TOLERANCES = {"min_cells": 6, "focus": 1.0}
"""A scene has few cells, and nothing to focus on."""
BOOT = datetime(2026, 5, 4, 8, 0, tzinfo=timezone.utc)


class Time:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.moment = Moment(BOOT, 100.0, "boot-1", True)
        self.spent_s = 0.0

    def pass_h(self, hours: float) -> None:
        moment, seconds = self.moment, 3600 * hours
        self.spent_s += seconds
        self.moment = replace(
            moment, utc=moment.utc + timedelta(hours=hours), uptime_s=moment.uptime_s + seconds
        )


class Camera(LiveCamera):
    """One that is told what to see."""

    def show(self, white: int, red: int) -> None:
        self.take(replace(frame(self.index, white=white, red=red), um_per_px=0.5))

    def take(self, scene: Frame) -> None:
        now = datetime.now(timezone.utc)
        self._taken.put(replace(scene, index=self.index, captured_at=now))
        self.index += 1


class Life:
    """One process of the daemon with its controls, its loop and its desk."""

    def __init__(
        self,
        models: Models,
        folder: Path,
        control: dict[str, Any] | Config,
        *,
        at_once: bool = False,
    ) -> None:
        self.folder, self.models = folder, models
        self.camera, self.time = Camera(), Time()
        self.outbox = Outbox(folder / "outbox.db")
        self.ledger = SlideLedger(self.outbox)
        self.history = ControlHistory(self.outbox)
        self.origin = Origin("lab", "m1", uuid.uuid4().hex, models.bundle.digest)
        self.desk = CommandDesk(self.origin, self.outbox)
        self.config = control if isinstance(control, Config) else configured(folder, control)
        self.frames: list[FrameResult] = []
        self.summaries: list[SlideSummary] = []
        self.told: list[ControlStanding] = []
        self.busy: list[str] = []
        self.stop = threading.Event()
        self.control = DeviceControl(
            self.history,
            lambda: Used(self.config, self.models, None, self.origin),
            busy=self._announced,
            tell=self.told.append,
            stop=self.stop,
            now=lambda: self.time.moment,
            clock=lambda: self.time.spent_s,
        )
        self.service = SlideService(
            self.camera,
            Pipeline(models, self.config.quality).prepare,
            self._open_run,
            self.ledger,
            self.desk,
            models.bundle.digest,
            defaults=SlideDefaults(at_once=at_once, name="s0", control=self.config.control.slide),
            on_frame=self._on_frame,
            on_summary=self._on_summary,
            on_turn=lambda: self.control.turn(idle=self.service.activity == "idle"),
            why_no_slide=self.control.why_no_slide,
            other_commands={
                "control-run": lambda _: {"verdict": self.control.run_stored().verdict}
            },
        )
        self.service.start()

    @contextmanager
    def _announced(self, what: str, within_s: float) -> Iterator[None]:
        assert within_s > self.config.control.within_s
        self.busy.append(what)
        yield

    def _open_run(self, setup: SlideSetup, left: Unfinished | None) -> SlideRun:
        pipeline = Pipeline(
            self.models,
            self.config.quality,
            slide_map=None if left is None else left.slide_map,
        )
        tally = None if left is None else left.tally
        session = SlideSession(setup, pipeline.slide_map, tally=tally)
        reporter = Reporter(self.origin, setup.name, outbox=self.outbox, control=setup.control)
        self.control.slide_begins(setup)
        return SlideRun(pipeline, session, reporter, ledger=self.ledger)

    def _on_frame(self, result: FrameResult, _captured: object) -> None:
        self.frames.append(result)
        self.control.frame(result)

    def _on_summary(self, summary: SlideSummary) -> None:
        self.summaries.append(summary)
        self.control.summary(summary)

    def ask(self, name: str, **args: Any) -> CommandReply:
        return answered(self.desk, self.service, name, **args)

    def see(self, count: int, *, white: int = 2, red: int = 4) -> None:
        """Let the camera take pictures and the slide under way take each."""
        for _ in range(count):
            self.camera.show(white, red)
            self.look()

    def look(self) -> None:
        """Turn until what the camera took has its outcome."""
        before = len(self.frames)
        while len(self.frames) == before:
            self.service.turn()

    def screen_control(self, frames: int = 5, **cells: int) -> ControlRun:
        assert self.ask("slide-start", control=True).ok
        self.see(frames, **cells)
        assert self.ask("slide-finish").ok
        return self.runs[0]

    def accept(self) -> None:
        self.control.accept()
        self.service.turn()

    @property
    def runs(self) -> list[ControlRun]:
        """Newest first."""
        return [kept.run for kept in self.history.runs(99)]

    @property
    def messages(self) -> list[Any]:
        """What waits for the broker, but for pictures of cells."""
        parcels = [entry.parcel for entry in self.outbox.pending(999)]
        return [parse_message(one.payload) for one in parcels if one.content_type == JSON_TYPE]

    def die(self) -> None:
        self.outbox.close()


def configured(folder: Path, control: dict[str, Any]) -> Config:
    given = {"expected": folder / "control", "tolerances": TOLERANCES, "required": True}
    return Config.model_validate(
        {
            "source": {"url": "camera://0", "um_per_px": 0.125, "scan": False},
            "broker": {"url": "mqtt://127.0.0.1"},
            "quality": LENIENT.model_dump(),
            "control": {**given, **control},
        }
    )
