"""Exposure, gain and white balance of a V4L2 camera: fixed, and read back.

A camera that chooses them itself makes a dense field brighter and a pink one greyer, which changes
what a cell looks like from field to field. So what is asked for is fixed: the automatic is
switched off first, because drivers refuse a value while it is on.

Units are those of the Linux kernel's documentation ("Camera Control Reference" and "User
Controls"): exposure in steps of 100 us, white balance in kelvin, gain in the camera's own steps.
OpenCV hands values of V4L2 controls through as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from edge_daemon.errors import SourceError
from edge_daemon.sources.capture import Capture

_EXPOSURE_STEP_US = 100.0
_AUTO_EXPOSURE_MANUAL = 1.0
"""V4L2_EXPOSURE_MANUAL; 0 is automatic, 3 (aperture priority) is what UVC cameras start in."""
_ABSENT = -1.0
"""What OpenCV reads where a camera has no such control."""
_TOLERANCE = 0.1


@dataclass(frozen=True)
class _Control:
    setting: str
    what: str
    value: int
    auto: int | None
    auto_off: float
    step: float
    unit: str


_EXPOSURE = _Control(
    "exposure_us", "exposure", cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_AUTO_EXPOSURE,
    _AUTO_EXPOSURE_MANUAL, _EXPOSURE_STEP_US, " us",
)  # fmt: skip
_GAIN = _Control("gain", "gain", cv2.CAP_PROP_GAIN, None, 0.0, 1.0, "")
_WHITE_BALANCE = _Control(
    "white_balance_k", "white balance", cv2.CAP_PROP_WB_TEMPERATURE, cv2.CAP_PROP_AUTO_WB, 0.0, 1.0,
    " K",
)  # fmt: skip


def fix_controls(
    capture: Capture,
    name: str,
    exposure_us: float | None,
    gain: float | None,
    white_balance_k: float | None,
) -> list[str]:
    """Set what is given and leave the rest; returns what the camera has now, in words.

    Raises:
        SourceError: the camera has no such setting, or took a value that is off by more than a
            tenth and more than one of its steps.
    """
    wanted = ((_EXPOSURE, exposure_us), (_GAIN, gain), (_WHITE_BALANCE, white_balance_k))
    for control, value in wanted:
        if value is not None:
            _fix(capture, name, control, value)
    # All are read back after all are set: a camera may change one with another.
    return [_read_back(capture, name, control, value) for control, value in wanted]


def _fix(capture: Capture, name: str, control: _Control, value: float) -> None:
    if capture.get(control.value) == _ABSENT:
        raise SourceError(
            f"{name}: the camera has no setting for {control.what}: leave {control.setting} out "
            "(v4l2-ctl --list-ctrls shows what it has)"
        )
    if control.auto is not None and capture.get(control.auto) not in (_ABSENT, control.auto_off):
        capture.set(control.auto, control.auto_off)
        if capture.get(control.auto) != control.auto_off:
            raise SourceError(
                f"{name}: the camera's automatic {control.what} cannot be switched off: leave "
                f"{control.setting} out, or use another camera"
            )
    steps = round(value / control.step)
    if not capture.set(control.value, steps):
        raise SourceError(
            f"{name}: the camera refuses {control.setting}={value:g}: set a value in its range "
            "(v4l2-ctl --list-ctrls)"
        )


def _read_back(capture: Capture, name: str, control: _Control, asked: float | None) -> str:
    steps = capture.get(control.value)
    if steps == _ABSENT:
        return f"no {control.what}"
    took = steps * control.step
    if asked is None:
        automatic = control.auto is not None and capture.get(control.auto) not in (
            _ABSENT,
            control.auto_off,
        )
        return f"{control.what} {'automatic' if automatic else f'{took:g}{control.unit}'}"
    if abs(took - asked) > max(control.step, _TOLERANCE * asked):
        raise SourceError(
            f"{name}: the camera took {control.setting}={took:g}, not the {asked:g} asked for: "
            f"set a value that it has (v4l2-ctl --list-ctrls)"
        )
    differs = "" if took == asked else f" ({asked:g} asked for)"
    return f"{control.what} {took:g}{control.unit}{differs}"
