"""The life of a source: opened once, iterated once, closed; and a clock that never runs back.

A camera that is iterated twice would hand half of its frames to each reader, and a video would
silently give nothing the second time. So every source refuses both with one clear line.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum, auto
from typing import TypeAlias

from edge_daemon.errors import SourceError

Clock: TypeAlias = Callable[[], datetime]
"""Gives the present time as an aware datetime in UTC."""


class _Stage(Enum):
    NEW = auto()
    OPEN = auto()
    ITERATED = auto()
    CLOSED = auto()


class Lifecycle:
    """Where one source stands in its life; each step raises SourceError when out of order."""

    def __init__(self, source_name: str) -> None:
        self._source_name = source_name
        self._stage = _Stage.NEW

    def open(self) -> None:
        """The ``with`` block was entered."""
        if self._stage is not _Stage.NEW:
            raise self._out_of_order("it was opened before")
        self._stage = _Stage.OPEN

    def iterate(self) -> None:
        """The one iteration begins."""
        if self._stage is _Stage.NEW:
            raise self._out_of_order("it is not open", "iterate it inside a `with` block")
        if self._stage is _Stage.ITERATED:
            raise self._out_of_order("it was iterated before")
        self.require_open()
        self._stage = _Stage.ITERATED

    def require_open(self) -> None:
        """Between two frames: the source has not been closed meanwhile."""
        if self._stage is _Stage.CLOSED:
            raise self._out_of_order("it is closed")

    def close(self) -> None:
        """The ``with`` block was left; closing twice does no harm."""
        self._stage = _Stage.CLOSED

    def _out_of_order(self, what: str, remedy: str = "open the source anew") -> SourceError:
        return SourceError(f"{self._source_name}: no frames, because {what}: {remedy}")


def utc_now() -> datetime:
    """The present time, aware, in UTC."""
    return datetime.now(timezone.utc)


class SteadyClock:
    """The time of capture in UTC, held still while the wall clock is set back.

    Network time steps the clock of a device; a frame must not look older than the one before it.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._latest: datetime | None = None

    def __call__(self) -> datetime:
        """Now, or the last time told if the wall clock has gone back behind it."""
        now = self._clock()
        if self._latest is None or now > self._latest:
            self._latest = now
        return self._latest
