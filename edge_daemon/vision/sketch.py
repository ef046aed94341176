"""Two small pictures held against each other at every shift at once.

Normalised cross-correlation in the Fourier domain, each overlap by its own mean and variance
(Padfield 2012, doi:10.1109/TIP.2011.2181402; with full rectangular masks the sums under the overlap
come from summed-area tables). What depends on one picture alone is computed once, however many
others it is held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Sketch:
    """A picture of ``h`` by ``w``, ready to be held against others of its size.

    Shifts ``(dy, dx)`` are ordered from ``(1 - h, 1 - w)`` to ``(h - 1, w - 1)``; at each the
    picture overlaps with another one whose corner lies there in it.
    """

    shape: tuple[int, int]
    spectrum: npt.NDArray[Any]
    """Of the picture padded with nothing, so that no shift wraps around."""
    sums: npt.NDArray[Any]
    """Sum under the overlap at every shift, ``[2h - 1, 2w - 1]``."""
    spreads: npt.NDArray[Any]
    """Sum of squares about the mean under it."""

    @classmethod
    def of(cls, picture: npt.NDArray[Any], dtype: type[np.floating[Any]] = np.float64) -> Sketch:
        """Prepare a float picture ``[h, w]``; computed sums are kept as ``dtype``."""
        shifts = shifts_of(picture.shape[0], picture.shape[1])
        exact = picture.astype(np.float64)
        sums = _sums(exact)
        spreads = _sums(exact * exact) - sums * sums / shifts.count
        return cls(
            (picture.shape[0], picture.shape[1]),
            np.fft.rfft2(picture.astype(dtype), shifts.padded),
            sums.astype(dtype),
            spreads.astype(dtype),
        )


@dataclass(frozen=True, eq=False)
class Shifts:
    """All shifts between two pictures of one size."""

    y: npt.NDArray[np.int_]
    x: npt.NDArray[np.int_]
    count: npt.NDArray[np.int_]
    """Pixels in the overlap at each, ``[2h - 1, 2w - 1]``."""
    share: npt.NDArray[np.float64]
    """The same as a share of the picture."""
    padded: tuple[int, int]

    def ordered(self, wrapped: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A correlation ``padded`` large, in the order of the shifts."""
        (height, width), up, left = self.padded, len(self.y) // 2, len(self.x) // 2
        rows = np.concatenate([wrapped[height - up :], wrapped[: up + 1]])
        return np.concatenate([rows[:, width - left :], rows[:, : left + 1]], axis=1)


@lru_cache(maxsize=8)
def shifts_of(height: int, width: int) -> Shifts:
    """The shifts of pictures of ``height`` by ``width``."""
    y, x = np.arange(1 - height, height), np.arange(1 - width, width)
    count = np.outer(height - np.abs(y), width - np.abs(x))
    padded = (cv2.getOptimalDFTSize(2 * height - 1), cv2.getOptimalDFTSize(2 * width - 1))
    return Shifts(y, x, count, count / (height * width), padded)


def correlation(first: Sketch, second: Sketch) -> npt.NDArray[Any]:
    """Pearson's correlation of two sketches of one shape, at every shift of the second."""
    shifts = shifts_of(*first.shape)
    cross = np.fft.irfft2(first.spectrum * np.conj(second.spectrum), shifts.padded)
    covariance = shifts.ordered(cross)
    # Seen from the second picture every shift is the opposite one.
    covariance -= first.sums * second.sums[::-1, ::-1] / shifts.count
    spread = first.spreads * second.spreads[::-1, ::-1]
    result: npt.NDArray[Any] = covariance / np.sqrt(np.maximum(spread, 1e-6))
    return result


def _sums(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum of a picture under the overlap at every shift, from its summed-area table."""
    sums: npt.NDArray[np.float64] = _along(_along(picture.cumsum(0).cumsum(1)).T).T
    return sums


def _along(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From running sums along the first axis to the sums over the overlap at every shift along it.

    A picture shifted by ``d`` shares ``[max(0, d), min(n, n + d))`` of ``n`` with what lies still.
    """
    return np.concatenate([table, table[-1] - table[:-1]])
