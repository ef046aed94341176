"""Micrometres per pixel, with an honest uncertainty: from a micrometer, or from red cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_daemon.calibration.document import Made, MeasuredScale
from edge_daemon.calibration.micrometer import line_spacing
from edge_daemon.errors import CalibrationError

MICROMETER_UNCERTAINTY = 0.001
"""Relative standard uncertainty of the lines of an ordinary stage micrometer."""
RED_CELL_UNCERTAINTY = 0.06
"""Relative: the mean diameter of red cells differs by so much between healthy people and films;
in microcytic or macrocytic anaemia it is off by more, which no count of cells can mend."""
_FRAMES_DIFFER_BY_AT_MOST = 0.02
_LEAST_ESTIMATES = 5


def scale_from_micrometer(
    frames: Sequence[npt.NDArray[np.uint8]], spacing_um: float, made: Made
) -> MeasuredScale:
    """The scale by the lines of a stage micrometer, ``spacing_um`` apart.

    Raises:
        CalibrationError: no lines, or frames that do not agree.
    """
    spacings = [found for frame in frames if (found := line_spacing(frame)) is not None]
    if 2 * len(spacings) < len(frames) or not spacings:
        raise CalibrationError(
            f"no evenly spaced lines in {len(frames) - len(spacings)} of {len(frames)} frames: "
            "focus on the lines of the stage micrometer, at least four of them in view"
        )
    px = np.array([found.px for found in spacings])
    middle = float(np.median(px))
    if float(np.abs(px / middle - 1).max()) > _FRAMES_DIFFER_BY_AT_MOST:
        raise CalibrationError(
            f"the lines are {px.min():.2f} to {px.max():.2f} pixels apart, differing by more than "
            f"{_FRAMES_DIFFER_BY_AT_MOST:.0%}: keep the micrometer still and in focus"
        )
    fit = float(np.median([found.error_px for found in spacings])) / middle
    spread = float(px.std()) / middle
    relative = float(np.hypot(max(fit, spread), MICROMETER_UNCERTAINTY))
    return _scale(spacing_um / middle, relative, "micrometer", made)


def scale_from_red_cells(estimates: Sequence[float], made: Made) -> MeasuredScale:
    """The scale by red cells; ``estimates`` in um per pixel, one a frame.

    Raises:
        CalibrationError: too few frames with enough red cells.
    """
    if len(estimates) < _LEAST_ESTIMATES:
        raise CalibrationError(
            f"red cells could be measured in {len(estimates)} frames, needs {_LEAST_ESTIMATES}: "
            "take more frames of a monolayer, or use a stage micrometer with --spacing-um"
        )
    values = np.asarray(estimates)
    middle = float(np.median(values))
    standard_error = float(values.std()) / middle / np.sqrt(len(values))
    return _scale(middle, float(np.hypot(standard_error, RED_CELL_UNCERTAINTY)), "red cells", made)


def _scale(um_per_px: float, relative: float, method: str, made: Made) -> MeasuredScale:
    return MeasuredScale.model_validate(
        {
            "made": made,
            "um_per_px": float(f"{um_per_px:.6g}"),
            "uncertainty": float(f"{um_per_px * relative:.3g}"),
            "method": method,
        }
    )
