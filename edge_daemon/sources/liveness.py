"""Is the camera still looking? Tells a living picture from a frozen one.

An unplugged or hung camera may go on handing out its last picture for ever. The noise of a sensor
makes no two pictures equal byte for byte; so equal bytes are the evidence, and the driver's own
time of capture where the picture has no noise to show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_daemon.sources.torn import RowPrints


@dataclass
class LivenessWatch:
    """Compares each picture of one camera with the one before it.

    ``frozen_after_s`` None switches the watch off.
    """

    frozen_after_s: float | None
    _prints: RowPrints | None = None
    _driver_ms: float = 0.0
    _last_look_s: float = 0.0
    _same_since_s: float | None = None

    def look(self, prints: RowPrints, driver_ms: float, now_s: float) -> None:
        """Take note of a picture.

        Args:
            prints: its :func:`edge_daemon.sources.torn.row_prints`.
            driver_ms: the driver's own time of the picture, 0 if it gives none.
            now_s: monotonic time.
        """
        before, self._prints = self._prints, prints
        same_capture = driver_ms > 0 and driver_ms == self._driver_ms
        looked_before_s, self._last_look_s = self._last_look_s, now_s
        self._driver_ms = driver_ms
        # A row of one value (lens cap on, lamp off) has no noise: it is evidence of nothing,
        # unless the driver itself says that it hands out the same capture again.
        evidence = same_capture or bool((prints >= 0).any())
        if before is None or not evidence or not np.array_equal(before, prints):
            self._same_since_s = None
        elif self._same_since_s is None:
            self._same_since_s = looked_before_s

    @property
    def changes(self) -> bool:
        """The last picture was another than the one before it, or the watch is off."""
        return self._same_since_s is None or self.frozen_after_s is None

    def frozen_for_s(self, now_s: float) -> float | None:
        """For how long the camera has shown the same picture, once that is too long."""
        if self._same_since_s is None or self.frozen_after_s is None:
            return None
        same_s = now_s - self._same_since_s
        return same_s if same_s >= self.frozen_after_s else None
