"""A device as the service room sees one: a view that is fed with frames, and a clock to turn."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np

from edge_daemon.contract.findings import CellCounts, CellResult
from edge_daemon.contract.messages import FrameResult, Health, SlideSummary
from edge_daemon.delivery.mqtt import LinkState
from edge_daemon.service.live_view import LiveView
from edge_daemon.service.progress import Progress
from edge_daemon.sources.base import Captured, DroppedFrame, Frame
from tests.edge_daemon.contract.samples import ENVELOPE, SAMPLES, SUMMARY

BLUR = "out of focus: sharpness 4.1, needs 8.5: turn the fine focus"
HEALTH = next(message for message in SAMPLES if isinstance(message, Health))


def summary(**changes: object) -> SlideSummary:
    return SlideSummary(**{**SUMMARY, **changes})


def running(**changes: object) -> SlideSummary:
    return summary(ended_at=None, complete=False, completion=None, **changes)


def white_cell(unique_id: int, label: str = "blast", x: float = 100.0) -> CellResult:
    return CellResult(
        id=unique_id,
        box=(x, 100.0, 80.0, 80.0),
        kind="wbc",
        score=0.9,
        p_blast=0.9,
        label=label,
        unique_id=unique_id,
    )


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Device:
    """A view and what feeds it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress(clock=self.clock)
        self.last_health: Health | None = None
        self.link = LinkState(connected=True, line="broker: connected with MQTT 5", refusals=0)
        self.view = LiveView(
            self.progress, lambda: self.last_health, lambda: self.link, clock=self.clock
        )
        self.frames = 0

    def ready(self) -> None:
        self.progress.ready("screening slide-7")
        self.view.slide_started()

    def frame(
        self,
        *cells: CellResult,
        outcome: str = "analysed",
        reason: str | None = None,
        grey: int = 230,
        noise: bool = False,
        size: tuple[int, int] = (480, 640),
        timings_ms: dict[str, float] | None = None,
    ) -> FrameResult:
        """Feed one frame."""
        number, self.frames = self.frames, self.frames + 1
        now = datetime.now(timezone.utc)
        result = FrameResult(
            **ENVELOPE,
            slide="slide-7",
            frame=number,
            source="camera",
            captured_at=now - timedelta(milliseconds=150),
            outcome=outcome,
            reason=reason,
            width=size[1] if outcome != "dropped" else None,
            height=size[0] if outcome != "dropped" else None,
            timings_ms=timings_ms or {"quality": 4.0, "detect": 12.0},
            cells=cells,
            counts=CellCounts.of(cells),
        )
        captured: Captured
        if outcome == "dropped":
            captured = DroppedFrame(number, "camera", now, reason or "too slow")
        else:
            pixels = np.full((*size, 3), grey, np.uint8)
            if noise:  # a megabyte as JPEG
                pixels = np.random.default_rng(number).integers(0, 256, (960, 1280, 3), np.uint8)
            captured = Frame(number, "camera", now, pixels)
        self.view.on_frame(result, captured)
        return result
