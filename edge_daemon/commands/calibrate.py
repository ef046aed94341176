"""``leuko-edge calibrate``: frames of a known thing -> one part of the calibration file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

import edge_daemon
from edge_daemon.calibration.apply import Correction
from edge_daemon.calibration.document import (
    SCHEMA,
    Made,
    MicroscopeCalibration,
    Region,
    Setup,
    camera_of,
    sealed,
)
from edge_daemon.calibration.file import read_calibration, write_calibration
from edge_daemon.calibration.flat import measure_flat
from edge_daemon.calibration.learnt import learn_focus, learn_stain
from edge_daemon.calibration.scale import scale_from_micrometer, scale_from_red_cells
from edge_daemon.commands.models import open_models
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.terms import KINDS
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import CalibrationError
from edge_daemon.sources.base import Frame
from edge_daemon.sources.open import open_source
from edge_daemon.vision.scale import estimate_um_per_px

DEFAULT_FILE = Path("leuko-edge-calibration.json")
PARTS = ("flat", "scale", "focus", "stain")

Frames = Sequence[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class CalibrationRequest:
    """What to look at, and which microscope it is. None: as the file says, or the default."""

    source: str
    file: Path
    frames: int
    objective: str | None = None
    binning: int | None = None
    region: Region | None = None
    anew: bool = False
    """Where the microscope was changed, start the file anew."""


def parse_region(text: str) -> Region:
    """``LEFT,TOP,WIDTH,HEIGHT``. Raises :class:`CalibrationError`."""
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise CalibrationError(
            f"--region {text}: write four whole numbers LEFT,TOP,WIDTH,HEIGHT"
        ) from None
    if min(left, top) < 0 or min(width, height) < 1:
        raise CalibrationError(f"--region {text}: give a region of at least one pixel from 0,0 on")
    return left, top, width, height


def flat(request: CalibrationRequest, console: Console) -> MicroscopeCalibration:
    """Learn flat field and white balance from a blank field.

    Raises:
        LeukoError: in one line, what is wrong with source, field or file. So do the others.
    """
    before, frames, made = _begin(request, corrected=False)
    field = measure_flat(frames, made)
    console.print(
        f"flat field: the darkest place has {field.least_light:.0%} of the brightest light; white "
        f"balance {field.white_balance[0]:.3f} red, {field.white_balance[2]:.3f} blue of green",
        markup=False,
        highlight=False,
    )
    if before.stain is not None:
        console.print(
            "the stain was learnt under the flat field of before and is forgotten: run "
            "leuko-edge calibrate stain again",
            markup=False,
            highlight=False,
        )
    return _keep(request, before, {"flat": field, "stain": None}, console)


def scale_by_micrometer(
    request: CalibrationRequest, spacing_um: float, console: Console
) -> MicroscopeCalibration:
    """Learn um per pixel from a stage micrometer with lines ``spacing_um`` apart."""
    before, frames, made = _begin(request)
    scale = scale_from_micrometer(frames, spacing_um, made)
    _say_scale(scale.um_per_px, scale.uncertainty, scale.method, console)
    return _keep(request, before, {"scale": scale}, console)


def scale_by_red_cells(
    request: CalibrationRequest, bundle: Path | None, options: EngineOptions, console: Console
) -> MicroscopeCalibration:
    """Learn um per pixel from red cells, which the bundle's detector finds."""
    before, frames, made = _begin(request)
    with open_models(bundle, options) as models:
        estimates = []
        for pixels in frames:
            found = models.detect(models.scaled(pixels))
            red = found.boxes[found.kinds == KINDS.index("rbc")]
            estimates.append(estimate_um_per_px(red, (pixels.shape[0], pixels.shape[1])))
    scale = scale_from_red_cells([one for one in estimates if one is not None], made)
    _say_scale(scale.um_per_px, scale.uncertainty, scale.method, console)
    return _keep(request, before, {"scale": scale}, console)


def focus(request: CalibrationRequest, console: Console) -> MicroscopeCalibration:
    """Learn the least focus from a sweep through focus, or from frames in focus."""
    before, frames, made = _begin(request)
    learnt = learn_focus(frames, made)
    console.print(
        f"focus: {learnt.best:.1f} at best, at least {learnt.min_focus:.1f} is needed",
        markup=False,
        highlight=False,
    )
    return _keep(request, before, {"focus": learnt}, console)


def stain(request: CalibrationRequest, console: Console) -> MicroscopeCalibration:
    """Learn the colours of a well stained slide."""
    before, frames, made = _begin(request)
    learnt = learn_stain(frames, made)
    nuclei = learnt.reference.nuclei
    console.print(
        f"stain: red cells {_lab(learnt.reference.red_cells.lab)}, nuclei "
        f"{'none seen' if nuclei is None else _lab(nuclei.lab)} (CIELAB), "
        f"{learnt.reference.frames} frames",
        markup=False,
        highlight=False,
    )
    return _keep(request, before, {"stain": learnt}, console)


