"""How far a verdict moves when a part of the picture is covered: occlusion sensitivity.

Zeiler & Fergus 2014 (arXiv:1311.2901, section 4.2): a patch slides over the picture, and each time
the network is asked again. It needs nothing of the network but its answers, so the graph that runs
on the devices answers, on the engine that runs there.

A patch is covered with the mean of its own colours. That takes texture and edges away, which is
what the classifier reads, and leaves the cell as large and as bright as it was. Other covers show
what the cover did: black punches a hole that the graph takes for background, the colour of the cell
makes the cell larger where it lies beside it. The figures are in docs/decisions/0038.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Judge: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Crops, RGB uint8 ``[N, S, S, 3]``, to the probability of a blast of each, float64 ``[N]``."""
Cover: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Part of a crop, uint8 ``[h, w, 3]``, to the colour that covers it, ``[3]``, 0 to 255."""
Rectangle: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the crop, ends open."""

PATCHES_ON_A_SIDE = 8
"""A patch is an eighth of the crop: 2.5 um where a crop shows 20 um."""
STEPS_IN_A_PATCH = 2
"""Patches overlap by half, so that no border between them hides what lies on it."""


@dataclass(frozen=True, eq=False)
class Effects:
    """What covering did."""

    p_blast: float
    """Of the crop with nothing covered."""
    change: npt.NDArray[np.float64]
    """``[S, S]``: mean change of ``p_blast`` by the patches that cover a pixel, -1 to 1. Below 0:
    with that place covered the crop looks less like a blast. 0 where nothing was covered."""
    lowest: float
    """The lowest ``p_blast`` under any one patch, or without one."""
    highest: float
    patches: int

    @property
    def strongest(self) -> float:
        """The largest move by one patch, 0 to 1."""
        return max(self.p_blast - self.lowest, self.highest - self.p_blast)


def own_colour(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The mean of its colours."""
    return np.asarray(part.mean(axis=(0, 1)), np.float64)


def effects(
    judge: Judge,
    crop: npt.NDArray[np.uint8],
    shown: Rectangle | None = None,
    cover: Cover = own_colour,
) -> Effects:
    """Cover one patch after another and ask each time.

    Args:
        judge: asked once, with the crop itself and all covered ones.
        crop: RGB uint8 ``[S, S, 3]``.
        shown: the part of the crop that a picture really shows; patches outside it, over pixels
            that were made up, are left out. None: all of it.
        cover: gives the colour.

    Raises ``ValueError`` for a crop that is not one.
    """
    side = crop.shape[0]
    if crop.shape != (side, side, 3) or crop.dtype != np.uint8 or side < PATCHES_ON_A_SIDE:
        raise ValueError(f"crop must be uint8 [S, S, 3], not {crop.dtype} {list(crop.shape)}")
    patches = [one for one in patches_of(side) if shown is None or _meet(one, shown)]
    asked = np.repeat(crop[None], 1 + len(patches), axis=0)
    for covered, (x0, y0, x1, y1) in zip(asked[1:], patches, strict=True):
        part = covered[y0:y1, x0:x1]
        part[:] = np.rint(cover(part))
    said = judge(asked)
    total, times = np.zeros((side, side)), np.zeros((side, side))
    for (x0, y0, x1, y1), p_blast in zip(patches, said[1:].tolist(), strict=True):
        total[y0:y1, x0:x1] += p_blast - said[0]
        times[y0:y1, x0:x1] += 1
    return Effects(
        p_blast=float(said[0]),
        change=total / np.maximum(times, 1),
        lowest=float(said.min()),
        highest=float(said.max()),
        patches=len(patches),
    )


def patches_of(side: int) -> list[Rectangle]:
    """Every patch of a crop, row by row; the last ones end at its border."""
    patch = side // PATCHES_ON_A_SIDE
    starts = list(range(0, side - patch, max(1, patch // STEPS_IN_A_PATCH)))
    starts.append(side - patch)
    return [(x, y, x + patch, y + patch) for y in starts for x in starts]


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
