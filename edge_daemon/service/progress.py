"""Does the pipeline get on? What ``/livez`` answers, and what feeds systemd's watchdog.

A watchdog that is fed by a timer proves that a timer runs. This one is fed by the loop itself: each
turn (a frame that got its outcome; a look for the next one when there is none) is a sign of life,
passed on to systemd at most four times in its period. When the loop hangs, in a driver, in a
network, on a lock, the signs end; ``/livez`` says so and systemd starts the daemon anew.

What is known to take long (building engines, on a Jetson many minutes) is announced with
:meth:`Progress.busy`, with the longest time that is still right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_daemon.service.systemd import Notifier

PATIENCE_S = 30.0
"""Without systemd's watchdog: a loop that has not turned for so long hangs. A camera that is waited
for turns more often, and so does a daemon that waits for a slide."""
_SIGNS_PER_PERIOD = 4


class Progress:
    """Signs of life of the loop. Every method may be called from any thread."""

    def __init__(
        self, notifier: Notifier | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._notifier = notifier or Notifier()
        self._clock = clock
        self._lock = threading.Lock()
        self._period_s = self._notifier.watchdog_s or PATIENCE_S
        self._patience_s = self._period_s
        self._turned_s = clock()
        self._signed_s = float("-inf")
        self._ready = False
        self._doing = "starting"

    def turn(self, doing: str | None = None) -> None:
        """The loop has turned once.

        Args:
            doing: one line for the operator, when it has changed: "waiting for a slide".
        """
        now = self._clock()
        self._turned_s = now
        if doing is not None and doing != self._doing:
            self._doing = doing
            self._notifier.status(doing)
        if now - self._signed_s >= self._period_s / _SIGNS_PER_PERIOD:
            self._signed_s = now
            self._notifier.alive()

    def starting(self, doing: str, within_s: float) -> None:
        """The start begins; :meth:`ready` follows within ``within_s``."""
        with self._lock:
            self._allow(doing, max(within_s, self._period_s))

    @contextmanager
    def busy(self, doing: str, within_s: float) -> Iterator[None]:
        """The loop does one thing that may take up to ``within_s`` without a turn."""
        with self._lock:
            self._allow(doing, max(within_s, self._period_s))
        try:
            yield
        finally:
            with self._lock:
                self._patience_s = self._period_s
                if self._ready and self._notifier.watchdog_s is not None:
                    self._notifier.watch_every(self._period_s)
            self._signed_s = float("-inf")
            self.turn()

    def _allow(self, doing: str, within_s: float) -> None:
        self._patience_s = within_s
        self._turned_s = self._clock()
        self._doing = doing
        self._notifier.status(doing)
        if not self._ready:
            self._notifier.extend(within_s)
        elif self._notifier.watchdog_s is not None:
            self._notifier.watch_every(within_s)

    def ready(self, doing: str) -> None:
        """Everything is open and the loop begins."""
        with self._lock:
            self._ready = True
            self._patience_s = self._period_s
            self._doing = doing
            self._notifier.ready(doing)
        self.turn()

    def stopping(self, why: str) -> None:
        """The daemon was asked to stop, or ends by itself."""
        self._doing = why
        self._notifier.stopping(why)

    @property
    def doing(self) -> str:
        """What the daemon does, in one line."""
        return self._doing

    @property
    def has_started(self) -> bool:
        """Whether everything was open once."""
        return self._ready

    @property
    def stalled(self) -> str | None:
        """Why the loop is taken to hang, in one line; None while it gets on."""
        since_s = self._clock() - self._turned_s
        if since_s <= self._patience_s:
            return None
        return f"no progress for {since_s:.0f} s while {self._doing}"
