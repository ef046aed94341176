"""What changed, from one listener on the database to every browser that is open.

One thread hears the database; each browser has a set of what it was not told yet, so one that is
slow costs no memory and is told once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.dashboard.changes import EVERYTHING, Change, Changes
from deploy.dashboard.database.opening import Database

_RETRY_S = 2.0
_log = logging.getLogger(__name__)


class Subscription:
    """One browser; used inside the event loop."""

    def __init__(self) -> None:
        self._pending: set[Change] = set()
        self._some = asyncio.Event()

    def put(self, changes: tuple[Change, ...]) -> None:
        """Remember what has to be told."""
        self._pending.update(changes)
        self._some.set()

    async def next(self, within_s: float) -> frozenset[Change]:
        """What is to be told, as soon as there is something; empty after ``within_s``."""
        try:
            await asyncio.wait_for(self._some.wait(), within_s)
        except asyncio.TimeoutError:
            return frozenset()
        self._some.clear()
        told = frozenset(self._pending)
        self._pending.clear()
        return told


class Hub:
    """Hears the database from :meth:`start` to :meth:`stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changes: Changes | None = None
        self._thread = threading.Thread(target=self._hear, name="changes", daemon=True)

    def start(self) -> None:
        """Begin to hear; called inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def end_streams(self) -> None:
        """Let those who watch go."""
        self._stopped.set()

    def stop(self) -> None:
        """Hear no more; idempotent."""
        self._stopped.set()
        if self._changes is not None:
            self._changes.close()
        if self._thread.ident is not None:
            self._thread.join(2.0)

    @property
    def stopped(self) -> bool:
        """Whether streams should end."""
        return self._stopped.is_set()

    @contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """A browser that is told everything from now on."""
        one = Subscription()
        self._subscriptions.add(one)
        try:
            yield one
        finally:
            self._subscriptions.discard(one)

    def _hear(self) -> None:
        while not self._stopped.is_set():
            self._hear_once()

    def _hear_once(self) -> None:
        try:
            with Changes(self._database) as self._changes:
                self._tell((EVERYTHING,))
                for told in self._changes:
                    self._tell(told)
        except Exception:  # noqa: BLE001 - pages are served all the same, and are told later
            _log.warning("changes of the database are not heard; trying again", exc_info=True)
            self._stopped.wait(_RETRY_S)

    def _tell(self, told: tuple[Change, ...]) -> None:
        def spread() -> None:
            for one in self._subscriptions:
                one.put(told)

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(spread)
