"""Waiting between attempts to connect, so that a fleet does not come back all at once."""

from __future__ import annotations

import random

from edge_daemon.delivery.settings import BrokerSettings


class Backoff:
    """How long to wait before the next attempt: doubling, capped, with jitter."""

    def __init__(self, settings: BrokerSettings, chance: random.Random | None = None) -> None:
        self._settings = settings
        self._chance = chance or random.Random()
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait now: between half and all of the doubled and capped delay."""
        longest = self._settings.reconnect_min_s * 2.0 ** min(self._failures, 16)
        self._failures += 1
        return min(longest, self._settings.reconnect_max_s) * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """The connection held: begin with the shortest wait again."""
        self._failures = 0
