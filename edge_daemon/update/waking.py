"""When the updater looks again: in a while, when a slide is over, or soon after an order came."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SLIDE_LOOK_S = 15.0
"""At first, while a slide is under way: its end is not to be missed. The longer it lasts, the less
often the daemon is asked: each question is in its audit, which people need."""
SPREAD_S = 5.0
"""At most, from an order to the look: a wave of devices must not ask all at once."""
_SHARE_OF_SLIDE = 0.1
_ORDERS_EVERY_S = 1.0
"""Whether the files of orders are as they were is one call of the kernel each."""

_Marks = list[tuple[int, int, int] | None]


class Waking:
    """``mark`` before a look, ``wait`` after it: an order that comes between them is not missed."""

    def __init__(
        self,
        orders: Sequence[Path],
        is_idle: Callable[[], bool],
        *,
        every_s: float,
        jitter: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read yet.

        Args:
            orders: files in which an order may lie.
            is_idle: asks the daemon whether no slide is under way.
            every_s: how often it looks where nothing happens.
            jitter: each wait is longer or shorter by up to this share.
            clock: seconds.
            sleep: for so many seconds.
        """
        self._orders, self._is_idle = orders, is_idle
        self._every_s, self._jitter = every_s, jitter
        self._clock, self._sleep = clock, sleep
        self._slide_since_s = math.inf
        self._seen: _Marks = []

    def mark(self) -> None:
        """Orders as they are now are known."""
        self._seen = self._marks()

    def wait(self, *, for_slide: bool) -> str:
        """Until it is time to look; why it is: ``time``, ``slide`` or ``order``.

        Args:
            for_slide: the end of a slide is all that is waited for.
        """
        now_s = self._clock()
        until_s = now_s + self._every_s * (1.0 + self._jitter * random.uniform(-1.0, 1.0))
        self._slide_since_s = min(self._slide_since_s, now_s) if for_slide else math.inf
        ask_s = now_s + self._pause_s(now_s)
        while now_s < until_s:
            if self._marks() != self._seen:
                spread_s = min(SPREAD_S, self._jitter * self._every_s)
                self._sleep(random.uniform(0.0, spread_s))
                return "order"
            if for_slide and now_s >= ask_s:
                if self._is_idle():
                    return "slide"
                ask_s = now_s + self._pause_s(now_s)
            self._sleep(min(_ORDERS_EVERY_S, until_s - now_s))
            now_s = self._clock()
        return "time"

    def _pause_s(self, now_s: float) -> float:
        """From one question whether the slide is over to the next."""
        return max(SLIDE_LOOK_S, _SHARE_OF_SLIDE * (now_s - self._slide_since_s))

    def _marks(self) -> _Marks:
        return [_mark(file) for file in self._orders]


def _mark(file: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where it cannot be seen."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
