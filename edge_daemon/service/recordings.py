"""A recording for each slide that is screened, where the configuration asks for it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_daemon import __version__
from edge_daemon.calibration.document import MicroscopeCalibration
from edge_daemon.config import Config
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.gate import CorrectedFrame
from edge_daemon.recording.recorder import SessionRecorder
from edge_daemon.recording.session_file import Session
from edge_daemon.slide_session import SlideSetup
from edge_daemon.sources.base import Captured

log = logging.getLogger(__name__)

LEAST_FREE_BYTES = 2 << 30
"""With less room than this no recording begins: results and the outbox come first."""


class Recordings:
    """Begins a recording with each slide and closes it with it; a context manager."""

    def __init__(
        self,
        config: Config,
        bundle: str,
        engines: str,
        *,
        on_fault: Callable[[str], None],
        calibration: MicroscopeCalibration | None = None,
        camera: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Record slides as ``config`` says.

        Args:
            config: what the slides are screened with.
            bundle: digest of the models.
            engines: what runs them.
            on_fault: told, in a line, why there is no recording of a slide, or only a part of one;
                from any thread.
            calibration: the one that is at work.
            camera: tells what takes the frames, and how it is set.
        """
        self._camera = camera
        self._calibration = calibration
        self._config = config
        self._bundle = bundle
        self._engines = engines
        self._on_fault = on_fault
        self._recorder: SessionRecorder | None = None

    def begin(self, setup: SlideSetup, *, from_the_start: bool) -> None:
        """A slide begins, or is gone on with."""
        self.close()
        folder = self._config.record.folder
        if folder is None:
            return
        now = datetime.now(timezone.utc)
        if not _has_room(folder):
            line = f"no recording of {setup.name}: less than 2 GB are free in {folder}"
            log.error("%s", line)
            self._on_fault(line)
            return
        session = Session(
            slide=setup.name,
            version=__version__,
            bundle=self._bundle,
            engines=self._engines,
            source=setup.source or "unknown",
            config=_public(self._config),
            pictures=self._config.record.pictures,
            began_at=now,
            from_the_start=from_the_start,
        )
        place = folder / f"{setup.name}-{now:%Y%m%dT%H%M%S%f}"
        self._recorder = SessionRecorder(
            place,
            session,
            calibration=self._calibration,
            camera=self._camera,
            on_fault=lambda line: self._on_fault(f"the recording of {setup.name} ended: {line}"),
        )
        self._recorder.__enter__()

    def configure(self, config: Config) -> None:
        """What slides are screened with, and where and how to record, from the next one on."""
        self._config = config

    def use_bundle(self, digest: str, engines: str) -> None:
        """The models are others from the next slide on."""
        self._bundle, self._engines = digest, engines

    def frame(self, result: FrameResult, captured: Captured) -> None:
        """A frame of the slide was finished; it is kept as the camera gave it."""
        if self._recorder is not None:
            given = captured.original if isinstance(captured, CorrectedFrame) else captured
            self._recorder.frame(result, given)

    def summary(self, summary: SlideSummary) -> None:
        """The slide was reported on; a last summary closes its recording."""
        if summary.completion is not None and self._recorder is not None:
            self._recorder.end(summary)
            self.close()

    def close(self) -> None:
        """Write what is left."""
        if self._recorder is not None:
            self._recorder.__exit__(None, None, None)
            self._recorder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _has_room(folder: Path) -> bool:
    there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    return shutil.disk_usage(there).free >= LEAST_FREE_BYTES


def _public(config: Config) -> dict[str, Any]:
    """The configuration without what is secret: secrets are stars, as pydantic writes them."""
    return config.model_dump(mode="json")
