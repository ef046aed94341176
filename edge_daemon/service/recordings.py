"""A recording for each slide that is screened, where the configuration asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_daemon import __version__
from edge_daemon.config import Config, RecordSettings
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.recording.recorder import SessionRecorder
from edge_daemon.recording.session_file import Session
from edge_daemon.slide_session import SlideSetup
from edge_daemon.sources.base import Captured

LEAST_FREE_BYTES = 2 << 30
"""With less room than this no recording begins: results and the outbox come first."""


class Recordings:
    """Begins a recording with each slide and closes it with it; a context manager."""

    def __init__(
        self,
        settings: RecordSettings,
        config: Config,
        bundle: str,
        engines: str,
        on_fault: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``config``, ``bundle`` and ``engines`` are what the slides are screened with."""
        self._settings = settings
        self._config = config
        self._bundle = bundle
        self._engines = engines
        self._on_fault = on_fault
        self._recorder: SessionRecorder | None = None

    def begin(self, setup: SlideSetup, *, from_the_start: bool) -> None:
        """A slide begins, or is gone on with."""
        self.close()
        folder = self._settings.folder
        if folder is None:
            return
        now = datetime.now(timezone.utc)
        if not _has_room(folder):
            self._on_fault(f"no recording of {setup.name}: less than 2 GB are free in {folder}")
            return
        session = Session(
            slide=setup.name,
            version=__version__,
            bundle=self._bundle,
            engines=self._engines,
            source=setup.source or "unknown",
            config=_public(self._config),
            pictures=self._settings.pictures,
            began_at=now,
            from_the_start=from_the_start,
        )
        place = folder / f"{setup.name}-{now:%Y%m%dT%H%M%S%f}"
        self._recorder = SessionRecorder(place, session, on_fault=self._on_fault)
        self._recorder.__enter__()

    def configure(self, settings: RecordSettings) -> None:
        """Where and how to record, from the next slide on."""
        self._settings = settings

    def use_bundle(self, digest: str, engines: str) -> None:
        """The models are others from the next slide on."""
        self._bundle, self._engines = digest, engines

    def frame(self, result: FrameResult, captured: Captured) -> None:
        """A frame of the slide was finished."""
        if self._recorder is not None:
            self._recorder.frame(result, captured)

    def summary(self, summary: SlideSummary) -> None:
        """The slide was reported on; a last summary closes its recording."""
        if summary.completion is not None and self._recorder is not None:
            self._recorder.end()
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
