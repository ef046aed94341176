"""What a source told the operator, waited for by the tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_daemon.sources.base import Captured, Source, SourceEvent

PATIENCE_S = 30.0
"""A busy machine may pause anywhere."""


class Events:
    """Called by a source; remembers what it said, and when by the monotonic clock."""

    def __init__(self) -> None:
        self.told: list[SourceEvent] = []
        self.at_s: list[float] = []
        self._changed = threading.Condition()

    def __call__(self, event: SourceEvent) -> None:
        with self._changed:
            self.told.append(event)
            self.at_s.append(time.monotonic())
            self._changed.notify_all()

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.told]

    def wait_for(self, kind: str, count: int = 1) -> SourceEvent:
        """The ``count``-th event of that kind, when it has come."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.kinds.count(kind) >= count, PATIENCE_S), (
                f"no {kind} within {PATIENCE_S:g} s, only {self.told}"
            )
            return [event for event in self.told if event.kind == kind][count - 1]

    def when(self, kind: str) -> float:
        return self.at_s[self.kinds.index(kind)]


@contextmanager
def read_along(
    source: Source, each: Callable[[Captured], None] = lambda _: None
) -> Iterator[list[Captured]]:
    """Read an entered source in another thread; by the end of the block it must be told to stop."""
    taken: list[Captured] = []

    def read() -> None:
        for captured in source:
            taken.append(captured)
            each(captured)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield taken
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the source does not end"
