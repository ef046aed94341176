"""Exposure: mean brightness, and the share of pixels that are fully black or fully white."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.vision.quality.thresholds import QualityThresholds
from edge_daemon.vision.quality.verdict import Judgement

SAMPLE_STEP = 4
"""Brightness is judged on every fourth pixel of every fourth row."""
_BLACK_AT_MOST, _WHITE_AT_LEAST = 3, 252


class Brightness(NamedTuple):
    """Each 0 to 1."""

    mean: float
    black: float
    """Share of pixels that are fully black."""
    white: float
    """Share of pixels that are fully white."""


def measure_brightness(pixels: npt.NDArray[np.uint8]) -> Brightness:
    """Of a frame, RGB uint8 ``[height, width, 3]``."""
    sample = np.ascontiguousarray(pixels[::SAMPLE_STEP, ::SAMPLE_STEP])
    red, green, blue = cv2.split(sample)
    black = np.asarray(cv2.max(cv2.max(red, green), blue)) <= _BLACK_AT_MOST
    white = np.asarray(cv2.min(cv2.min(red, green), blue)) >= _WHITE_AT_LEAST
    return Brightness(
        sum(cv2.sumElems(sample)) / sample.size / 255.0,
        float(np.count_nonzero(black) / black.size),
        float(np.count_nonzero(white) / white.size),
    )


def judge_exposure(light: Brightness, needs: QualityThresholds) -> Judgement:
    """Whether there is light enough, and not too much."""
    limit = needs.max_clipped_fraction
    if light.mean > needs.max_exposure or (light.white > limit and light.white >= light.black):
        return Judgement(
            "exposure",
            "reject",
            f"overexposed: mean brightness {light.mean:.2f} (at most {needs.max_exposure:.2f}), "
            f"{light.white:.1%} fully white (at most {limit:.1%}): dim the lamp or shorten the "
            "exposure",
        )
    if light.mean < needs.min_exposure or light.black > limit:
        return Judgement(
            "exposure",
            "reject",
            f"underexposed: mean brightness {light.mean:.2f} (at least {needs.min_exposure:.2f}), "
            f"{light.black:.1%} fully black (at most {limit:.1%}): turn the lamp up or expose "
            "longer",
        )
    return Judgement("exposure", "pass")
