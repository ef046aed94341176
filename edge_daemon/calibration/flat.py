"""A blank field -> the gains that make it even and grey."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.calibration.document import MAX_GAIN, FlatField, Made, pack_gains
from edge_daemon.errors import CalibrationError
from edge_daemon.vision.quality.cover import foreground_mask

_GRID_SIDE = 64
"""Light varies slowly over a field; a grid of 64 leaves no step, and no dust in the picture."""
_GRID_LEAST = 8
_DARKEST_MEAN = 0.25
_GLASS_AT_MOST = 230.0
"""Grey level of corrected glass: room for a lamp that grows brighter."""
_CLIPPED_AT = 250
_CLIPPED_AT_MOST = 0.001
_CELLS_AT_MOST = 0.004
_FLICKER_AT_MOST = 0.03


def measure_flat(frames: Sequence[npt.NDArray[np.uint8]], made: Made) -> FlatField:
    """The flat field of a blank field seen in these frames, RGB uint8, all of one size.

    Raises:
        CalibrationError: too dark, clipped, flickering, or not blank; with what to do.
    """
    means = np.array([float(frame[::4, ::4].mean()) / 255 for frame in frames])
    if means.mean() < _DARKEST_MEAN:
        raise CalibrationError(
            f"the blank field is too dark: mean brightness {means.mean():.2f}, needs "
            f"{_DARKEST_MEAN:.2f}: turn the lamp up or expose longer"
        )
    clipped = float(np.mean([np.mean(frame[::2, ::2] >= _CLIPPED_AT) for frame in frames]))
    if clipped > _CLIPPED_AT_MOST:
        raise CalibrationError(
            f"the blank field is clipped: {clipped:.1%} of it at full signal, at most "
            f"{_CLIPPED_AT_MOST:.1%}: dim the lamp or shorten the exposure"
        )
    flicker = float(means.std() / means.mean())
    if flicker > _FLICKER_AT_MOST:
        raise CalibrationError(
            f"the light changes by {flicker:.1%} from frame to frame, at most "
            f"{_FLICKER_AT_MOST:.0%}: switch the camera's automatic exposure off, let the lamp warm"
        )
    cells = float(np.mean([np.mean(foreground_mask(frame[..., 1])) for frame in frames]))
    if cells > _CELLS_AT_MOST:
        raise CalibrationError(
            f"the field is not blank: {cells:.1%} of it is darker than the glass around it: "
            "move to clean glass beside the smear"
        )
    blank = np.mean([_on_grid(frame) for frame in frames], axis=0)
    smooth = _smooth(blank)
    target = min(float(smooth.max()), _GLASS_AT_MOST)
    gains = target / np.maximum(smooth, 1e-3)
    if gains.max() > MAX_GAIN:
        raise CalibrationError(
            f"the darkest place of the blank field has 1/{gains.max():.1f} of the brightest "
            f"light, at least 1/{MAX_GAIN:.0f} is needed: centre the condenser and the lamp"
        )
    channels = gains.mean(axis=(0, 1))
    balance = tuple(round(float(gain / channels[1]), 4) for gain in channels)
    luminance = smooth.mean(axis=2)
    return FlatField(
        made=made,
        rows=gains.shape[0],
        columns=gains.shape[1],
        gains=pack_gains(gains.astype(np.float32)),
        white_balance=(balance[0], balance[1], balance[2]),
        least_light=round(float(luminance.min() / luminance.max()), 4),
    )


def _smooth(blank: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Without the noise. Continued beyond the border as it comes: light falls fastest there."""
    room = 6
    around = ((room, room), (room, room), (0, 0))
    wide = np.pad(blank, around, mode="reflect", reflect_type="odd")
    smooth = cv2.GaussianBlur(wide, (0, 0), 1.5)
    return np.asarray(smooth[room:-room, room:-room], dtype=np.float32)


def _on_grid(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    height, width = frame.shape[:2]
    scale = _GRID_SIDE / max(height, width)
    size = max(_GRID_LEAST, round(width * scale)), max(_GRID_LEAST, round(height * scale))
    return np.asarray(
        cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32
    )
