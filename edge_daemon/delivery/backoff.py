"""Waiting between attempts to connect, so that a fleet does not come back all at once."""

from __future__ import annotations

import logging
import random
import time

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


class Redial:
    """Of one who connects again and again: which address is next, and when."""

    def __init__(self, settings: BrokerSettings, log: logging.Logger, meanwhile: str) -> None:
        """``meanwhile``: what is so without a connection, for the line that says why not."""
        self._settings, self._log, self._meanwhile = settings, log, meanwhile
        self._backoff = Backoff(settings)
        self._address = 0
        self._try_at_s = 0.0
        self._said = ""

    @property
    def settings(self) -> BrokerSettings:
        """Of the address that is tried now."""
        return self._settings.at(self._address)

    @property
    def is_due(self) -> bool:
        """Whether it is time to try."""
        return time.monotonic() >= self._try_at_s

    def held(self) -> None:
        """There is a connection."""
        self._backoff.reset()
        self._said = ""

    def failed(self, why: str) -> None:
        """There is none, or none any more; told once for each cause, not at each attempt."""
        if self._said != why:
            self._log.warning("%s; %s meanwhile", why, self._meanwhile)
        self._said = why
        self._address += 1
        self.put_off(self._backoff.next_s())

    def put_off(self, seconds: float) -> None:
        """Try no earlier than that."""
        self._try_at_s = time.monotonic() + seconds
