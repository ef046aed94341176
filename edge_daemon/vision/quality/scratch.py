"""Memory for what is computed on the way, used again for the next frame.

A picture of 480 x 360 floats is handed back to the system when it is let go, and comes anew page by
page: of a frame's slopes that was half the time (1.3 of 2.5 ms, 811 page faults).
"""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Type: TypeAlias = type[np.uint8] | type[np.int16] | type[np.float32]


class Scratch(threading.local):
    """Arrays by name, of the thread that asks; what is in one is gone when it is asked for again.

    The size of frames is that of the camera: of each name only the last size is kept.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Type) -> npt.NDArray[Any]:
        """An array with anything in it, C-contiguous. Never hand it out, nor keep it."""
        kept = self._arrays.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            kept = self._arrays[name] = np.empty(shape, dtype)
        return kept
