"""Attributions one at a time: a thread of its own, few who wait, and what was computed kept.

It steps back behind everything else on this machine, so that pages and reviews never wait for it.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from deploy.dashboard.attribution.bundles import Bundles
from deploy.dashboard.attribution.computed import Attribution, attribution
from deploy.dashboard.attribution.errors import BusyError
from deploy.dashboard.attribution.networks import Networks
from deploy.dashboard.queries.pictured import Pictured
from edge_daemon.inference import Models
from edge_daemon.niceness import step_back

MOST_WAITING = 16
MOST_OF_ONE = 3
"""Waiting of one user, so that nobody's clicks fill the queue."""
MOST_KEPT = 256
"""Results kept: some 30 kB each."""

Key: TypeAlias = tuple[int, int, str | None]
"""Which picture (the message that brought it), and which bundle."""
Compute: TypeAlias = Callable[[Models, Pictured], Attribution]


class Desk:
    """Ask it from any thread; a picture that several ask for is computed once."""

    def __init__(self, bundles: Bundles, compute: Compute = attribution) -> None:
        """``compute``: for tests of everything around it."""
        self._networks = Networks(bundles)
        self._compute = compute
        self._worker = ThreadPoolExecutor(1, "attribution", initializer=step_back)
        self._lock = threading.RLock()  # what is done says so in the thread that ended it
        self._kept: OrderedDict[Key, Attribution] = OrderedDict()
        self._asked: dict[Key, Future[Attribution]] = {}
        self._waiting: dict[Key, list[str]] = {}

    @property
    def waiting(self) -> int:
        """Pictures that are asked for and not done, the one under way among them."""
        with self._lock:
            return len(self._asked)

    def ask(self, told: Pictured, user: str) -> Future[Attribution]:
        """What will be computed, or was; whoever no longer waits says so by :meth:`leave`.

        Raises:
            BusyError: too many wait already.
        """
        key = key_of(told)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                done: Future[Attribution] = Future()
                done.set_result(kept)
                return done
            future = self._asked.get(key)
            if future is not None:
                self._waiting[key].append(user)
                return future
            self._refuse_too_many(user)
            try:
                future = self._worker.submit(self._work, key, told)
            except RuntimeError:  # of the executor: it was shut down
                raise BusyError("the server is stopping: ask again in a moment") from None
            self._asked[key], self._waiting[key] = future, [user]
            future.add_done_callback(lambda _done: self._over(key))  # maybe at once
            return future

    def leave(self, told: Pictured, user: str) -> None:
        """One who asked waits no longer; what nobody waits for is not begun."""
        key = key_of(told)
        with self._lock:
            waiting = self._waiting.get(key, [])
            if user in waiting:
                waiting.remove(user)
            if not waiting and key in self._asked:
                self._asked[key].cancel()

    def close(self) -> None:
        """Begin nothing more, and free the networks; waits for what is under way."""
        with self._lock:
            for future in list(self._asked.values()):
                future.cancel()
        self._worker.submit(self._networks.close)  # in the thread that owns them
        self._worker.shutdown(wait=True)

    def _refuse_too_many(self, user: str) -> None:
        of_whom = Counter(one for waiting in self._waiting.values() for one in set(waiting))
        if len(self._asked) >= MOST_WAITING or of_whom[user] >= MOST_OF_ONE:
            raise BusyError("other cells are waiting to be computed: ask again in a moment")

    def _work(self, key: Key, told: Pictured) -> Attribution:
        models = self._networks.judge_of(told.bundle, told.bundle_name)
        found = self._compute(models, told)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def _over(self, key: Key) -> None:
        with self._lock:
            self._asked.pop(key, None)
            self._waiting.pop(key, None)


def key_of(told: Pictured) -> Key:
    """What an attribution is kept under."""
    return told.boot, told.seq, told.bundle
