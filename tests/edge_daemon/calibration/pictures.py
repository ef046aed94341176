"""Frames of the simulated microscope, and a calibration made of nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from edge_daemon.calibration.document import (
    SCHEMA,
    Made,
    MicroscopeCalibration,
    Setup,
    sealed,
)
from edge_daemon.sources.base import Pixels
from edge_daemon.sources.simulated import open_simulated

NOTHING = f"sha256:{'0' * 64}"
MADE = Made(
    at=datetime(2026, 1, 2, tzinfo=timezone.utc), source="sim://", frames=3, frames_digest=NOTHING
)


def taken(settings: str, frames: int = 4) -> list[Pixels]:
    """Frames of ``sim://?settings``."""
    with open_simulated(f"sim://?fields={frames}&{settings}") as source:
        return [frame.pixels for frame in source]


def calibration(**parts: Any) -> MicroscopeCalibration:
    """One for frames of 640 x 480 through a 100x objective, with these parts."""
    setup = Setup(objective="100x/1.25 oil", camera="sim://", width=640, height=480)
    content = {"schema": SCHEMA, "software": "0.1.0", "digest": NOTHING, "setup": setup, **parts}
    return sealed(MicroscopeCalibration.model_validate(content))
