"""A stored control on its way through the device.

Its frames go through the pipeline and the statistics of any slide, and make no message of one.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from edge_daemon.ahead import ahead
from edge_daemon.control.compare import Screened
from edge_daemon.control.figures import ControlTally
from edge_daemon.errors import ControlError, SourceError
from edge_daemon.pipeline import Pipeline, Prepared
from edge_daemon.recording.recorded import RecordedSource
from edge_daemon.recording.session_file import SESSION, digest_of
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, Frame, Source
from edge_daemon.sources.open import open_source
from edge_daemon.vision.slide import SlideThresholds


@dataclass(frozen=True)
class StoredControl:
    """Where its pictures lie, and how they are read."""

    source: str
    scan: bool
    """The pictures of a folder overlap."""
    um_per_px: float | None
    """What the device is configured with: it goes before what a recording says, for it is what is
    to be proven."""
    within_s: float

    def open(self) -> Source:
        """Its pictures, ready to be entered.

        Raises:
            SourceError: there is no such thing, or it has no end.
            DataError: it is a recording that was cut off.
        """
        folder = Path(self.source)
        if (folder / SESSION).is_file():
            return RecordedSource(folder)
        source = open_source(self.source, scan=self.scan, um_per_px=self.um_per_px)
        if source.frame_count is None:
            raise SourceError(f"{self.source}: a stored control must come to an end")
        return source


class StoppedError(Exception):
    """The daemon is stopping: nothing is known of the control."""


def screen_stored(
    control: StoredControl,
    pipeline: Pipeline,
    thresholds: SlideThresholds,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Screened:
    """Screen a stored control in the thread that owns the networks of a fresh ``pipeline``.

    Returns:
        What it came to.

    Raises:
        LeukoError: its pictures cannot be read, or it took too long.
        LostDeviceError: the accelerator broke.
        StoppedError: ``stop`` was set.
    """
    deadline_s = clock() + control.within_s
    session = SlideSession(SlideSetup("control", control=True), pipeline.slide_map, thresholds)
    tally = ControlTally()
    pictures = hashlib.sha256()

    def prepare(captured: Captured) -> Prepared:
        if isinstance(captured, Frame):
            pictures.update(digest_of(captured.pixels).encode())
            if control.um_per_px is not None:
                captured = replace(captured, um_per_px=control.um_per_px)
        else:
            pictures.update(captured.reason.encode())
        return pipeline.prepare(captured)

    def over() -> bool:
        late = clock() > deadline_s
        return late or pipeline.lost is not None or (stop is not None and stop.is_set())

    with control.open() as source, closing(ahead(source, prepare, over)) as frames:
        for prepared in frames:
            findings = pipeline.finish(prepared)
            session.enter(findings)
            tally.enter(findings)
            if pipeline.lost is not None:
                raise pipeline.lost
            if stop is not None and stop.is_set():
                raise StoppedError
            if clock() > deadline_s:
                raise ControlError(
                    f"the control took more than {control.within_s:g} s, after "
                    f"{session.frames.captured} frames: take fewer pictures, or more time: "
                    "[control] within_s"
                )
    return Screened(
        tally.figures(session.standing(completion="source_ended")),
        pictures=f"sha256:{pictures.hexdigest()}",
        most_unseen=tally.most_unseen,
    )
