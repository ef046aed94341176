"""Effects over the picture that the device published, as a picture for people.

The picture is grey, because a stained nucleus is as violet as any colour that could be laid over
it. Violet and orange (PuOr of ColorBrewer, Brewer et al. 2003) can be told apart with any colour
vision; for whoever sees no colour, a line goes around the strongest places, whole where covering
lowers the probability of a blast, broken where it raises it.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from deploy.dashboard.attribution.occlusion import PATCHES_ON_A_SIDE, Effects
from deploy.dashboard.attribution.published import Seen

LEAST_SCALE = 0.02
"""A change of the probability of so much gets the full colour at the least: what moves nothing must
not look as if it did."""
_LOWERS, _RAISES = (84, 39, 136), (230, 97, 1)
_OPACITY = 0.8
_GREY_DEPTH = 0.6
"""Of the picture's darkness that is left: colours must stand out from a nucleus as from glass."""
_LINE_AT = 0.5
"""Share of the full colour from which a place is among the strongest."""
_BLUR_SHARE = 5 * PATCHES_ON_A_SIDE
"""Sides of the blur in a side of the crop: a fifth of a patch."""
_LONGER_SIDE_PX = 420
_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY, 90,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)  # fmt: skip
_DASH_PX = 7


def scale_of(found: Effects) -> float:
    """The mean change of a place that gets the full colour."""
    return max(float(np.abs(found.change).max()), LEAST_SCALE)


def drawn(seen: Seen, found: Effects) -> bytes:
    """JPEG of the picture with the effects over it; larger than the picture where that is small."""
    height, width = seen.picture.shape[:2]
    enlarged = _LONGER_SIDE_PX / max(height, width)
    size = (max(1, round(enlarged * width)), max(1, round(enlarged * height)))
    grey = cv2.cvtColor(cv2.resize(seen.picture, size, interpolation=_way(enlarged)), _TO_GREY)
    light = 255 - _GREY_DEPTH * (255 - grey.astype(np.float32))
    ground = np.repeat(light[..., None], 3, axis=2)
    strength = _over(found.change / scale_of(found), seen, enlarged, size)
    weight = _OPACITY * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] < 0, *np.array([_LOWERS, _RAISES], np.float32))
    picture = np.asarray(ground + weight * (colour - ground), np.uint8)
    _lines(picture, strength <= -_LINE_AT, _LOWERS, broken=False)
    _lines(picture, strength >= _LINE_AT, _RAISES, broken=True)
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()


_TO_GREY = cv2.COLOR_RGB2GRAY


def _way(enlarged: float) -> int:
    return cv2.INTER_CUBIC if enlarged > 1 else cv2.INTER_AREA


def _over(
    strength: npt.NDArray[np.float64], seen: Seen, enlarged: float, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Strengths of the crop, -1 to 1, where they lie in the enlarged picture; 0 around them."""
    per_pixel = enlarged * seen.side / strength.shape[0]
    # from pixel centres of the crop to pixel centres of the picture
    moved = np.array(
        [
            [per_pixel, 0, enlarged * seen.left + (per_pixel - 1) / 2],
            [0, per_pixel, enlarged * seen.top + (per_pixel - 1) / 2],
        ]
    )
    placed = cv2.warpAffine(strength.astype(np.float32), moved, size, flags=cv2.INTER_LINEAR)
    # steps between patches are the grid's and say nothing of the cell
    placed = cv2.GaussianBlur(placed, (0, 0), per_pixel * strength.shape[0] / _BLUR_SHARE)
    return np.clip(np.asarray(placed, np.float32), -1, 1)


def _lines(
    picture: npt.NDArray[np.uint8],
    places: npt.NDArray[np.bool_],
    colour: tuple[int, int, int],
    *,
    broken: bool,
) -> None:
    found, _ = cv2.findContours(places.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in found:
        points = outline[:, 0]
        step = _DASH_PX if broken else len(points) + 1
        for first in range(0, len(points), 2 * step if broken else step):
            part = points[first : first + step]
            # white under it: the line stands out from dark nuclei and from glass
            cv2.polylines(picture, [part], not broken, (255, 255, 255), 4, cv2.LINE_AA)
            cv2.polylines(picture, [part], not broken, colour, 2, cv2.LINE_AA)
