"""Does a camera give the pictures per second that it should?"""

from __future__ import annotations

import math
from collections import deque

_WINDOW_S = 1.5
_SLOW, _STEADY = 0.5, 0.8
"""Shares of the rate that was asked for."""


class Pace:
    """The rate of a camera over the last 1.5 s that were spent waiting for it.

    What the pipeline takes for a picture does not count: a slow analysis is no slow camera.
    """

    def __init__(self, fps: float | None) -> None:
        self._fps = fps if fps is not None and fps > 0 else None
        self._took_s: deque[float] = deque()
        self._total_s = 0.0
        self._slow = False

    def read(self, took_s: float) -> tuple[bool, float] | None:
        """Take note of a read; ``(slow, rate)`` when it has become slow, or steady again."""
        if self._fps is None:
            return None
        self._took_s.append(took_s)
        self._total_s += took_s
        most = math.ceil(_WINDOW_S * self._fps)
        while len(self._took_s) > most or self._total_s - self._took_s[0] >= _WINDOW_S:
            self._total_s -= self._took_s.popleft()
        if len(self._took_s) < most and self._total_s < _WINDOW_S:
            return None
        rate = len(self._took_s) / max(self._total_s, 1e-6)
        if rate < _SLOW * self._fps and not self._slow:
            self._slow = True
            return True, rate
        if rate >= _STEADY * self._fps and self._slow:
            self._slow = False
            return False, rate
        return None
