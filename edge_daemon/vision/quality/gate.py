"""The gate: checks in the order in which they make sense, until one refuses the frame."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.stain import StainReference
from edge_daemon.vision.quality.brightness import judge_exposure, measure_brightness
from edge_daemon.vision.quality.cover import foreground_mask, judge_cover
from edge_daemon.vision.quality.sharpness import (
    green_to_measure,
    judge_focus,
    judge_motion,
    measure_sharpness,
)
from edge_daemon.vision.quality.stain import NO_REFERENCE, judge_stain, measure_stain, stain_shift
from edge_daemon.vision.quality.thresholds import QualityThresholds
from edge_daemon.vision.quality.verdict import Judgement, Quality


def assess(
    pixels: npt.NDArray[np.uint8],
    thresholds: QualityThresholds | None = None,
    reference: StainReference | None = None,
) -> Quality:
    """Measure a frame, RGB uint8 ``[height, width, 3]``, and decide.

    Brightness comes first, for nothing can be measured in the dark; then whether there is
    anything to see; then whether it is sharp, motion before focus, because a moved frame is blunt
    too but another thing has to be done; then its colours. Without a ``reference`` these are not
    judged.
    """
    needs = thresholds or QualityThresholds()
    height, width = pixels.shape[:2]
    if min(height, width) < needs.min_side_px:
        return Quality((_too_small(width, height, needs.min_side_px),))
    judged: list[Judgement] = [Judgement("size", "pass")]
    light = measure_brightness(pixels)
    judged.append(judge_exposure(light, needs))
    quality = Quality(
        tuple(judged), exposure=light.mean, clipped_fraction=light.black + light.white
    )
    if not quality.accepted:
        return quality
    green = green_to_measure(pixels)
    cells = foreground_mask(green)
    foreground = float(np.mean(cells))
    judged.append(judge_cover(foreground, needs))
    quality = dataclasses.replace(quality, judgements=tuple(judged), foreground_fraction=foreground)
    if not quality.accepted:
        return quality
    sharp = measure_sharpness(green)
    judged += [judge_motion(sharp, needs), judge_focus(sharp, needs)]
    shift = None
    if reference is None:
        judged.append(NO_REFERENCE)
    else:
        shift = stain_shift(measure_stain(pixels, cells), reference)
        judged.append(judge_stain(shift, needs))
    return dataclasses.replace(
        quality,
        judgements=tuple(judged),
        focus=sharp.focus,
        evenness=sharp.evenness,
        stain_shift=None if shift is None else shift[0],
    )


def _too_small(width: int, height: int, needed: int) -> Judgement:
    return Judgement(
        "size",
        "reject",
        f"too small: {width} x {height} pixels, needs {needed} on each side: "
        "set a larger picture in the camera",
    )
