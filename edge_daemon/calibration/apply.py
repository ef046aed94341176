"""A calibration at work: frames corrected, and what the pipeline may rely on."""

from __future__ import annotations

import logging
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.calibration.document import FlatField, MicroscopeCalibration
from edge_daemon.contract.stain import StainReference
from edge_daemon.vision.quality import QualityThresholds

log = logging.getLogger(__name__)


class Correction:
    """A flat field at the size of the frames, ready to be multiplied in."""

    def __init__(self, flat: FlatField, width: int, height: int) -> None:
        # One cell more on each side, continued as the gains come: light falls fastest there.
        grid = np.pad(flat.grid(), ((1, 1), (1, 1), (0, 0)), mode="reflect", reflect_type="odd")
        across, down = flat.columns / width, flat.rows / height
        place = np.array([[across, 0, across / 2 + 0.5], [0, down, down / 2 + 0.5]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        gains = cv2.warpAffine(grid, place, (width, height), flags=how)
        self._gains = np.ascontiguousarray(gains, dtype=np.float32)

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The frame, RGB uint8 ``[height, width, 3]``, as even light would show it; a new one."""
        return np.asarray(cv2.multiply(pixels, self._gains, dtype=cv2.CV_8U), dtype=np.uint8)


class Calibrated:
    """What a calibration that holds gives the pipeline; any thread may ask."""

    def __init__(self, calibration: MicroscopeCalibration, name: str = "the calibration") -> None:
        """Prepare; ``name`` is how messages call it, such as the file it is from."""
        self.document = calibration
        self._name = name
        setup = calibration.setup
        self._size = setup.height, setup.width
        self._told: set[tuple[int, ...]] = set()
        flat = calibration.flat
        self._correction = None if flat is None else Correction(flat, setup.width, setup.height)
        self._focus = calibration.focus
        scale = calibration.scale
        self.um_per_px: float | None = None if scale is None else scale.um_per_px
        self.scale_from: Literal["configured", "estimated"] = (
            "estimated" if scale is not None and scale.method == "red cells" else "configured"
        )
        """A micrometer measures; red cells are an estimate, whoever makes it."""
        self.stain: StainReference | None = (
            None if calibration.stain is None else calibration.stain.reference
        )

    def fits(self, pixels: npt.NDArray[np.uint8]) -> bool:
        """Whether a frame has the size that was calibrated; says so once a size if not."""
        size = pixels.shape[:2]
        if size == self._size:
            return True
        if size not in self._told:
            self._told.add(size)
            log.warning(
                "%s was made for frames of %d x %d pixels, these have %d x %d: they are analysed "
                "uncalibrated: set the camera back, or calibrate again",
                self._name,
                *self._size[::-1],
                *size[::-1],
            )
        return False

    def correct(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The frame under even, white light; itself where no flat field was made."""
        return pixels if self._correction is None else self._correction.apply(pixels)

    def thresholds(self, configured: QualityThresholds) -> QualityThresholds:
        """What a frame must have: a focus that was set by hand wins over the calibrated one."""
        if self._focus is None or "min_focus" in configured.model_fields_set:
            return configured
        return configured.model_copy(update={"min_focus": self._focus.min_focus})
