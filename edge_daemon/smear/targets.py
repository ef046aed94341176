"""What else lies under an objective: clean glass, and a stage micrometer.

The micrometer has dark lines at equal distances, every fifth longer than the others and every tenth
longer still, as engraved ones have, and lies a little aslant, as slides do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_daemon.smear.sprite import Picture

GLASS = (232, 229, 228)
"""RGB of clean glass under the lamp."""
_ENGRAVED = 0.82
"""Share of the light that a line holds back."""
_LINE_SHARE = 0.18
"""Width of a line, of the distance between them."""
_LENGTHS = ((10, 1.0), (5, 0.7), (1, 0.45))
"""Half length of every so manieth line, in heights of the field."""


def blank_field(width_px: int, height_px: int) -> Picture:
    """Clean glass, RGB uint8 ``[height_px, width_px, 3]``."""
    return np.full((height_px, width_px, 3), GLASS, np.uint8)


def micrometer_field(
    x_um: float,
    y_um: float,
    width_px: int,
    height_px: int,
    um_per_px: float,
    pitch_um: float,
    angle_rad: float,
) -> Picture:
    """A micrometer seen from ``x_um, y_um`` (top left), its lines ``pitch_um`` apart.

    ``angle_rad`` turns it: 0 is lines upright. Its axis runs through the middle of every field.
    """
    x = (np.arange(width_px) - width_px / 2 + 0.5) * um_per_px
    y = (np.arange(height_px) - height_px / 2 + 0.5) * um_per_px
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    across = x[None] * cos + y[:, None] * sin + x_um * cos + y_um * sin
    along = np.abs(y[:, None] * cos - x[None] * sin)
    number = np.round(across / pitch_um)
    reach = np.zeros_like(across)
    for every, length in _LENGTHS:
        reach = np.maximum(reach, np.where(number % every == 0, length * height_px * um_per_px, 0))
    off_um = np.abs(across - number * pitch_um) - _LINE_SHARE * pitch_um / 2
    ink = _soft(off_um / um_per_px) * _soft((along - reach / 2 * 1.6) / um_per_px)
    light = (1 - _ENGRAVED * ink)[..., None] * np.asarray(GLASS, np.float64)
    return np.asarray(light + 0.5, np.uint8)


def _soft(outside_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 inside, 0 outside, over one pixel."""
    return np.clip(0.5 - outside_px, 0.0, 1.0)