def show(file: Path, console: Console) -> None:
    """Print what a file holds, and for which microscope."""
    calibration = read_calibration(file)
    setup = calibration.setup
    region = "whole sensor" if setup.region is None else f"region {setup.region}"
    of = f"frames {setup.width} x {setup.height}, {setup.camera or 'any camera'}"
    lines = [f"microscope  {setup.objective}, binning {setup.binning}, {region}, {of}"]
    if calibration.flat is not None:
        red, _, blue = calibration.flat.white_balance
        lines.append(
            f"flat        darkest {calibration.flat.least_light:.0%} of brightest, white balance "
            f"{red:.3f} red, {blue:.3f} blue"
        )
    if calibration.scale is not None:
        scale = calibration.scale
        lines.append(
            f"scale       {scale.um_per_px:.5g} +- {scale.uncertainty:.2g} um per pixel, by "
            f"{scale.method}"
        )
    if calibration.focus is not None:
        lines.append(
            f"focus       {calibration.focus.best:.1f} at best, at least "
            f"{calibration.focus.min_focus:.1f}"
        )
    if calibration.stain is not None:
        lines.append(f"stain       red cells {_lab(calibration.stain.reference.red_cells.lab)}")
    for part in PARTS:
        entry = getattr(calibration, part)
        if entry is None:
            lines.append(f"{part:<11} not calibrated")
        else:
            made: Made = entry.made
            lines.append(
                f"            {part} from {made.frames} frames of {made.source}, "
                f"{made.at:%Y-%m-%d %H:%M} UTC"
            )
    lines.append(f"written by  leuko-edge {calibration.software}, {calibration.digest}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _begin(
    request: CalibrationRequest, *, corrected: bool = True
) -> tuple[MicroscopeCalibration, Frames, Made]:
    """The file as it is, or a new one; and frames, under the flat field where there is one."""
    frames = _take(request)
    height, width = frames[0].shape[:2]
    before = _calibration_for(request, width, height)
    digest = hashlib.sha256()
    for pixels in frames:
        digest.update(np.ascontiguousarray(pixels).tobytes())
    made = Made(
        at=datetime.now(timezone.utc),
        source=request.source,
        frames=len(frames),
        frames_digest=f"sha256:{digest.hexdigest()}",
    )
    if corrected and before.flat is not None:
        correct: Callable[..., npt.NDArray[np.uint8]] = Correction(before.flat, width, height).apply
        frames = [correct(pixels) for pixels in frames]
    return before, frames, made


def _take(request: CalibrationRequest) -> list[npt.NDArray[np.uint8]]:
    frames: list[npt.NDArray[np.uint8]] = []
    flaw = ""
    with open_source(request.source) as source:
        for captured in source:
            if isinstance(captured, Frame):
                frames.append(captured.pixels)
            else:
                flaw = f": {captured.reason}"
            if len(frames) == request.frames:
                break
    if not frames:
        raise CalibrationError(f"{request.source} gave no readable frame{flaw}")
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) > 1:
        raise CalibrationError(
            f"{request.source} gave frames of {len(sizes)} sizes: calibrate with frames as the "
            "camera takes them, all of one size"
        )
    return frames


def _calibration_for(request: CalibrationRequest, width: int, height: int) -> MicroscopeCalibration:
    existing = None
    if request.file.exists():
        try:
            existing = read_calibration(request.file)
        except CalibrationError as error:
            if not request.anew:
                raise CalibrationError(f"{error}, with --anew") from None
    before = None if existing is None else existing.setup
    objective = request.objective or (before.objective if before else None)
    if objective is None:
        raise CalibrationError(
            f"{request.file} is new: name the objective, such as --objective '100x/1.25 oil'"
        )
    now = Setup(
        objective=objective,
        binning=request.binning or (before.binning if before else 1),
        region=request.region or (before.region if before else None),
        camera=camera_of(request.source) or (before.camera if before else None),
        width=width,
        height=height,
    )
    if existing is not None:
        changed = existing.setup.difference(now)
        if changed is None:
            return existing.model_copy(update={"setup": now})
        if not request.anew:
            raise CalibrationError(
                f"{request.file} was made for another microscope: {changed}: name another --file, "
                "or start it anew with --anew"
            )
    blank = MicroscopeCalibration.model_validate(
        {
            "schema": SCHEMA,
            "software": edge_daemon.__version__,
            "setup": now,
            "digest": f"sha256:{'0' * 64}",
        }
    )
    return sealed(blank)


def _keep(
    request: CalibrationRequest,
    before: MicroscopeCalibration,
    parts: dict[str, StrictModel | None],
    console: Console,
) -> MicroscopeCalibration:
    after = sealed(before.model_copy(update={**parts, "software": edge_daemon.__version__}))
    write_calibration(request.file, after)
    console.print(
        f"kept in {request.file} for {after.setup.objective}; use it with [calibration] file",
        markup=False,
        highlight=False,
    )
    return after


def _say_scale(um_per_px: float, uncertainty: float, method: str, console: Console) -> None:
    console.print(
        f"scale: {um_per_px:.5g} +- {uncertainty:.2g} um per pixel, by {method}",
        markup=False,
        highlight=False,
    )


def _lab(colour: tuple[float, float, float]) -> str:
    return f"L {colour[0]:.0f} a {colour[1]:.0f} b {colour[2]:.0f}"
