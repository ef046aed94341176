"""Stain shift: have the colours moved away from those of a reference?

Glass, red cells and nuclei are told apart as the gate tells them (nuclei hold back red light,
which red cells let through), and the median colour of each is held against the reference's in
CIELAB, where distances are about as large as they look. One tolerance is three times the spread
of the reference's own frames, and never less than what the eye of a microscopist lets pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.contract.stain import StainColour, StainReference
from edge_daemon.vision.quality.cover import foreground_mask
from edge_daemon.vision.quality.thresholds import QualityThresholds
from edge_daemon.vision.quality.verdict import Judgement

_SIDE_PX = 80
"""Colours are read from so many pixels in a row: a median needs no more."""
_NUCLEUS_RED_DENSITY = 0.25
"""Optical density in red above which a pixel is a nucleus: red cells have 0.03 to 0.15."""
_ENOUGH = 0.003
"""Share of a frame below which a colour is not read."""
_LEAST_TOLERANCE = 8.0
"""Delta E; lamps and white balance of one microscope wander by a few."""
_SPREADS = 3.0

Lab: TypeAlias = npt.NDArray[np.float64]
"""One colour, CIELAB, float64 ``[3]``."""


@dataclass(frozen=True, eq=False)
class StainColours:
    """Median colour of each thing in one frame; None for what it shows too little of."""

    glass: Lab | None
    red_cells: Lab | None
    nuclei: Lab | None


def measure_stain(
    pixels: npt.NDArray[np.uint8], foreground: npt.NDArray[np.bool_] | None = None
) -> StainColours:
    """Of a frame, RGB uint8 ``[height, width, 3]``; ``foreground`` where it is known already."""
    if foreground is None:
        foreground = foreground_mask(cv2.extractChannel(pixels, 1))
    step = max(1, max(pixels.shape) // _SIDE_PX)
    small = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step])
    cells = cv2.resize(
        foreground.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST
    ).astype(np.bool_)
    red = small[..., 0]
    white = float(_middle(red[~cells])) if not cells.all() else float(red.max())
    nuclei = cells & (red < white * 10**-_NUCLEUS_RED_DENSITY)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab)
    return StainColours(*(_median(lab, mask) for mask in (~cells, cells & ~nuclei, nuclei)))


def stain_shift(colours: StainColours, reference: StainReference) -> tuple[float, str] | None:
    """How far the worst of the colours is off, in tolerances, and which; None if none was read."""
    worst: tuple[float, str] | None = None
    for name, colour, known in (
        ("glass", colours.glass, reference.glass),
        ("red cells", colours.red_cells, reference.red_cells),
        ("nuclei", colours.nuclei, reference.nuclei),
    ):
        if colour is None or known is None:
            continue
        tolerance = max(_LEAST_TOLERANCE, _SPREADS * known.spread)
        shift = float(np.linalg.norm(colour - np.asarray(known.lab))) / tolerance
        if worst is None or shift > worst[0]:
            worst = shift, name
    return worst


def judge_stain(shift: tuple[float, str] | None, needs: QualityThresholds) -> Judgement:
    """Whether the stain is the one that was learnt, or calibrated."""
    if shift is None:
        return Judgement("stain", "unjudged", "no colour could be read")
    if shift[0] > needs.max_stain_shift:
        return Judgement(
            "stain",
            "hint",
            f"stain unlike the reference: {shift[1]} off by {shift[0]:.1f} tolerances, at most "
            f"{needs.max_stain_shift:.1f}: check stain, lamp and white balance, or calibrate again",
        )
    return Judgement("stain", "pass")


NO_REFERENCE = Judgement(
    "stain", "unjudged", "stain is not judged: no reference: run leuko-edge calibrate stain"
)


def stain_reference(frames: list[StainColours]) -> StainReference | None:
    """What these frames have in common; None without glass and red cells in any of them."""
    glass = _common([frame.glass for frame in frames])
    red_cells = _common([frame.red_cells for frame in frames])
    if glass is None or red_cells is None:
        return None
    nuclei = _common([frame.nuclei for frame in frames])
    return StainReference(glass=glass, red_cells=red_cells, nuclei=nuclei, frames=len(frames))


def _common(colours: list[Lab | None]) -> StainColour | None:
    known = [colour for colour in colours if colour is not None]
    if not known:
        return None
    mean = np.mean(known, axis=0)
    spread = float(np.sqrt(np.mean(np.sum((np.asarray(known) - mean) ** 2, axis=1))))
    lightness, green_red, blue_yellow = (round(float(value), 3) for value in mean)
    return StainColour(lab=(lightness, green_red, blue_yellow), spread=round(spread, 3))


def _median(lab: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Lab | None:
    if np.count_nonzero(mask) < _ENOUGH * mask.size:
        return None
    return np.asarray(_middle(lab[mask]), dtype=np.float64)


def _middle(values: npt.NDArray[Any]) -> Any:
    """The median along the first axis, as numpy has it but for its care for NaN."""
    half = len(values) // 2
    if len(values) % 2:
        return np.partition(values, half, axis=0)[half]
    below, above = np.partition(values, (half - 1, half), axis=0)[half - 1 : half + 1]
    return below + (above - below) / 2 if values.dtype == np.uint8 else (below + above) / 2
