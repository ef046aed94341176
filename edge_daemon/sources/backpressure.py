"""Between a camera and the pipeline: who waits when the pipeline is slower than the camera.

``every_frame``: the camera waits (scans by a stage, where each field is seen once).
``latest``: the oldest waiting frame is dropped for the newest (live view, where the operator must
see what lies under the objective now). Each drop is handed out as a DroppedFrame in its place.
"""

from __future__ import annotations

import threading
from collections import deque
from enum import Enum

from edge_daemon.sources.base import Captured, DroppedFrame, Frame


class BackPressure(str, Enum):
    """What happens to frames that the pipeline has no time for."""

    EVERY_FRAME = "every_frame"
    """The camera waits; nothing is dropped."""
    LATEST = "latest"
    """The oldest waiting frame is dropped, and counted."""


class WaitingFrames:
    """The frames that were captured and not yet taken, at most ``capacity`` with pixels.

    One thread puts, another takes. Drops waiting to be taken hold no pixels.
    """

    def __init__(self, policy: BackPressure, capacity: int) -> None:
        self._policy = policy
        self._capacity = capacity
        self._waiting: deque[Captured] = deque()
        self._with_pixels = 0
        self._error: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, captured: Captured) -> bool:
        """Add what was captured, waiting or dropping by policy; False once closed."""
        with self._changed:
            if isinstance(captured, Frame):
                if self._policy is BackPressure.EVERY_FRAME:
                    self._changed.wait_for(lambda: self._closed or self._has_room())
                elif not self._has_room():
                    self._drop_oldest()
                self._with_pixels += 1
            if self._closed:
                return False
            self._waiting.append(captured)
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float) -> Captured | None:
        """The oldest waiting one, or None when nothing came in time.

        Raises:
            BaseException: what :meth:`end` was given, once all that came before is taken.
        """
        with self._changed:
            ready = self._changed.wait_for(
                lambda: bool(self._waiting) or self._error is not None or self._closed, timeout_s
            )
            if not self._waiting:
                if ready and self._error is not None:
                    raise self._error
                return None
            captured = self._waiting.popleft()
            if isinstance(captured, Frame):
                self._with_pixels -= 1
            self._changed.notify_all()
            return captured

    def end(self, error: BaseException) -> None:
        """The camera has ended: ``error`` is raised to whoever takes after the last frame."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        with self._changed:
            return not self._waiting

    def raise_end(self) -> None:
        """Raise what :meth:`end` was given, if it was."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Nobody takes any more: let a waiting camera go, and free the frames."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._with_pixels = 0
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._with_pixels < self._capacity

    def _drop_oldest(self) -> None:
        for place, waiting in enumerate(self._waiting):
            if isinstance(waiting, Frame):
                self._waiting[place] = DroppedFrame(
                    waiting.index,
                    waiting.source,
                    waiting.captured_at,
                    "dropped for a newer frame: the analysis is slower than the camera",
                    waiting.field,
                )
                self._with_pixels -= 1
                return
