"""The simulated microscope with a camera that fails: ``sim://?tear=0.02&freeze=1&unplug=2``.

The pictures are those of the same address without faults. They come through the same thread, watch
and reopening as a real camera's, so that what the daemon makes of a fault can be tested; when they
come depends on the machine. A stop of the stage at which a picture was torn is lost, as it would
be; while the camera is frozen or away the stage waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edge_daemon.errors import AbsentSourceError
from edge_daemon.sources.backpressure import BackPressure
from edge_daemon.sources.base import Pixels, Source, StagePosition
from edge_daemon.sources.device import Device, EndOfFrames, LiveSettings, Shot
from edge_daemon.sources.live import LiveCamera
from edge_daemon.sources.request import SourceRequest
from edge_daemon.sources.simulated import SimulatedSource, SlideTruth

_FROZEN_FPS = 30.0
"""A frozen camera hands out its last picture at its rate; this one if none is set."""


def with_faults(source: SimulatedSource, request: SourceRequest) -> Source:
    """The source itself where its camera has no faults, or it behind one that has."""
    return FaultySimulatedSource(source, request) if source.settings.has_camera_faults else source


class FaultySimulatedSource(LiveCamera):
    """A simulated scan through a camera that fails now and then. It ends when the scan does."""

    def __init__(self, microscope: SimulatedSource, request: SourceRequest) -> None:
        self.microscope = microscope
        camera = SimulatedCamera(microscope)
        super().__init__(
            microscope.name,
            camera.open,
            # The scan waits for the pipeline, as without faults.
            LiveSettings(back_pressure=BackPressure.EVERY_FRAME),
            stop=request.stop,
            on_event=request.on_event,
            may_come_later=request.may_come_later,
        )

    def truth(self) -> SlideTruth:
        """The truth of the scan, as if no picture were lost."""
        return self.microscope.truth()


class SimulatedCamera(Device):
    """The camera of a simulated microscope; it may be opened again and goes on where it was."""

    def __init__(
        self, microscope: SimulatedSource, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._microscope = microscope
        self._settings = settings = microscope.settings
        self._now_s = now_s
        chance = np.random.default_rng([settings.seed, 16])
        # Never at the first frame: there must be a picture to freeze and to tear.
        places = 1 + chance.permutation(settings.fields - 1)
        outages = min(settings.freeze + settings.unplug, len(places))
        self._freezes = set(places[: min(settings.freeze, outages)].tolist())
        self._unplugs = set(places[len(self._freezes) : outages].tolist())
        torn = round(settings.tear * settings.fields)
        self._tears = set((1 + chance.permutation(settings.fields - 1))[:torn].tolist())
        self._index = 0
        self._frozen_until_s = self._away_until_s = 0.0
        self._last: Shot | None = None
        self._due_s = 0.0

    def open(self) -> Device:
        """Raises SourceError while it is unplugged."""
        if not self.is_plugged_in():
            raise AbsentSourceError(f"{self._microscope.name}: the simulated camera is unplugged")
        return self

    @property
    def description(self) -> str:
        """Its size, and how it fails."""
        s = self._settings
        return (
            f"{s.width} x {s.height}, simulated, {len(self._tears)} torn frames, "
            f"{len(self._freezes)} freezes and {len(self._unplugs)} times unplugged for "
            f"{s.outage:g} s"
        )

    @property
    def fps(self) -> float | None:
        """What it is set to; None where it gives frames as fast as they are taken."""
        return self._settings.fps or None

    def read(self) -> Shot:
        """The picture of the next stop, or what the fault of the moment makes of it."""
        index = self._index
        if index >= self._settings.fields:
            raise EndOfFrames
        if index in self._unplugs:
            self._unplugs.remove(index)
            self._away_until_s = self._now_s() + self._settings.outage
        if index in self._freezes:
            self._freezes.remove(index)
            self._frozen_until_s = self._now_s() + self._settings.outage
        if not self.is_plugged_in():
            return Shot(None, "the camera gave no picture: check its cable")
        if self._now_s() < self._frozen_until_s and self._last is not None:
            self._wait(self._settings.fps or _FROZEN_FPS)
            return self._last
        self._wait(self._settings.fps)
        self._index += 1
        self._last = self._taken(index)
        return self._last

    def is_plugged_in(self) -> bool:
        """Whether it is not away at the moment."""
        return self._now_s() >= self._away_until_s

    def close(self) -> None:
        """It stays where it was."""

    def _taken(self, index: int) -> Shot:
        pixels: Pixels = self._microscope.take_frame(index)
        if index in self._tears and self._last is not None and self._last.pixels is not None:
            half = len(pixels) // 2
            pixels = np.concatenate((pixels[:half], self._last.pixels[half:]))
        stop, settings = self._microscope.stop_at(index), self._settings
        return Shot(
            pixels,
            stage=StagePosition(*stop.reported_um) if settings.stage != "none" else None,
            um_per_px=settings.um_per_px if settings.scale == "known" else None,
        )

    def _wait(self, fps: float) -> None:
        if fps > 0:
            self._due_s = max(self._due_s + 1 / fps, self._now_s())
            time.sleep(max(0.0, self._due_s - self._now_s()))
