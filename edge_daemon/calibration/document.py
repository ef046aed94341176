"""The calibration file: one typed document, and the microscope that it holds for.

A calibration is true of one way in which a microscope is set up. Another objective, binning,
region of the sensor, frame size or camera, and every figure in it is wrong in a way that nobody
sees in the picture; so the file says what it was made with, and does not hold for anything else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from edge_daemon.contract.base import Digest, StrictModel, UtcTime
from edge_daemon.contract.stain import StainReference

SCHEMA = "leukoedge.calibration/1"
MAX_GAIN = 4.0
"""A darker corner than a quarter of the light is a fault of the condenser, not a flat field."""
_GAIN_UNIT = 1 / 8192
_GRID_LONGEST = 96

Objective: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""As people say it, such as ``100x/1.25 oil``; compared as text."""


def _is_region(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(numbers) != 4 or min(numbers) < 0 or min(numbers[2:]) < 1:
        raise ValueError("give left, top, width and height on the sensor, in its pixels")
    return numbers


Region: TypeAlias = Annotated[tuple[int, ...], AfterValidator(_is_region)]
"""Left, top, width and height on the sensor, in its pixels."""


class Setup(StrictModel):
    """How a microscope is set up: what a calibration holds for."""

    objective: Objective
    binning: Annotated[int, Field(ge=1, le=16)] = 1
    region: Region | None = None
    """None is the whole sensor."""
    camera: str | None = None
    """``camera://...`` without its settings, or ``sim://``; None for files, which may be of any."""
    width: Annotated[int, Field(ge=1)]
    """Of the frames, in pixels, as is ``height``."""
    height: Annotated[int, Field(ge=1)]

    def difference(self, now: Setup) -> str | None:
        """What is not as it was when this was made, in words; None if a calibration holds."""
        differences = [
            f"{name} is {_shown(present)} and was {_shown(before)}"
            for name in ("objective", "binning", "region", "camera", "width", "height")
            if (before := getattr(self, name)) != (present := getattr(now, name))
            and not (name == "camera" and None in (before, present))
        ]
        return ", ".join(differences) or None


class Made(StrictModel):
    """Where one part of a calibration comes from."""

    at: UtcTime
    source: str
    frames: Annotated[int, Field(ge=1)]
    frames_digest: Digest
    """SHA-256 over the pixels of the frames, in order."""


class FlatField(StrictModel):
    """Gains that make a blank field even and grey: shading and white balance in one."""

    made: Made
    rows: Annotated[int, Field(ge=2, le=_GRID_LONGEST)]
    columns: Annotated[int, Field(ge=2, le=_GRID_LONGEST)]
    gains: str
    """Gains of red, green and blue ``[rows, columns, 3]`` on a grid over the frame, little-endian
    unsigned 16-bit in units of 1/8192, base64."""
    white_balance: tuple[float, float, float]
    """Mean gain of each channel over that of green."""
    least_light: Annotated[float, Field(gt=0.0, le=1.0)]
    """The darkest place of the blank field over the brightest."""

    @model_validator(mode="after")
    def _gains_fit(self) -> FlatField:
        grid = self.grid()
        if grid.min() < 0.5 or grid.max() > MAX_GAIN:
            raise ValueError(f"gains outside 0.5 to {MAX_GAIN:g}")
        return self

    def grid(self) -> npt.NDArray[np.float32]:
        """The gains, float32 ``[rows, columns, 3]``."""
        try:
            packed = base64.b64decode(self.gains, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("gains are not base64") from None
        if len(packed) != 2 * 3 * self.rows * self.columns:
            raise ValueError("gains are not as many as rows and columns say")
        units = np.frombuffer(packed, "<u2").reshape(self.rows, self.columns, 3)
        return np.asarray(units * _GAIN_UNIT, dtype=np.float32)


def pack_gains(grid: npt.NDArray[np.float32]) -> str:
    """Gains, float32 ``[rows, columns, 3]``, as :class:`FlatField` holds them."""
    units = np.clip(np.round(grid / _GAIN_UNIT), 0, 65535).astype("<u2")
    return base64.b64encode(units.tobytes()).decode("ascii")


class MeasuredScale(StrictModel):
    """Micrometres per pixel."""

    made: Made
    um_per_px: Annotated[float, Field(gt=0.0)]
    uncertainty: Annotated[float, Field(ge=0.0)]
    """One standard uncertainty of ``um_per_px``, in um per pixel."""
    method: Literal["micrometer", "red cells"]


class LearntFocus(StrictModel):
    """What sharp looks like through this objective."""

    made: Made
    best: Annotated[float, Field(gt=0.0)]
    """The measure of focus in the sharpest frames."""
    min_focus: Annotated[float, Field(gt=0.0)]
    """The measure where edges are 1.7 times as wide as in these."""


class LearntStain(StrictModel):
    """The colours of this laboratory's stain through this camera."""

    made: Made
    reference: StainReference


class MicroscopeCalibration(StrictModel):
    """The content of a calibration file."""

    schema_: Literal["leukoedge.calibration/1"] = Field(alias="schema")
    software: str
    """Version of LeukoEdge that wrote it."""
    setup: Setup
    flat: FlatField | None = None
    scale: MeasuredScale | None = None
    focus: LearntFocus | None = None
    stain: LearntStain | None = None
    digest: Digest
    """SHA-256 of everything else: proves that nothing was altered or lost."""

    def content_digest(self) -> str:
        """The digest that ``digest`` must be."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"digest"})
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def sealed(calibration: MicroscopeCalibration) -> MicroscopeCalibration:
    """The same with its own digest."""
    return calibration.model_copy(update={"digest": calibration.content_digest()})


def camera_of(url: str) -> str | None:
    """What identifies the camera behind a source's address; None for files."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return None
    return f"{scheme}://{rest.partition('?')[0]}"


def _shown(value: object) -> str:
    if value is None:
        return "not told"
    return f"{value!r}" if isinstance(value, str) else str(value)
