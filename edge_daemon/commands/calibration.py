"""The calibration that a configuration names: opened where it holds, told where it does not."""

from __future__ import annotations

import logging

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.calibration.document import MicroscopeCalibration, Setup, camera_of
from edge_daemon.calibration.file import read_calibration
from edge_daemon.config import Config

log = logging.getLogger(__name__)


def open_calibration(config: Config) -> Calibrated | None:
    """What is known of this microscope; None, with a line in the log, where nothing holds.

    Raises:
        CalibrationError: the file is missing, altered, or of another version.
    """
    file = config.calibration.file
    if file is None:
        return None
    calibration = read_calibration(file)
    changed = changed_since(calibration, config)
    if changed is not None:
        log.warning(
            "%s does not hold: %s: frames are analysed uncalibrated: calibrate again", file, changed
        )
        return None
    return Calibrated(calibration, str(file))


def changed_since(calibration: MicroscopeCalibration, config: Config) -> str | None:
    """What is no longer as it was calibrated, in words; the size of frames is seen in frames."""
    made = calibration.setup
    if config.device.objective is None:
        return f"made for objective {made.objective!r}, and [device] objective is not told"
    now = Setup(
        objective=config.device.objective,
        binning=config.calibration.binning,
        region=config.calibration.region,
        camera=camera_of(config.source.url),
        width=made.width,
        height=made.height,
    )
    return made.difference(now)


def describe_calibration(config: Config) -> str:
    """For ``leuko-edge check``: what there is, and whether it holds.

    Raises:
        CalibrationError: the file is missing, altered, or of another version.
    """
    file = config.calibration.file
    if file is None:
        return "not calibrated: no flat field, default focus, stain is not judged"
    calibration = read_calibration(file)
    changed = changed_since(calibration, config)
    if changed is not None:
        return f"{file} does not hold: {changed}: analysed uncalibrated"
    has = [part for part in ("flat", "scale", "focus", "stain") if getattr(calibration, part)]
    return f"{file} for {calibration.setup.objective}: {', '.join(has) or 'nothing yet'}"
