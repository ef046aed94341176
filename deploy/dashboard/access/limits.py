"""How often a login may fail: per user, and per address, each in a window of time.

Kept in memory: a restart forgives, which an attacker cannot bring about. An unknown user fails
like a known one, so the limit tells nobody which names there are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

_MOST_KEYS = 20_000
"""Names and addresses that are remembered; the one longest untouched goes first."""


@dataclass(frozen=True)
class LoginLimits:
    """Failures that are borne in ``window_s`` seconds."""

    per_user: int = 8
    per_address: int = 30
    window_s: float = 300.0


class FailedLogins:
    """Counts failures; used by several threads."""

    def __init__(self, limits: LoginLimits, clock: Callable[[], float]) -> None:
        """``clock``: seconds, monotonic."""
        self._limits = limits
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, user: str, address: str) -> float:
        """Count a try, and say how many seconds it has to wait; 0: the password may be looked at.

        It is counted as failed before the password is looked at, so that a hundred tries at once
        are a hundred. One that has to wait is not counted: it learnt nothing.
        """
        keys = (("user", user), ("address", address))
        with self._lock:
            wait = max(
                self._wait(keys[0], self._limits.per_user),
                self._wait(keys[1], self._limits.per_address),
            )
            if wait > 0:
                return wait
            for key in keys:
                self._failures.setdefault(key, deque()).append(self._clock())
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_KEYS:
                self._failures.popitem(last=False)
            return 0.0

    def succeeded(self, user: str, address: str) -> None:
        """Forgive a user who came in; the address keeps what failed for other names."""
        with self._lock:
            self._failures.pop(("user", user), None)
            times = self._failures.get(("address", address))
            if times:
                times.pop()

    def _wait(self, key: tuple[str, str], most: int) -> float:
        times = self._failures.get(key)
        if times is None:
            return 0.0
        now = self._clock()
        while times and now - times[0] >= self._limits.window_s:
            times.popleft()
        if not times:
            del self._failures[key]
            return 0.0
        if len(times) < most:
            return 0.0
        return times[-most] + self._limits.window_s - now
