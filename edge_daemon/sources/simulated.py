"""The simulated microscope ``sim://``: a seeded slide under a stage, a lens and a camera.

It stands in for the instrument in the demo, the tests and the bench: the same address gives the
same frames byte for byte, and the truth about every cell is known. An address is
``sim://?name=value&name=value``; every parameter has a default, so ``sim://`` alone works.

The scan
    ``seed=7``          everything random follows from it
    ``fields=60``       number of frames, 1 to 10,000, taken in rows to and fro
    ``overlap=0.3``     share of a field that it has in common with its neighbour, 0 to 0.8
    ``width=640``, ``height=480``   frame in px
    ``um_per_px=0.075`` scale; a red cell of 7.5 um is then 100 px wide
    ``scale=known``     ``unknown``: frames do not say their scale
    ``stage=reported``  ``none``: frames do not say where the stage stood
    ``jitter=1.5``      error of every stop of the stage, px (standard deviation)
    ``backlash=4``      play of the stage in rows run backwards, px
    ``drift=0``         how far the slide creeps from stop to stop, px (standard deviation); adds up
    ``jumps=0``         how often the scan leaves its way, goes on elsewhere and comes back later
    ``fps=0``           frames per second; 0 gives them as fast as they are taken

The blood, per standard field of 48 by 36 um
    ``red=17``, ``white=1.2``, ``platelets=1.6``   cells
    ``blasts=0.2``      share of the white cells that are blasts, 0 to 1
    ``stain=0.3``       how far the colours depart from the reference, 0 none, 1 another laboratory

The optics
    ``focus=0.5``       how far the focus drifts, um
    ``vignetting=0.12`` share of light lost in the corners
    ``noise=2.5``       standard deviation at full signal, grey levels of 255
    ``sweep=0``         the focus runs from so many um below to so many above over the frames
    ``motion=0``        way of the stage while a frame is exposed, um, each frame in its direction
    ``cast=0``          colour of the lamp, 0 white, 1 the yellow of a dimmed halogen bulb
    ``defects=0``       share of frames that are spoilt: out of focus, overexposed, or empty glass

What lies on the stage
    ``target=smear``    ``blank``: clean glass; ``micrometer``: a stage micrometer
    ``pitch=10``        distance of the micrometer's lines, um
    ``angle=0``         of the micrometer, degrees

The camera (see :mod:`edge_daemon.sources.simulated_faults`)
    ``tear=0``          share of frames whose lower half is left over from the frame before
    ``freeze=0``        how often in a scan it shows the same picture for ``outage`` seconds
    ``unplug=0``        how often in a scan it is away for ``outage`` seconds
    ``outage=3``        seconds

The truth
    ``visible=0.5``     a cell counts when some unspoilt frame shows at least this share of it

Real pixels instead of drawn ones (see :mod:`edge_daemon.smear.real_pixels`)
    ``cells=FOLDER``    cut-out white cells on black (C-NMC 2019)
    ``backgrounds=FOLDER``  whole frames with annotations (BCCD, TXL-PBC)
    ``split=all``       ``train`` or ``val``: only cells of that split (``manifest.csv``)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias, get_args

import numpy as np
from typing_extensions import Self

from edge_daemon.errors import DataError, SourceError
from edge_daemon.smear.atlas import Atlas, RenderedAtlas
from edge_daemon.smear.optics import Optics
from edge_daemon.smear.palette import draw_palette
from edge_daemon.smear.plan import SmearRecipe
from edge_daemon.smear.raster import Raster, Stop, plan_raster, with_drift, with_jumps
from edge_daemon.smear.slide import FieldTruth, UniqueCells, VirtualSlide, empty_truth
from edge_daemon.smear.sprite import Picture
from edge_daemon.smear.targets import blank_field, micrometer_field
from edge_daemon.sources.base import Frame, StagePosition
from edge_daemon.sources.lifecycle import Clock, Lifecycle, SteadyClock, utc_now
from edge_daemon.sources.simulated_settings import SimulatedSettings, parse_settings

Defect: TypeAlias = Literal["out_of_focus", "overexposed", "empty"]
"""How a frame was spoilt on purpose."""

_DEFECTS: tuple[Defect, ...] = get_args(Defect)
_OUT_OF_FOCUS_UM = 6.0
_OVEREXPOSURE = 2.0
_MARGIN_UM = 12.0
"""Slide around the scan: more than half a cell, so that outer fields cut cells as any other."""
_RENDERED_SHARPNESS_PX = 0.85
"""Blur of the lens in perfect focus; real pixels bring their own."""


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """What one frame shows, how it was spoilt if it was, and where the stage truly stood."""

    index: int
    field: FieldTruth
    defect: Defect | None
    stop: Stop


@dataclass(frozen=True, eq=False)
class SlideTruth:
    """The truth of a whole scan."""

    unique: UniqueCells
    """Cells of the slide that unspoilt frames show well enough, each counted once."""
    frames: tuple[FrameTruth, ...]


def open_simulated(spec: str) -> SimulatedSource:
    """The simulated microscope that ``spec`` describes.

    Raises:
        SourceError: an unknown parameter, a value out of range, or folders without pictures.
    """
    return SimulatedSource(parse_settings(spec), spec)


class SimulatedSource:
    """Frames of a virtual slide, in the order of the stage's raster; a Source with its truth."""

    def __init__(
        self, settings: SimulatedSettings, name: str = "sim://", *, clock: Clock = utc_now
    ) -> None:
        self.settings = settings
        self._name = name
        self._clock = SteadyClock(clock)
        self._life = Lifecycle(name)
        self._raster = self._way()
        self.slide = VirtualSlide(
            settings.seed,
            self._raster.width_um,
            self._raster.height_um,
            SmearRecipe(settings.red, settings.white, settings.platelets, settings.blasts),
            _atlas(settings, name, self._raster.width_um),
        )
        self._optics = Optics(
            self._rng(11),
            settings.width,
            settings.height,
            settings.vignetting,
            settings.noise,
            0.0 if settings.real_pixels else _RENDERED_SHARPNESS_PX,
            settings.cast,
        )
        self._defects = self._draw_defects()
        self._focus_phases = self._rng(12).uniform(0, 2 * np.pi, 2)

    @property
    def name(self) -> str:
        """The address."""
        return self._name

    @property
    def frame_count(self) -> int:
        """Number of fields in the scan."""
        return self.settings.fields

    def __enter__(self) -> Self:
        self._life.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._life.close()

    def __iter__(self) -> Iterator[Frame]:
        """One frame for each stop of the stage."""
        self._life.iterate()
        return self._frames()

    def truth(self) -> SlideTruth:
        """The truth of the scan; may be asked for before, while and after frames are taken."""
        frames = tuple(self.frame_truth(index) for index in range(self.settings.fields))
        sound = [frame.field for frame in frames if frame.defect is None]
        return SlideTruth(self.slide.unique_cells(sound, self.settings.visible), frames)

    def frame_truth(self, index: int) -> FrameTruth:
        """The truth of one frame. An ``empty`` frame shows no cell."""
        stop, defect = self._raster.stops[index], self._defects.get(index)
        if defect == "empty" or self.settings.target != "smear":
            return FrameTruth(index, empty_truth(), defect, stop)
        field = self.slide.field_truth(*stop.true_um, self.settings.width, self.settings.height)
        return FrameTruth(index, field, defect, stop)

    def stop_at(self, index: int) -> Stop:
        """Where the stage stood, truly and as reported, when a frame was taken."""
        return self._raster.stops[index]

    def take_frame(self, index: int) -> Picture:
        """The picture of one stop, RGB uint8; the same however often and in whatever order."""
        settings, stop = self.settings, self._raster.stops[index]
        defect = self._defects.get(index)
        return self._optics.expose(
            self._rng(13, index),
            self._under_the_lens(stop, defect),
            _OUT_OF_FOCUS_UM if defect == "out_of_focus" else self._defocus_um(index),
            settings.um_per_px,
            _OVEREXPOSURE if defect == "overexposed" else 1.0,
            self._way_px(index),
        )

    def _way(self) -> Raster:
        settings, px = self.settings, self.settings.um_per_px
        raster = plan_raster(
            self._rng(10),
            settings.fields,
            (settings.width * px, settings.height * px),
            settings.overlap,
            settings.jitter * px,
            settings.backlash * px,
            # Where a slide creeps, the scan may end as far off as this.
            _MARGIN_UM + 2 * settings.drift * px * settings.fields**0.5,
        )
        jumping = with_jumps(self._rng(17), raster, settings.jumps)
        return with_drift(self._rng(18), jumping, settings.drift * px)

    def _under_the_lens(self, stop: Stop, defect: Defect | None) -> Picture:
        settings = self.settings
        if defect == "empty" or settings.target == "blank":
            return blank_field(settings.width, settings.height)
        if settings.target == "micrometer":
            return micrometer_field(
                *stop.true_um,
                settings.width,
                settings.height,
                settings.um_per_px,
                settings.pitch,
                np.deg2rad(settings.angle),
            )
        return self.slide.render_pixels(*stop.true_um, settings.width, settings.height)

    def _way_px(self, index: int) -> tuple[float, float]:
        """How far the stage moves while a frame is exposed, in x and y."""
        if not self.settings.motion:
            return 0.0, 0.0
        direction = self._rng(16, index).uniform(0, np.pi)
        way_px = self.settings.motion / self.settings.um_per_px
        return float(way_px * np.cos(direction)), float(way_px * np.sin(direction))

    def _frames(self) -> Iterator[Frame]:
        due = time.monotonic()
        for index, stop in enumerate(self._raster.stops):
            self._life.require_open()
            pixels = self.take_frame(index)
            if self.settings.fps > 0:
                due = max(due + 1 / self.settings.fps, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
            yield Frame(
                index,
                self._name,
                self._clock(),
                pixels,
                field=0,
                um_per_px=self.settings.um_per_px if self.settings.scale == "known" else None,
                stage=StagePosition(*stop.reported_um) if self.settings.stage != "none" else None,
            )

    def _defocus_um(self, index: int) -> float:
        """A sweep, or slow drift: a stand that warms up, a slide that is not quite level."""
        if self.settings.sweep:
            return self.settings.sweep * (2 * index / max(1, self.settings.fields - 1) - 1)
        slow, fast = self._focus_phases
        drift = 0.7 * np.sin(index / 17 + slow) + 0.3 * np.sin(index / 3.1 + fast)
        return float(self.settings.focus * drift)

    def _draw_defects(self) -> dict[int, Defect]:
        count = round(self.settings.defects * self.settings.fields)
        chosen = self._rng(14).permutation(self.settings.fields)[:count]
        return {int(index): _DEFECTS[turn % 3] for turn, index in enumerate(chosen)}

    def _rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *purpose])


def _atlas(settings: SimulatedSettings, name: str, width_um: float) -> Atlas:
    if settings.real_pixels:
        from edge_daemon.smear.real_pixels import open_real_pixels

        try:
            return open_real_pixels(
                settings.cells,
                settings.backgrounds,
                None if settings.split == "all" else settings.split,
                settings.seed,
                settings.um_per_px,
                width_um,
            )
        except DataError as error:
            raise SourceError(f"{name}: {error}") from None
    palette = draw_palette(np.random.default_rng([settings.seed, 15]), settings.stain)
    return RenderedAtlas(settings.seed, settings.um_per_px, palette)
