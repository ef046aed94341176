"""Is the camera still looking? Tells a living picture from a frozen one.

An unplugged or hung camera may go on handing out its last picture for ever. The noise of a sensor
makes no two pictures equal byte for byte; so equal bytes are the evidence, and the driver's own
time of capture where the picture has no noise to show.

A compressed stream hides the noise: what is predicted from the picture before is equal to it for as
long as the encoder finds nothing worth sending, in a still scene until the next whole picture. So
only whole pictures are held against each other there. (And a sensor that hangs behind a working
encoder gives pictures that differ: the encoder goes on refining what it has sent.)

Figures: ``python -m tests.edge_daemon.sources.frozen_table``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_daemon.sources.torn import RowPrints


@dataclass
class LivenessWatch:
    """Compares each whole picture of one camera with the one before it.

    ``frozen_after_s`` None switches the watch off. ``was_frozen``: the camera was, and must show
    two whole pictures that differ before it is believed.
    """

    frozen_after_s: float | None
    was_frozen: bool = False
    _prints: RowPrints | None = None
    _driver_ms: float = 0.0
    _last_look_s: float = 0.0
    _same_since_s: float | None = None
    _compared: bool = False

    def look(
        self, prints: RowPrints, driver_ms: float, now_s: float, predicted: bool = False
    ) -> None:
        """Take note of a picture.

        Args:
            prints: its :func:`edge_daemon.sources.torn.row_prints`.
            driver_ms: the driver's own time of the picture, 0 if it gives none.
            now_s: monotonic time.
            predicted: see :class:`edge_daemon.sources.device.Shot`.
        """
        same_capture = driver_ms > 0 and driver_ms == self._driver_ms
        if predicted and not same_capture:
            self._driver_ms = driver_ms
            return
        before, self._prints = self._prints, prints
        looked_before_s, self._last_look_s = self._last_look_s, now_s
        self._driver_ms = driver_ms
        # A row of one value (lens cap on, lamp off) has no noise: it is evidence of nothing,
        # unless the driver itself says that it hands out the same capture again.
        evidence = same_capture or bool((prints >= 0).any())
        self._compared = before is not None
        if before is None or not evidence or not np.array_equal(before, prints):
            self._same_since_s = None
        elif self._same_since_s is None:
            self._same_since_s = looked_before_s

    @property
    def changes(self) -> bool:
        """The last whole picture was another than the one before it, or the watch is off."""
        if self.frozen_after_s is None:
            return True
        return self._same_since_s is None and (self._compared or not self.was_frozen)

    def frozen_for_s(self, now_s: float) -> float | None:
        """For how long the camera has shown the same picture, once that is too long."""
        if self._same_since_s is None or self.frozen_after_s is None:
            return None
        same_s = now_s - self._same_since_s
        return same_s if same_s >= self.frozen_after_s else None
