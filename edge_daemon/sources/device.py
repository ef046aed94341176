"""The seam between a camera of whatever kind and the thread that reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from edge_daemon.sources.address import Off
from edge_daemon.sources.backpressure import BackPressure
from edge_daemon.sources.base import Pixels, StagePosition


class LiveSettings(BaseModel):
    """How any live camera is watched over. What is None is not done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    back_pressure: BackPressure = BackPressure.LATEST
    waiting_frames: int = Field(default=2, ge=1, le=64, description="frames kept for the pipeline")
    open_timeout_s: float = Field(default=10.0, gt=0)
    frame_timeout_s: float = Field(
        default=1.5, gt=0, description="without a good picture for so long, it has stopped"
    )
    first_frame_timeout_s: float = Field(
        default=4.0, gt=0, description="the same for the first picture after opening"
    )
    frozen_after_s: Annotated[float | None, Off] = Field(
        default=1.5, gt=0, description="the same picture for so long; off: never"
    )
    refuse_torn: bool = True
    failed_reads: int = Field(default=5, ge=1, description="so many in a row: it has stopped")
    reopen: bool = Field(default=True, description="open it again when it has stopped")
    reopen_min_s: float = Field(default=0.25, gt=0, description="wait before the first attempt")
    reopen_max_s: float = Field(default=1.0, gt=0, description="longest wait between attempts")


@dataclass(frozen=True, eq=False)
class Shot:
    """What one read gave: a picture, or the reason why there is none."""

    pixels: Pixels | None
    flaw: str | None = None
    """One line, without the name of the source."""
    driver_ms: float = 0.0
    """The driver's own time of the capture, 0 if it tells none."""
    predicted: bool = False
    """It came as a change of the pictures before it, in a compressed stream: where little changes
    it is equal to them, to the byte, whether or not the camera looks."""
    stage: StagePosition | None = None
    um_per_px: float | None = None


class Device(Protocol):
    """An open camera. One thread opens, reads and closes it."""

    @property
    def description(self) -> str:
        """Size, rate and settings as the camera took them, in one line without its name."""

    @property
    def fps(self) -> float | None:
        """Pictures per second that it should give, if that is known."""

    def read(self) -> Shot:
        """Wait for the next picture. May wait for ever: the caller's watch has a deadline.

        Raises:
            Exception: the driver failed; the device is closed and opened again.
        """

    def is_plugged_in(self) -> bool:
        """Whether it is still there, as far as can be told without touching it; any thread."""

    def close(self) -> None:
        """Let it go."""


OpenDevice: TypeAlias = Callable[[], Device]
"""Finds the camera and opens it. Raises SourceError if it is absent, busy, or not as asked."""


class EndOfFrames(Exception):  # noqa: N818 no error: a recording has been played
    """A device that has an end (a simulated one) has reached it."""
